"""Finding device profiles: first in `devices/` beside the site file, then among our own."""

from __future__ import annotations

import math
import os
import pathlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, get_args

from config import load
from config.findings import Code, Finding, in_order
from config.load import Tree
from config.words import did_you_mean, validated
from drivers import decoded
from drivers.profiles import AnyProfile, adapter
from gateway.model.errors import BadFrame

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_HEAD = re.compile(r"^points:", re.MULTILINE)


def own_folder() -> pathlib.Path:
    """The folder of the profiles that come with the gateway."""
    return pathlib.Path(str(resources.files("config"))) / "devices"


class Shelf:
    """The profiles that a site file can name. Each file is read once."""

    def __init__(self, base: pathlib.Path) -> None:
        self._folders = (base / "devices", own_folder())
        self._read: dict[str, tuple[AnyProfile | None, list[Finding]]] = {}

    def names(self) -> list[str]:
        return sorted(self.files())

    def files(self) -> dict[str, pathlib.Path]:
        """Every profile that can be named, by name."""
        return {file.stem: file for folder in reversed(self._folders) for file in sorted(folder.glob("*.yaml"))}

    def heads(self) -> list[Head]:
        """The beginnings of all sound profiles, sorted by name; their points are not read."""
        heads = (read_head(file) for _, file in sorted(self.files().items()))
        return [head for head in heads if head is not None]

    def profile(self, name: str) -> AnyProfile | None:
        """The profile, or None if there is none or it has errors."""
        return self._take(name)[0]

    def knows(self, name: str) -> bool:
        return self._file(name) is not None

    def hint(self, name: str) -> str:
        return did_you_mean(name, self.names())

    def findings(self) -> list[Finding]:
        """What is wrong inside the profiles that were asked for."""
        return [finding for _, findings in self._read.values() for finding in findings]

    def _take(self, name: str) -> tuple[AnyProfile | None, list[Finding]]:
        if name not in self._read:
            file = self._file(name)
            self._read[name] = (None, []) if file is None else read_profile(file)
        return self._read[name]

    def _file(self, name: str) -> pathlib.Path | None:
        if not _NAME.fullmatch(name):
            return None
        files = (folder / f"{name}.yaml" for folder in self._folders)
        # os.path: also for names that no file system takes, and folders that this user may not enter
        return next((file for file in files if os.path.exists(file)), None)  # noqa: PTH110


@dataclass(frozen=True, slots=True)
class Head:
    """What a profile says of itself before its points."""

    file: pathlib.Path
    driver: str
    title_en: str
    title_vi: str
    maker: str
    confirmed: bool

    @property
    def name(self) -> str:
        return self.file.stem

    @property
    def wires(self) -> list[str]:
        """Kinds of wires such a device can hang on."""
        kinds: tuple[type[AnyProfile], ...] = get_args(AnyProfile)
        return sorted(wire for k in kinds if self.driver in _drivers_of(k) for wire in k.WIRES)


def _drivers_of(kind: type[AnyProfile]) -> tuple[str, ...]:
    return get_args(kind.model_fields["driver"].annotation)


def read_head(file: pathlib.Path) -> Head | None:
    """The head of a profile, None if it has none. Reading points takes most of the time, and a hundred profiles are
    listed in the time of a few."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return None
    points = _HEAD.search(text)
    data = load.parse(text[: points.start()] if points else text, str(file)).data
    if not isinstance(data, dict):
        return None
    driver, title_en, title_vi, maker = (str(data.get(key, "")) for key in ("driver", "title_en", "title_vi", "maker"))
    return Head(file, driver, title_en, title_vi, maker, data.get("confirmed") is True) if driver else None


def check_profile(file: pathlib.Path) -> tuple[AnyProfile | None, list[Finding]]:
    """Like `read_profile`, and every example is decoded too; points without one are warnings."""
    profile, findings = read_profile(file)
    if profile is None:
        return None, in_order(findings)
    tree = load.read(file)
    shown = {name for example in profile.examples for name in example.expect}
    missing = [
        tree.finding(
            Code.NO_EXAMPLE, ("points", name), "no example shows this point",
            "add what the device sent, and the value its display or software showed for it", "warning",
        )
        for name in profile.points_by_name() if name not in shown
    ]  # fmt: skip
    return profile, in_order([*findings, *missing, *_wrong_examples(tree, profile)])


def _wrong_examples(tree: Tree, profile: AnyProfile) -> Iterator[Finding]:
    examples: list[Any] = list(profile.examples)  # each kind of profile has its own kind of example
    for number, example in enumerate(examples):
        place = ("examples", number)
        try:
            found: Mapping[str, Any] = decoded(profile, example.given)
        except BadFrame as error:
            yield tree.finding(Code.EXAMPLE_DIFFERS, (*place, "given"), error.what, error.hint)
            continue
        for name, wanted in example.expect.items():
            if name not in found:
                what = "nothing in `given` speaks of this point"
            elif not _same(found[name], wanted):
                what = f"decodes to {_shown(found[name])}, not {_shown(wanted)}"
            else:
                continue
            hint = "check address, type, order, scale and offset of the point, or the example"
            yield tree.finding(Code.EXAMPLE_DIFFERS, (*place, "expect", name), what, hint)


def _same(found: Any, wanted: Any) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (found, wanted)]
    return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-9) if all(numbers) else bool(found == wanted)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    return "no reading" if value is None else str(value)


def read_profile(file: pathlib.Path) -> tuple[AnyProfile | None, list[Finding]]:
    """One profile file, or None and everything that is wrong with it."""
    tree = load.read(file)
    if tree.findings and tree.data is None:
        return None, tree.findings
    checked = validated(tree, adapter(str(tree.get(("driver",)))))
    profile, findings = checked[0], [*tree.findings, *checked[1]]
    named = tree.get(("profile",))
    if isinstance(named, str) and named != file.stem:
        findings.append(
            tree.finding(Code.BAD_VALUE, ("profile",), f"'{named}' is not the file's name", f"write {file.stem}")
        )
    return (None if findings else profile), findings
