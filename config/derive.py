"""From what a site publishes to what has to be computed: inputs found by their codes, settings filled from the place.

Pure. Finds everything that is wrong at once; what is wrong is left out of the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from config.findings import Code, Path
from config.words import did_you_mean
from gateway.indicators.book import FORMULAS
from gateway.indicators.catalogue import Entry
from gateway.indicators.engine import Derived
from gateway.indicators.formula import Formula, Params
from gateway.indicators.formulas.pcu import PcuParams, PcuTables
from gateway.indicators.formulas.pcu import resolve as named
from gateway.indicators.periods import Period, Span
from gateway.indicators.settings import Published
from gateway.model.measure import Signal

Inputs = Mapping[str, Sequence[Signal]]


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong, and where below the entry."""

    code: Code
    path: Path
    what: str
    hint: str = ""
    is_error: bool = True


@dataclass(frozen=True, slots=True)
class Ground:
    """What entries are resolved against. `about(signal)`: what the point's zone, its own settings and the site's place
    say; parameters of the same name that the site did not give are filled from it. `pcu`: the tables a site can name.
    `active`: an event's time; `within`: what the names of its derived points begin with, "le-hoi-lam-kinh/"."""

    catalogue: Mapping[str, Entry]
    signals: Sequence[Signal]
    pcu: PcuTables
    about: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    active: Span | None = None
    within: str = ""


@dataclass(slots=True)
class Resolved:
    derived: list[Derived] = field(default_factory=list)
    wrong: list[Wrong] = field(default_factory=list)


def resolve(published: Iterable[tuple[Path, Published]], ground: Ground) -> Resolved:
    """Everything that the entries ask for, each at its path in the document."""
    out = Resolved()
    taken: dict[str, Path] = {}
    for path, entry in published:
        for found in _entry(entry, ground):
            if isinstance(found, Wrong):
                out.wrong.append(Wrong(found.code, (*path, *found.path), found.what, found.hint, found.is_error))
            elif found.signal.id in taken:
                what = f"'{found.signal.id}' is published twice"
                hint = "give one of them another `point:`, or narrow its `of:`"
                out.wrong.append(Wrong(Code.DUPLICATE_NAME, path, what, hint))
            else:
                taken[found.signal.id] = path
                out.derived.append(found)
    return out


def _entry(published: Published, ground: Ground) -> Iterator[Derived | Wrong]:
    entry = ground.catalogue.get(published.code)
    if entry is None:
        yield Wrong(Code.UNKNOWN_INDICATOR, ("code",), f"'{published.code}' is not in the catalogue",
                    did_you_mean(published.code, ground.catalogue) or "gateway catalogue list")  # fmt: skip
        return
    if not entry.formula:
        yield Wrong(Code.UNKNOWN_INDICATOR, ("code",), f"'{entry.code}' is measured, not derived",
                    "it is sent as soon as a device gives it; leave it out here")  # fmt: skip
        return
    formula = FORMULAS[entry.formula]
    try:
        period = Period.of(
            published.period or entry.period, published.every or ("" if published.period else entry.every)
        )
    except ValueError as error:
        yield Wrong(Code.BAD_VALUE, ("every",), str(error))
        return
    groups = list(_groups(published, entry, formula, ground.signals))
    if not groups:
        yield _no_input(published, entry, formula, ground.signals)
    for point, inputs in groups:
        params = _params(published, entry, formula, _about(inputs, ground.about), ground.pcu)
        if isinstance(params, Params):
            yield Derived(
                signal=_output(f"{ground.within}{point}", inputs, entry, period),
                formula=formula,
                inputs=inputs,
                period=period,
                params=params,
                active=ground.active,
            )
        else:
            yield from params
            return  # the same for the next group


def _groups(
    published: Published, entry: Entry, formula: Formula, signals: Sequence[Signal]
) -> Iterator[tuple[str, Inputs]]:
    """(point, inputs) of every value that can be formed."""
    fitting = [s for s in signals if fnmatchcase(s.id, published.of) or fnmatchcase(s.point, published.of)]
    roles = {role: [s for s in fitting if _is(s, codes)] for role, codes in entry.inputs.items()}
    if entry.each:
        ((role, its),) = roles.items()
        yield from ((signal.point, {role: [signal]}) for signal in its)
        return
    if published.point is not None:
        if _complete(roles, formula):
            yield published.point, roles
        return
    devices = dict.fromkeys(_device(signal) for its in roles.values() for signal in its)
    apart = [(d, {role: [s for s in its if _device(s) == d] for role, its in roles.items()}) for d in devices]
    whole = [(device, inputs) for device, inputs in apart if _complete(inputs, formula)]
    if whole:
        yield from whole
    elif _complete(roles, formula):  # one instrument gives the flow, another one what is in it
        yield next(iter(devices)), roles


def _device(signal: Signal) -> str:
    return signal.id.partition("/")[0]


def _is(signal: Signal, codes: Iterable[str]) -> bool:
    return any(fnmatchcase(signal.indicator, code) for code in codes)


def _complete(inputs: Inputs, formula: Formula) -> bool:
    """Everything that must be there is, and nothing twice that may be there once."""
    return any(inputs.values()) and all(
        (inputs.get(role) or about.optional) and (about.many or len(inputs.get(role, ())) <= 1)
        for role, about in formula.roles.items()
    )


def _no_input(published: Published, entry: Entry, formula: Formula, signals: Sequence[Signal]) -> Wrong:
    """Why nothing can be formed."""
    fitting = [s for s in signals if fnmatchcase(s.id, published.of) or fnmatchcase(s.point, published.of)]
    for role, about in formula.roles.items():
        codes = entry.inputs.get(role, ())
        its = [signal for signal in fitting if _is(signal, codes)]
        if not its and not about.optional:
            where = f"'{published.of}'" if published.of != "*" else "this site"
            what = f"nothing of {where} gives {' or '.join(codes)}, which '{entry.code}' is made of"
            given = sorted({signal.id for signal in signals if _is(signal, codes)})
            return Wrong(Code.NO_INPUT, (), what, f"there is {', '.join(given[:4])}" if given else "")
        if len(its) > 1 and not about.many:
            names = ", ".join(signal.id for signal in its[:4])
            what = f"'{entry.code}' is made of one {' or '.join(codes)}, here are {len(its)}: {names}"
            return Wrong(Code.NO_INPUT, (), what, "choose with `of:`")
    return Wrong(
        Code.NO_INPUT, (), f"nothing here gives what '{entry.code}' is made of", f"gateway catalogue show {entry.code}"
    )


def _about(inputs: Inputs, about: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    first = next(signal for signals in inputs.values() for signal in signals)
    return about.get(first.id, {})


def _params(
    published: Published, entry: Entry, formula: Formula, about: Mapping[str, Any], pcu: PcuTables
) -> Params | list[Wrong]:
    known = formula.params.model_fields
    filled = {name: value for name, value in about.items() if name in known and value is not None}
    told = {**entry.settings, **filled, **published.with_}
    if formula.params is PcuParams:
        told = named(told, pcu)
        if isinstance(name := told.get("table"), str):
            hint = did_you_mean(name, [table.name for table in pcu.pcu_tables])
            return [Wrong(Code.BAD_CHOICE, ("with", "table"), f"there is no table '{name}'", hint)]
    try:
        return formula.params.model_validate(told)
    except ValidationError as error:
        return [_setting_wrong(entry, detail, known) for detail in error.errors(include_url=False)]


def _setting_wrong(entry: Entry, detail: Any, known: Iterable[str]) -> Wrong:
    place: Path = tuple(detail["loc"])
    name = str(place[0]) if place else ""
    if detail["type"] == "extra_forbidden":
        return Wrong(Code.UNKNOWN_KEY, ("with", *place), f"'{entry.code}' is not told this", did_you_mean(name, known))
    if detail["type"] == "missing":
        what = f"'{entry.code}' must be told '{name}'"
        return Wrong(
            Code.MISSING_KEY, (), what, f"write with: {{{name}: ...}}; see gateway catalogue show {entry.code}"
        )
    message = str(detail.get("ctx", {}).get("error", detail["msg"]))
    return Wrong(Code.BAD_VALUE, ("with", *place), message, f"gateway catalogue show {entry.code}")


def _output(point: str, inputs: Inputs, entry: Entry, period: Period) -> Signal:
    first = next(signal for signals in inputs.values() for signal in signals)
    named = f"{point}/{'/'.join(first.tags.values())}" if entry.each and first.tags else point
    return Signal(
        id=f"{named}/{entry.code}",
        point=point,
        indicator=entry.code,
        unit=entry.unit or (first.unit if entry.each else ""),
        kind=entry.aggregation,
        every_s=period.every_s,
        window_s=period.length_s,
        tags=first.tags if entry.each else {},
        name_en=entry.name_en,
        name_vi=entry.name_vi,
    )
