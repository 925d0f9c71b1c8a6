"""What a document says of limits, against the limit profiles and what is measured here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Final, Literal

from config.checks import Draft
from config.findings import Code, Finding, Path
from config.ground import about
from config.limits_of import LimitShelf
from config.words import did_you_mean
from gateway.indicators.limit_profiles import LimitProfile, LimitUse, Row
from gateway.indicators.periods import LOCAL
from gateway.indicators.thresholds import matching, numbers
from gateway.model.measure import Signal

_NAMED = 6
_ABSOLUTE: Final = "flood.level"
"""Held against levels above a station's datum: the gauge's zero must be known."""
_CHOICES: Final[tuple[tuple[Literal["station", "class_", "area"], str], ...]] = (
    ("station", "station"),
    ("class_", "class"),
    ("area", "area"),
)


def limits_are_sound(draft: Draft, signals: Sequence[Signal], derived: Sequence[Signal]) -> Iterator[Finding]:
    """Each use of a profile. `signals`: what is measured here; `derived`: what the site publishes of it."""
    shelf = LimitShelf(draft.base)
    for number, use in draft.limits.items():
        here: Path = ("limits", number)
        profile = shelf.profile(use.profile)
        if not shelf.knows(use.profile):
            what = f"there is no limit profile '{use.profile}'"
            yield draft.tree.finding(Code.UNKNOWN_LIMIT_PROFILE, (*here, "profile"), what, shelf.hint(use.profile))
        elif profile is not None:
            yield from _in_force(draft, here, profile)
            wrong = [*_choices(draft, here, use, profile), *_values(draft, here, use, profile)]
            yield from wrong
            if not wrong:
                yield from _judges(draft, here, use, profile, (signals, derived))
                yield from _is_levelled(draft, here, use, profile, signals)
    yield from shelf.findings()


def _in_force(draft: Draft, here: Path, profile: LimitProfile) -> Iterator[Finding]:
    today = datetime.now(UTC).astimezone(LOCAL).date()
    why = _why_not_in_force(profile, today)
    if why:
        hint = "compare with the document in force: gateway limits list"
        yield draft.tree.finding(Code.LIMIT_NOT_IN_FORCE, (*here, "profile"), why, hint, "warning")


def _why_not_in_force(profile: LimitProfile, today: date) -> str:
    if profile.to and profile.to < today:
        return f"{profile.document} was in force until {profile.to}"
    if profile.from_ and profile.from_ > today:
        return f"{profile.document} is in force from {profile.from_} on"
    if profile.superseded_by:
        until = f"; sites that may stay on it do so until {profile.to}" if profile.to else ""
        return f"{profile.document} was replaced by {profile.superseded_by}{until}"
    return ""


def _choices(draft: Draft, here: Path, use: LimitUse, profile: LimitProfile) -> Iterator[Finding]:
    """A station, class or area that there is; one must be chosen where every row has one."""
    if not profile.rows:
        what, hint = f"'{profile.profile}' holds no numbers", f"why: gateway limits show {profile.profile}"
        yield draft.tree.finding(Code.NO_SUCH_LIMIT, (*here, "profile"), what, hint)
        return
    for attribute, key in _CHOICES:
        chosen = getattr(use, attribute)
        known = profile.named(attribute)
        if chosen and chosen not in known:
            what = f"'{profile.profile}' has no {key} '{chosen}'"
            yield draft.tree.finding(Code.NO_SUCH_LIMIT, (*here, key), what, did_you_mean(chosen, known))
        elif not chosen and known and all(getattr(row, attribute) for row in profile.each):
            what = f"'{profile.profile}' is about one {key} each"
            yield draft.tree.finding(Code.NO_SUCH_LIMIT, here, what, f"add {key}: one of {', '.join(known)}")


def _values(draft: Draft, here: Path, use: LimitUse, profile: LimitProfile) -> Iterator[Finding]:
    codes = {row.code for row in profile.each}
    for code in use.values:
        if code not in codes:
            what, hint = f"'{profile.profile}' has no row for '{code}'", did_you_mean(code, codes)
            yield draft.tree.finding(Code.NO_SUCH_LIMIT, (*here, "values", code), what, hint)
    if not use.values and profile.rows and all(row.given for row in profile.each):
        what = f"'{profile.profile}' takes its numbers from here, and there are none"
        yield draft.tree.finding(Code.MISSING_KEY, (*here, "values"), what, "add values: {ww.cod: 75} and permit:")
    for row in profile.each:
        try:
            numbers(use, profile, row)
        except ValueError as error:
            what = str(error).partition(": ")[2]
            yield draft.tree.finding(Code.BAD_VALUE, (*here, "values", row.code), what)
    names = {name for row in profile.each for name in (row.key, row.code, row.station)}
    for number, pattern in enumerate(use.confirmed.rows if use.confirmed else ()):
        if not any(fnmatchcase(name, pattern) for name in names):
            what, hint = f"'{pattern}' is no row of '{profile.profile}'", did_you_mean(pattern, names)
            yield draft.tree.finding(Code.NO_SUCH_LIMIT, (*here, "confirmed", "rows", number), what, hint)


def _judges(
    draft: Draft, here: Path, use: LimitUse, profile: LimitProfile, signals: tuple[Sequence[Signal], Sequence[Signal]]
) -> Iterator[Finding]:
    """What is compared with what: nothing, another unit, or numbers nobody has confirmed."""
    rows = use.rows(profile)
    met = {row.key: list(matching(use, row, *signals)) for row in rows}
    if not any(met.values()):
        if draft.is_whole:
            codes = list(dict.fromkeys(row.code for row in rows))
            what = f"'{use.profile}' matches nothing of this site"
            yield draft.tree.finding(Code.LIMIT_MATCHES_NOTHING, here, what, f"it is about {_listed(codes)}")
        return
    for code in use.values:
        if draft.is_whole and not any(met[row.key] for row in rows if row.code == code):
            what = f"nothing of '{use.of}' gives {code}: this number judges nothing"
            hint = "widen `of:`, name the indicator at the device, or take the number out"
            yield draft.tree.finding(Code.LIMIT_MATCHES_NOTHING, (*here, "values", code), what, hint, "warning")
    differing = {
        (signal.id, signal.unit, row.unit) for row in rows for signal in met[row.key] if signal.unit != row.unit
    }
    for signal, unit, wanted in sorted(differing):
        what = f"'{signal}' is in {unit or 'no unit'}, the limit in {wanted}"
        hint = "bring it to the limit's unit at the device, or leave it out with of:"
        yield draft.tree.finding(Code.LIMIT_UNIT, here, what, hint)
    idle: dict[str, list[Row]] = {"factors": [], "unconfirmed": []}
    for row in rows:
        found = numbers(use, profile, row) if met[row.key] else None
        if found is not None and found.why_not:
            idle[found.why_not].append(row)
    if idle["factors"]:
        names = ", ".join(name for name in profile.factors if name not in use.factors)
        what = f"these judge nothing without {names}: {_listed([row.key for row in idle['factors']])}"
        yield draft.tree.finding(Code.MISSING_KEY, (*here, "factors"), what, "add factors: {kq: 0.9, kf: 1.1}")
    if idle["unconfirmed"]:
        what = f"numbers from memory, these judge nothing: {_listed([row.key for row in idle['unconfirmed']])}"
        hint = "compare with the document, then add confirmed: {by, on, document, rows}; gateway limits show NAME"
        yield draft.tree.finding(Code.LIMIT_UNCONFIRMED, here, what, hint, "warning")


def _is_levelled(
    draft: Draft, here: Path, use: LimitUse, profile: LimitProfile, signals: Sequence[Signal]
) -> Iterator[Finding]:
    """Of every gauge that is held against absolute levels, where its zero lies."""
    rows = [row for row in use.rows(profile) if row.code == _ABSOLUTE]
    gauges = list(dict.fromkeys(s.id for row in rows for s in matching(use, row, signals, ())))
    known = about([signal for signal in signals if signal.id in gauges], draft.points, {}, None)
    unknown = [gauge for gauge in gauges if "zero_offset_m" not in known[gauge]]
    if unknown:
        what = f"nobody levelled the zero of these gauges, they are held against no level: {_listed(unknown)}"
        hint = f"add points: {{{unknown[0]}: {{zero_offset_m: 1.25}}}}, 0 if it is the station's own"
        yield draft.tree.finding(Code.MISSING_KEY, here, what, hint, "warning")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
