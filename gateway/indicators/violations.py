"""From verdicts to the violation journal: what opens, extends and closes a violation. Pure, with plain JSON as state.

opens      with the first window that is unmet
extends    while windows are unmet; the journal gets one entry an hour of it at most
closes     with the first window that is met, at the end of the last one that was not; or when the limit ceases to
           apply (its date, its hours of the day, the site file)
unknown    neither extends nor closes. Data that stay away keep a violation open, however long: to pull a plug is no
           way to be compliant. If the next known window is unmet, it is still the same violation, and the time without
           data counts as readings that were expected and did not come
late       a window that is said again (`revision`) replaces what was judged of the same span; if that changes the
           violation, also one that closed within 24 h, the journal gets an entry `corrected`. One of which nothing is
           left is corrected to "the limit was met" and counts no more. An unmet one where no violation was is
           written as opened and closed, unless another one of this limit is open
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.indicators.engine import Derived
from gateway.indicators.periods import DAY_S, local
from gateway.indicators.thresholds import judge, last_ms
from gateway.indicators.violation_record import add_bases, coarser, drop, put, record_of, span_of
from gateway.model.errors import GatewayError
from gateway.model.indicator import Indicator
from gateway.model.limit import LimitStatus, Threshold, Verdict
from gateway.model.violation import Violation, ViolationState

log = logging.getLogger("indicators")

State = dict[str, Any]
"""{"count": violations ever, "open": {key: record}, "closed": [record, ...], "days": {date: older ones}}; {} at the
first start. Nothing in it is changed in place."""

SAID_EVERY_MS: Final = 3_600_000
CORRECTABLE_MS: Final = DAY_S * 1000
COUNTED_MS: Final = 30 * DAY_S * 1000
WHOLE: Final = 50
"""So many closed violations are kept with some of their readings, so that they can be acknowledged and corrected; older
ones are only counted, by the day they ended. Their entries are in the journal."""
MET_LATE: Final = "values came late: the limit was met / số liệu đến muộn: không vượt giới hạn"
CEASED: Final = "the limit ceased to apply / giới hạn hết áp dụng"


class NoSuchViolation(GatewayError):
    """None of this id is known any more, or ever was."""

    code = "no-such-violation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """One window of a threshold's length (or a reading), what came of it, and the base windows it is made of."""

    site: str
    threshold: Threshold
    window: Indicator
    verdict: Verdict
    bases: Sequence[Indicator] = ()
    bottle: str = ""

    @property
    def key(self) -> str:
        return key_of(self.window.signal.id, self.threshold.id)

    @property
    def span(self) -> tuple[int, int]:
        return (self.window.end_ms if self.window.start_ms is None else self.window.start_ms, self.window.end_ms)


def key_of(signal: str, threshold: str) -> str:
    """What an open violation is kept under."""
    return f"{signal}|{threshold}"


def follow(state: Mapping[str, Any], fed: Fed) -> tuple[State, list[Violation]]:
    """The new state, and entries for `Journal.note("violation", entry.body())`. Give it every window of every threshold
    with `violation`, in order of time, also while it is unknown or not in force."""
    new = _begun(state)
    if fed.window.revision:
        return new, _revised(new, fed)
    unmet = fed.verdict.status is LimitStatus.UNMET
    if fed.key not in new["open"]:
        return new, [_opens(new, fed)] if unmet else []
    if not unmet and (fed.verdict.status is LimitStatus.MET or not fed.threshold.in_force(last_ms(fed.window))):
        return new, [_closes(new, fed.key, "" if fed.verdict.status is LimitStatus.MET else CEASED)]
    opened = new["open"][fed.key]
    add_bases(opened, fed.bases or (fed.window,))
    if not unmet:
        return new, []
    put(opened, fed.span, float(fed.window.value or 0))
    opened["bottle"] = fed.bottle or opened["bottle"]
    if fed.window.end_ms - opened["said_ms"] < SAID_EVERY_MS:
        return new, []
    opened["said_ms"] = fed.window.end_ms
    return new, [record_of(opened, ViolationState.EXTENDED)]


def withdraw(state: Mapping[str, Any], keys: Collection[str]) -> tuple[State, list[Violation]]:
    """Closes what is open under none of these keys: the site file has changed."""
    new = _begun(state)
    return new, [_closes(new, key, CEASED) for key in sorted(new["open"].keys() - set(keys))]


def acknowledge(
    state: Mapping[str, Any], violation: str, by: str, at_ms: int, remarks: str = ""
) -> tuple[State, Violation]:
    """A person has seen it; it stays open as long as it lasts. Raises NoSuchViolation."""
    new = _begun(state)
    for record in (*new["open"].values(), *new["closed"]):
        if record["id"] == violation:
            told = "; ".join(text for text in (record["remarks"], remarks) if text)
            record.update(acknowledged_by=by, acknowledged_ms=at_ms, remarks=told)
            return new, record_of(record, ViolationState.ACKNOWLEDGED)
    known = [record["id"] for record in new["open"].values()]
    hint = f"open are {', '.join(known[-8:])}" if known else "gateway violation list FILE"
    raise NoSuchViolation(f"there is no violation {violation!r} to acknowledge", where=violation, hint=hint)


def open_ids(state: Mapping[str, Any]) -> list[str]:
    """Violations that last: their number is `ww.violation_open`."""
    return sorted(record["id"] for record in state.get("open", {}).values())


def count_30d(state: Mapping[str, Any], at_ms: int) -> int:
    """Violations that lasted at some time of the last 30 days (`ww.violation_count_30d`); of many, those that ended on
    the first of these days are all counted."""
    since_ms = at_ms - COUNTED_MS
    older = sum(int(n) for day, n in state.get("days", {}).items() if day >= _day(since_ms))
    recent = [record for record in state.get("closed", ()) if record["end_ms"] > since_ms]
    return older + len(recent) + len(state.get("open", {}))


class Violations:
    """All violations of a site: `follow` for each threshold with `violation` of what is derived and judged. `bottle`
    tells the sampler's bottle at a moment, "" where there is no sampler."""

    def __init__(
        self, derived: Iterable[Derived], site: str = "-", bottle: Callable[[int], str] = lambda _: ""
    ) -> None:
        self._limits = {one.signal.id: [limit for limit in one.thresholds if limit.violation] for one in derived}
        self._site, self._bottle = site, bottle
        self._state: State = {}
        self.changed = False

    def restore(self, state: Mapping[str, Any]) -> list[Violation]:
        """Goes on from what was kept; what of it cannot be read is left out. Returns the ends of those that no limit
        speaks of any more."""
        keys = {key_of(signal, limit.id) for signal, limits in self._limits.items() for limit in limits}
        self._state, withdrawn = withdraw(_readable(state), keys)
        self.changed = bool(withdrawn)
        return withdrawn

    def look(self, derived: Derived, indicator: Indicator) -> list[Violation]:
        """What a value brings to the journal."""
        said: list[Violation] = []
        for limit in self._limits.get(derived.signal.id, ()):
            one = Fed(
                site=self._site,
                threshold=limit,
                window=indicator,
                verdict=judge(limit, indicator),
                bottle=self._bottle(indicator.end_ms),
            )
            if one.verdict.status is LimitStatus.UNMET or self._is_known(one):
                self._state, entries = follow(self._state, one)
                said += entries
                self.changed = True
        return said

    def cease(self, signals: Collection[str]) -> list[Violation]:
        """Closes what is open of these signals: no value of them comes any more."""
        ended = {key_of(name, limit.id) for name in signals for limit in self._limits.get(name, ())}
        opened = self._state.get("open", {}).keys()
        if opened.isdisjoint(ended):
            return []
        self._state, said = withdraw(self._state, opened - ended)
        self.changed = True
        return said

    def _is_known(self, fed: Fed) -> bool:
        """Whether there is a violation that this may change; of a week that came late there are thousands of windows,
        and mostly there is none."""
        if fed.key in self._state.get("open", {}):
            return True
        return bool(fed.window.revision) and any(one["key"] == fed.key for one in self._state.get("closed", ()))

    def acknowledge(self, violation: str, by: str, at_ms: int, remarks: str = "") -> list[Violation]:
        """Raises NoSuchViolation."""
        self._state, entry = acknowledge(self._state, violation, by, at_ms, remarks)
        self.changed = True
        return [entry]

    def state(self) -> State:
        """What is to be kept with the entries; nothing has `changed` since."""
        self.changed = False
        return self._state

    @property
    def open(self) -> list[str]:
        return open_ids(self._state)

    def count_30d(self, at_ms: int) -> int:
        return count_30d(self._state, at_ms)


# --- what was kept --------------------------------------------------------------------------------------------------


def _readable(state: Mapping[str, Any]) -> State:
    """What could not be followed would end the gateway, and at each start again."""
    count, opened, closed, days = (state.get(name) for name in ("count", "open", "closed", "days"))
    pairs = opened.items() if isinstance(opened, Mapping) else ()
    return {
        "count": count if isinstance(count, int) else 0,
        "open": {key: record for key, record in pairs if _reads(record)},
        "closed": [record for record in closed if _reads(record)] if isinstance(closed, list) else [],
        "days": {day: n for day, n in days.items() if isinstance(n, int)} if isinstance(days, Mapping) else {},
    }


def _reads(record: Any) -> bool:
    try:
        record_of(record, ViolationState.EXTENDED)
        return bool(record["key"]) and record["said_ms"] + (record["end_ms"] or 0) >= 0
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        log.warning("what was kept of a violation cannot be read, it is left out: %r", error)
        return False


# --- steps; they change the new state -------------------------------------------------------------------------------


def _begun(state: Mapping[str, Any]) -> State:
    return {
        "count": state.get("count", 0),
        "open": {key: dict(record) for key, record in state.get("open", {}).items()},
        "closed": [dict(record) for record in state.get("closed", ())],
        "days": dict(state.get("days", {})),
    }


def _opens(new: State, fed: Fed) -> Violation:
    new["count"] += 1
    signal, (start_ms, end_ms) = fed.window.signal, fed.span
    record: State = {
        "id": f"{local(start_ms):%Y%m%d-%H%M%S}-{new['count']:05d}",
        "key": fed.key,
        "threshold": fed.threshold.id,
        "limit": asdict(fed.threshold.limit),
        "site": fed.site,
        "place": signal.point,
        "indicator": signal.indicator,
        "name_en": signal.name_en,
        "name_vi": signal.name_vi,
        "unit": signal.unit,
        "unmet": [],
        "readings": [],
        "statuses": [],
        "bottle": fed.bottle,
        "remarks": "",
        "acknowledged_by": "",
        "acknowledged_ms": None,
        "said_ms": end_ms,
        "end_ms": None,
    }
    new["open"][fed.key] = record
    put(record, fed.span, float(fed.window.value or 0))
    add_bases(record, fed.bases or (fed.window,))
    return record_of(record, ViolationState.OPENED)


def _closes(new: State, key: str, why: str = "") -> Violation:
    record = new["open"].pop(key)
    record["end_ms"] = span_of(record)[1]
    if why:
        record["remarks"] = "; ".join(text for text in (record["remarks"], why) if text)
    told = record_of(record, ViolationState.CLOSED)
    closed = sorted([*new["closed"], coarser(record)], key=lambda one: int(one["end_ms"]))
    for old in closed[:-WHOLE]:
        new["days"][_day(old["end_ms"])] = new["days"].get(_day(old["end_ms"]), 0) + 1
    new["closed"] = closed[-WHOLE:]
    first = _day(record["end_ms"] - COUNTED_MS)
    new["days"] = {day: n for day, n in new["days"].items() if day >= first}
    return told


def _day(at_ms: int) -> str:
    return f"{local(at_ms):%Y-%m-%d}"


def _revised(new: State, fed: Fed) -> list[Violation]:
    unmet = fed.verdict.status is LimitStatus.UNMET
    record = _touched(new, fed)
    if record is None:
        return [_opens(new, fed), _closes(new, fed.key)] if unmet and fed.key not in new["open"] else []
    before = dict(record)
    if unmet:
        put(record, fed.span, float(fed.window.value or 0))
    else:
        drop(record, fed.span)
    if record["unmet"] == before["unmet"]:
        return []
    if not record["unmet"]:
        _take_out(new, record)
        end_ms = before["end_ms"] or span_of(before)[1]
        return [record_of({**before, "end_ms": end_ms, "remarks": MET_LATE}, ViolationState.CORRECTED)]
    add_bases(record, fed.bases or (fed.window,))
    if record["end_ms"] is not None:
        record["end_ms"] = span_of(record)[1]
    return [record_of(record, ViolationState.CORRECTED)]


def _touched(new: State, fed: Fed) -> State | None:
    """The violation that a window lies in or beside: the open one, or one that closed not long ago."""
    start_ms, end_ms = fed.span
    found: list[State] = [new["open"][fed.key]] if fed.key in new["open"] else []
    newest = max((record["end_ms"] for record in new["closed"]), default=0)
    found += [
        one for one in reversed(new["closed"])
        if one["key"] == fed.key and one["end_ms"] > newest - CORRECTABLE_MS
    ]  # fmt: skip
    for record in found:
        began, ended = span_of(record)
        if start_ms <= ended and end_ms >= began:
            return record
    return None


def _take_out(new: State, record: State) -> None:
    new["open"] = {key: one for key, one in new["open"].items() if one["id"] != record["id"]}
    new["closed"] = [one for one in new["closed"] if one["id"] != record["id"]]
