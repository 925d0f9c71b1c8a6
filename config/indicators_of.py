"""The catalogue of indicators that comes with the gateway: config/indicators/*.yaml, one file a field of work."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from pydantic import TypeAdapter, ValidationError

from config import load
from config.findings import Code, Finding, in_order
from config.profiles import own_folder as profiles_folder
from config.profiles import read_profile
from config.words import did_you_mean, validated
from gateway.indicators.book import FORMULAS
from gateway.indicators.catalogue import Agencies, Agency, Entry, FieldOfWork
from gateway.indicators.formula import Formula
from gateway.indicators.formulas.pcu import PcuTables
from gateway.model.errors import ConfigError

_AGENCIES, _PCU = "agencies", "pcu"


class CatalogueInvalid(ConfigError):
    """A file of the catalogue has errors: the package is damaged, or somebody edited it."""


def own_folder() -> pathlib.Path:
    """The folder of the catalogue that comes with the gateway."""
    return pathlib.Path(str(resources.files("config"))) / "indicators"


class Catalogue(Mapping[str, Entry]):
    """Every entry by its code, in the order of the files. A file is read when a code of its field is asked for: a
    gateway needs few of them, and reading all takes a second. Raises CatalogueInvalid."""

    def __getitem__(self, code: str) -> Entry:
        return _entries(code.partition(".")[0])[code]

    def __iter__(self) -> Iterator[str]:
        return (entry.code for field in fields() for entry in field.indicators)

    def __len__(self) -> int:
        return sum(len(field.indicators) for field in fields())


@cache
def catalogue() -> Mapping[str, Entry]:
    """The catalogue that comes with the gateway."""
    return Catalogue()


@cache
def _entries(name: str) -> Mapping[str, Entry]:
    """Those of one field of work; none for a field that is not there."""
    known = {file.stem: file for file in files()}
    return {entry.code: entry for entry in _field(known[name]).indicators} if name in known else {}


def fields() -> list[FieldOfWork]:
    """All files of the catalogue. Raises CatalogueInvalid."""
    return [_field(file) for file in files()]


@cache
def _field(file: pathlib.Path) -> FieldOfWork:
    field, findings = _read(file)
    if field is None or findings:
        first = findings[0]
        raise CatalogueInvalid(first.message, where=f"{first.file}:{first.line}", hint="gateway catalogue check")
    return field


def files() -> list[pathlib.Path]:
    return sorted(file for file in own_folder().glob("*.yaml") if file.stem not in (_AGENCIES, _PCU))


def _read(file: pathlib.Path) -> tuple[FieldOfWork | None, list[Finding]]:
    tree = load.read(file)
    field, wrong = validated(tree, TypeAdapter(FieldOfWork))
    return field, [*tree.findings, *wrong]


@cache
def agencies() -> Mapping[str, Mapping[str, Agency]]:
    """Who answers for what: by key, by province code. Raises CatalogueInvalid."""
    tree = load.read(own_folder() / f"{_AGENCIES}.yaml")
    read, wrong = validated(tree, TypeAdapter(Agencies))
    if read is None or tree.findings:
        raise CatalogueInvalid((tree.findings + wrong)[0].message, where=f"{_AGENCIES}.yaml")
    return read.agencies


@cache
def pcu_tables() -> PcuTables:
    """The tables of passenger car units that come with the gateway. Raises CatalogueInvalid."""
    tree = load.read(own_folder() / f"{_PCU}.yaml")
    read, wrong = validated(tree, TypeAdapter(PcuTables))
    if read is None or tree.findings:
        raise CatalogueInvalid((tree.findings + wrong)[0].message, where=f"{_PCU}.yaml")
    return read


def findings() -> list[Finding]:
    """Everything that is wrong with the catalogue: files, formulas that do not fit, codes that are nowhere."""
    found = [finding for file in files() for finding in _read(file)[1]]
    return in_order([*found, *(() if found else (*_across(), *_profiles_are_explained()))])


def _across() -> Iterator[Finding]:
    """What no single file can know."""
    seen: dict[str, pathlib.Path] = {}
    known = [entry.code for field in fields() for entry in field.indicators]
    for file, field in zip(files(), fields(), strict=True):
        tree = load.read(file)
        for number, entry in enumerate(field.indicators):
            here: tuple[str | int, ...] = ("indicators", number)
            if not entry.code.startswith(f"{file.stem}."):
                what = f"'{entry.code}' does not belong into {file.name}"
                yield tree.finding(Code.BAD_VALUE, (*here, "code"), what, "codes begin with their file's name")
            if entry.code in seen:
                yield tree.finding(
                    Code.DUPLICATE_NAME, (*here, "code"), f"'{entry.code}' is in {seen[entry.code].name}"
                )
            seen.setdefault(entry.code, file)
            if entry.agency and entry.agency not in agencies():
                hint = did_you_mean(entry.agency, agencies())
                yield tree.finding(Code.BAD_CHOICE, (*here, "agency"), "this agency is not in agencies.yaml", hint)
            for key, what, hint in _formula_fits(entry, known):
                yield tree.finding(Code.BAD_VALUE, (*here, *key), what, hint)


def _formula_fits(entry: Entry, known: list[str]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    if not entry.formula:
        return
    formula = FORMULAS.get(entry.formula)
    if formula is None:
        yield ("formula",), f"there is no formula '{entry.formula}'", did_you_mean(entry.formula, FORMULAS)
        return
    for role in entry.inputs.keys() - formula.roles.keys():
        yield ("inputs", role), "the formula has no such role", did_you_mean(role, formula.roles)
    for role, about in formula.roles.items():
        if role not in entry.inputs and not about.optional:
            yield ("inputs",), f"the formula needs the role '{role}'", ""
    for role, codes in entry.inputs.items():
        for code in codes:
            if "*" not in code and code not in known:
                yield ("inputs", role), f"'{code}' is not in the catalogue", did_you_mean(code, known)
    for detail in _settings_wrong(formula, entry.settings):
        yield ("settings",), detail, ""


def _settings_wrong(formula: Formula, settings: Mapping[str, Any]) -> Iterator[str]:
    """What the formula does not take. What is left out a site gives, or its place."""
    try:
        formula.params.model_validate(settings)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if detail["type"] != "missing":
                yield f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"


def _profiles_are_explained() -> Iterator[Finding]:
    """Every code that a device gives is in the catalogue, in one unit: figures of two devices can be compared."""
    known = catalogue()
    for file in sorted(profiles_folder().glob("*.yaml")):
        profile, tree = read_profile(file)[0], load.read(file)
        for name, point in profile.points_by_name().items() if profile else ():
            entry = known.get(point.indicator)
            if entry is None:
                hint = did_you_mean(point.indicator, known)
                what = f"{name}: '{point.indicator}' is not in the catalogue"
                yield tree.finding(Code.UNKNOWN_INDICATOR, ("points",), what, hint)
            elif entry.unit and point.unit not in (entry.unit, *entry.accepts):
                what = f"{name}: '{point.unit}' where the catalogue says '{entry.unit}' for {entry.code}"
                yield tree.finding(Code.BAD_VALUE, ("points",), what)
