"""One violation as plain JSON while it is followed: what was unmet, what was read, and its journal entry.

unmet      [[start_ms, end_ms, value], ...] the windows that were judged so, by their ends
readings   [[start_ms, end_ms, sum, n, quality, expected], ...] the base windows behind them, by their ends
statuses   [[at_ms, code], ...] changes of what the instrument said of itself

Windows and readings grow to 500; then neighbours are joined two by two, so that a long violation is kept coarser, never
cut. Of statuses the first and the last 50 are kept. Lists are replaced, never changed in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.indicators.limit_profiles import UPWARD
from gateway.model.indicator import Indicator
from gateway.model.limit import Limit
from gateway.model.measure import Quality, Reason
from gateway.model.violation import MAX_READINGS, Measured, Status, Violation, ViolationState

Record = dict[str, Any]
READINGS_WHEN_CLOSED: Final = 60
STATUSES: Final = 100
_CODES: Final = {Reason.CALIBRATING: "01", Reason.DEVICE_FAULT: "02"}
_QUALITY: Final = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD, Quality.MISSING)


def put(record: Record, span: tuple[int, int], value: float) -> None:
    """An unmet window; it takes the place of one of the same span."""
    drop(record, span)
    unmet = sorted([*record["unmet"], [*span, value]], key=lambda one: (one[1], one[0]))
    if len(unmet) > MAX_READINGS:
        worst = max if record["limit"]["op"] in UPWARD else min
        pairs = [unmet[at : at + 2] for at in range(0, len(unmet), 2)]
        unmet = [[pair[0][0], pair[-1][1], worst(one[2] for one in pair)] for pair in pairs]
    record["unmet"] = unmet


def drop(record: Record, span: tuple[int, int]) -> None:
    """Takes an unmet window out; one that was joined with its neighbour stays."""
    record["unmet"] = [one for one in record["unmet"] if (one[0], one[1]) != span]


def span_of(record: Mapping[str, Any]) -> tuple[int, int]:
    """From the beginning of the first unmet window to the end of the last."""
    return min(one[0] for one in record["unmet"]), max(one[1] for one in record["unmet"])


def add_bases(record: Record, bases: Iterable[Indicator]) -> None:
    """Base windows, or readings; they take the place of what is there of the same span."""
    found: dict[tuple[int, int], list[Any]] = {}
    for base in sorted(bases, key=lambda base: base.end_ms):
        start_ms = base.end_ms if base.start_ms is None else base.start_ms
        span, reading = (start_ms, base.end_ms), _reading(base, start_ms)
        found[span] = _join([found[span], reading]) if span in found else reading  # what came late lies beside
        code = next((_CODES[reason] for reason in base.reasons if reason in _CODES), "00")
        _status(record, start_ms, code)
    by_span = {(one[0], one[1]): one for one in record["readings"]} | found
    readings = _disjoint(sorted(by_span.values(), key=lambda one: (one[1], one[0])))
    record["readings"] = _joined(readings) if len(readings) > MAX_READINGS else readings


def coarser(record: Record) -> Record:
    """The same with few enough readings to be kept for a month."""
    while len(record["readings"]) > READINGS_WHEN_CLOSED:
        record["readings"] = _joined(record["readings"])
    return record


def record_of(record: Mapping[str, Any], state: ViolationState) -> Violation:
    """The journal's entry: the whole as it is known now."""
    start_ms, end_ms = span_of(record)
    worst = max if record["limit"]["op"] in UPWARD else min
    peak = worst(record["unmet"], key=lambda one: one[2])
    inside = [one for one in record["readings"] if one[0] >= start_ms and one[1] <= end_ms]
    n = sum(one[3] for one in inside)
    as_they_are = ("id", "site", "place", "indicator", "name_en", "name_vi", "unit", "bottle", "remarks",
                   "acknowledged_by", "acknowledged_ms", "end_ms")  # fmt: skip
    return Violation(
        **{name: record[name] for name in as_they_are},
        state=state,
        limit=Limit(**record["limit"]),
        start_ms=start_ms,
        peak=peak[2],
        peak_ms=peak[1],
        mean=sum(one[2] for one in inside) / n if n else None,
        n=n,
        expected=max(n, _expected(inside, start_ms, end_ms)),
        readings=[Measured(one[0], one[1], one[2] / one[3] if one[3] else None, one[4]) for one in record["readings"]],
        statuses=[Status(*one) for one in record["statuses"]],
    )


def _reading(base: Indicator, start_ms: int) -> list[Any]:
    n, expected = (base.parts.n, base.parts.expected) if base.parts is not None else (1, 1)
    if base.value is None or isinstance(base.value, str):
        return [start_ms, base.end_ms, 0.0, 0, str(base.quality), expected]
    return [start_ms, base.end_ms, float(base.value) * n, n, str(base.quality), expected]


def _expected(readings: list[list[Any]], start_ms: int, end_ms: int) -> int:
    """What the readings expected, and as much in proportion for the time that none of them covers."""
    expected = sum(one[5] for one in readings)
    covered_ms = sum(one[1] - one[0] for one in readings)
    return round(expected * max(1.0, (end_ms - start_ms) / covered_ms)) if covered_ms else int(expected)


def _status(record: Record, at_ms: int, code: str) -> None:
    """Only changes. What lies before the last one known is of a time that was said already."""
    known = record["statuses"]
    if known and (known[-1][1] == code or at_ms <= known[-1][0]):
        return
    half = STATUSES // 2
    record["statuses"] = [*known[:half], *[*known[half:], [at_ms, code]][-half:]]


def _disjoint(readings: list[list[Any]]) -> list[list[Any]]:
    """Without those that lie in one that was joined already: running means bring the same base windows again."""
    kept: list[list[Any]] = []
    for one in readings:
        while kept and kept[-1][0] >= one[0] and kept[-1] is not one and one[1] > one[0]:
            kept.pop()
        if not kept or one[0] >= kept[-1][1]:
            kept.append(one)
        elif one[1] > kept[-1][1]:
            kept.append(_rest(one, kept[-1][1]))
    return kept


def _rest(one: list[Any], from_ms: int) -> list[Any]:
    """What of a running mean is not of time that was told already, by its share."""
    share = (one[1] - from_ms) / (one[1] - one[0])
    n = round(one[3] * share)
    return [from_ms, one[1], one[2] * n / one[3] if one[3] else 0.0, n, one[4], max(n, round(one[5] * share))]


def _joined(readings: list[list[Any]]) -> list[list[Any]]:
    return [_join(readings[at : at + 2]) for at in range(0, len(readings), 2)]


def _join(pair: list[list[Any]]) -> list[Any]:
    worst = max((Quality(one[4]) for one in pair), key=_QUALITY.index)
    return [
        pair[0][0],
        pair[-1][1],
        sum(one[2] for one in pair),
        sum(one[3] for one in pair),
        str(worst),
        sum(one[5] for one in pair),
    ]
