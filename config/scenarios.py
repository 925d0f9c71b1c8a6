"""Finding scenarios for a rehearsal: first in `scenarios/` beside the site file, then among our own."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from importlib import resources

from pydantic import TypeAdapter

from config.findings import Finding
from config.named import read_named
from config.words import did_you_mean
from drivers.simulate.scenario import Scenario
from gateway.model.errors import BadArgument, ConfigError

_ADAPTER: TypeAdapter[Scenario] = TypeAdapter(Scenario)


class ScenarioInvalid(ConfigError):
    """`findings` holds everything that is wrong."""

    def __init__(self, path: pathlib.Path, findings: Sequence[Finding]) -> None:
        first = findings[0]
        super().__init__(
            f"{len(findings)} error(s); the first: {first.code} {first.path}: {first.message}",
            where=f"{path}:{first.line}",
            hint=first.hint or "compare it with the scenarios that come with the gateway",
        )
        self.findings = tuple(findings)


def own_folder() -> pathlib.Path:
    """The folder of the scenarios that come with the gateway."""
    return pathlib.Path(str(resources.files("config"))) / "scenarios"


def scenario_files(base: pathlib.Path) -> dict[str, pathlib.Path]:
    """Every scenario that can be named at a site, by name. `base`: the site file's folder."""
    files = {file.stem: file for folder in (own_folder(), base / "scenarios") for file in folder.glob("*.yaml")}
    return dict(sorted(files.items()))


def load_scenario(name: str, base: pathlib.Path) -> Scenario:
    """The scenario of that name or in that file. Raises BadArgument if there is none, ScenarioInvalid with every
    finding if it has errors."""
    known = scenario_files(base)
    file = known.get(name) or pathlib.Path(name)
    if name not in known and not file.is_file():
        raise BadArgument(f"there is no scenario {name!r}", where="--scenario", hint=did_you_mean(name, known))
    scenario, findings = read_scenario(file)
    if scenario is None:
        raise ScenarioInvalid(file, findings)
    return scenario


def read_scenario(file: pathlib.Path) -> tuple[Scenario | None, list[Finding]]:
    """One scenario file, or None and everything that is wrong with it."""
    read = read_named(file, _ADAPTER, "scenario", "config/scenarios")
    return read[1], read[2]
