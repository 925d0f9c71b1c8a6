"""A folder in violations/ is one promise: windows.yaml goes in, what the journal gets comes out as expected.txt.

After a change that is meant, set REWRITE_CASES=1 for one run and read what it did to every case.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.indicators.thresholds import judge
from gateway.indicators.violations import (
    Fed,
    NoSuchViolation,
    State,
    acknowledge,
    count_30d,
    follow,
    open_ids,
    withdraw,
)
from gateway.model.indicator import Indicator, Parts
from gateway.model.limit import Limit, Threshold
from gateway.model.measure import Kind, Quality, Reason, Signal
from gateway.model.violation import Violation

HERE = Path(__file__).parent / "violations"
T0 = 1_790_787_600_000  # 2026-10-01 00:00 +07
MINUTE = 60_000
COD = Signal(id="o/cod", point="o/cod", indicator="ww.cod", unit="mg/L", kind=Kind.MEAN, every_s=60)
LIMIT = Threshold(
    id="permit/ww.cod/5m",
    limit=Limit(op="<=", value=75, over_s=300, basis="permit", clause="A", profile="permit v1", permit="GPMT 1"),
    levels=(75.0,),
    violation=True,
)


def fed(minute: float, value: float | None, reason: str = "", revision: int = 0, limit: Threshold = LIMIT) -> Fed:
    """Five minutes from this minute on, of one reading a minute."""
    start_ms = round(T0 + minute * MINUTE)
    reasons = (Reason(reason),) if reason else ()
    quality = Quality.MISSING if value is None else Quality.UNCERTAIN if reasons else Quality.GOOD
    parts = Parts(0, 5) if value is None else Parts(5, 5, value * 5, value, value, value, value)
    window = Indicator(COD, start_ms, start_ms + 5 * MINUTE, value, quality, reasons, parts, revision=revision)
    return Fed(site="test", threshold=limit, window=window, verdict=judge(limit, window))


def told(one: Violation) -> str:
    at = [None if ms is None else (ms - T0) / MINUTE for ms in (one.start_ms, one.end_ms, one.peak_ms)]
    mean = None if one.mean is None else round(one.mean, 3)
    statuses = " ".join(f"{(status.at_ms - T0) / MINUTE:g}:{status.code}" for status in one.statuses)
    return (
        f"{one.id} {one.state} {at[0]:g}..{'' if at[1] is None else format(at[1], 'g')} peak {one.peak:g} at {at[2]:g} "
        f"mean {mean} n {one.n}/{one.expected} readings {len(one.readings)} statuses {statuses} {one.remarks}".rstrip()
    )


@pytest.mark.parametrize("case", sorted(case.name for case in HERE.iterdir()))
def test_case(case: str) -> None:
    rows: list[list[Any]] = YAML(typ="safe", pure=True).load((HERE / case / "windows.yaml").read_text(encoding="utf-8"))
    state: State = {}
    lines = []
    for row in rows:
        before = copy.deepcopy(state)
        kept, (state, entries) = state, follow(state, fed(*row))
        assert kept == before, "a step must not change what it was given"
        state = json.loads(json.dumps(state))
        lines += [f"[{row[0]}] {told(Violation.of(json.loads(json.dumps(one.body()))))}\n" for one in entries]
    lines.append(f"open {len(open_ids(state))}, in 30 days {count_30d(state, T0 + 86_400_000)}\n")
    expected = HERE / case / "expected.txt"
    if os.environ.get("REWRITE_CASES"):
        expected.write_text("".join(lines), encoding="utf-8")
    assert "".join(lines) == expected.read_text(encoding="utf-8")


def test_ids_never_repeat_and_sort_by_time() -> None:
    state: State = {}
    ids = []
    for turn in range(120):
        state, entries = follow(state, fed(turn * 10, 90.0))
        ids += [one.id for one in entries]
        state, _ = follow(state, fed(turn * 10 + 5, 10.0))
    assert len(set(ids)) == 120
    assert ids == sorted(ids)
    assert count_30d(state, T0 + 86_400_000) == 120
    assert count_30d(state, T0 + 40 * 86_400_000) == 0


def test_a_long_violation_is_kept_coarser_and_never_cut() -> None:
    state: State = {}
    for turn in range(1500):
        state, _ = follow(state, fed(turn * 5, 200.0 if turn == 700 else 90.0))
    state, (last,) = follow(state, fed(7500, 10.0))
    assert len(last.readings) <= 500
    assert (last.start_ms, last.end_ms, last.peak) == (T0, T0 + 7500 * MINUTE, 200.0)
    assert (last.n, last.expected) == (7500, 7500)


def test_an_acknowledged_violation_stays_open_and_a_closed_one_can_be_acknowledged() -> None:
    state, (opened,) = follow({}, fed(0, 90.0))
    state, entry = acknowledge(state, opened.id, "nguyen.van.a", T0 + 7, "đã biết")
    assert (entry.state, entry.acknowledged_by, entry.remarks) == ("acknowledged", "nguyen.van.a", "đã biết")
    assert open_ids(state) == [opened.id]
    state, (closed,) = follow(state, fed(5, 10.0))
    assert closed.acknowledged_by == "nguyen.van.a"
    assert acknowledge(state, opened.id, "b", T0)[1].acknowledged_by == "b"
    with pytest.raises(NoSuchViolation):
        acknowledge(state, "nothing", "b", T0)


def test_a_limit_that_is_withdrawn_closes_what_it_opened() -> None:
    state, (opened,) = follow({}, fed(0, 90.0))
    state, (closed,) = withdraw(state, [])
    assert (closed.id, closed.state, open_ids(state)) == (opened.id, "closed", [])
    assert "hết áp dụng" in closed.remarks
