"""A site file, resolved: what the composition root builds from."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from config import secrets
from config.findings import Finding, has_errors
from config.lint import lint
from config.plan import Plan, PlannedEvent
from config.schema import Site
from drivers.profiles import AnyProfile
from gateway.model.errors import ConfigError


class SiteInvalid(ConfigError):
    """`findings` holds everything that is wrong, warnings included."""

    def __init__(self, path: pathlib.Path, findings: Sequence[Finding]) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        super().__init__(
            f"{len(errors)} error(s); the first: {f'{errors[0].code} {errors[0].path}'.strip()}: {errors[0].message}",
            where=f"{path}:{errors[0].line}",
            hint=f"gateway check {path}",
        )
        self.findings = tuple(findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSite:
    """A document without errors. `profiles` by device; `plan`: what it derives; `events` by name, also those that
    are over; `base` is the folder that relative paths start from."""

    file: pathlib.Path
    base: pathlib.Path
    document: Site
    profiles: Mapping[str, AnyProfile]
    warnings: tuple[Finding, ...]
    plan: Plan = field(default_factory=Plan)
    events: Mapping[str, PlannedEvent] = field(default_factory=dict)
    secrets_folder: pathlib.Path | None = None

    @property
    def state_dir(self) -> pathlib.Path:
        return self.located(self.document.state_dir)

    def located(self, path: str) -> pathlib.Path:
        """A path of the document, absolute."""
        return (self.base / path).absolute()

    def secret(self, name: str) -> str:
        """The secret of that name; see `config.secrets`."""
        return secrets.secret(name, folder=self.secrets_folder)


def findings(path: pathlib.Path) -> list[Finding]:
    """Everything that is wrong with a site file, sorted by place. Never raises for what a person wrote."""
    return lint(path).findings


def load_site(path: pathlib.Path, *, secrets_folder: pathlib.Path | None = None) -> LoadedSite:
    """The site, or SiteInvalid with all findings. `secrets_folder`: instead of the places `config.secrets` names."""
    linted = lint(path)
    if linted.site is None or has_errors(linted.findings):
        raise SiteInvalid(path, linted.findings)
    return LoadedSite(
        file=path,
        base=path.absolute().parent,
        document=linted.site,
        profiles=linted.profiles,
        warnings=tuple(linted.findings),
        plan=linted.plan,
        events=linted.events,
        secrets_folder=secrets_folder,
    )
