"""What the world does to the engine: clocks that jump, a disk that fails, a formula that fails, many late values."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.indicators.formula import Given, Params, Result
from gateway.indicators.periods import Span
from gateway.indicators.revisions import MOST, Late, Revisions
from gateway.model.errors import StoreDamaged, StoreError
from gateway.model.measure import Reading
from tests.kit.played import Played, local, ms

SITE: Mapping[str, Any] = {
    "devices": {"rain": {"every_s": 300, "points": {
        "tip": {"indicator": "flood.rain", "unit": "mm", "kind": "sum", "window_s": 300},
    }}},
    "indicators": ["flood.rain_10m", {"code": "flood.rain_1h", "every": "1h"}],
}  # fmt: skip
START = "2026-10-01 00:00"


def steady(_: int) -> float:
    return 1.0


async def running(folder: Path, start: str = START, **about: Any) -> Played:
    box = Played(folder, {**SITE, **about}, start, 300)
    box.source["rain/tip"] = steady
    await box.start()
    return box


def ends(box: Played, code: str) -> list[str]:
    return [f"{local(r['t1'])} {r.get('rv', 0)}" for r in box.derived() if r["ind"] == code]


# --- clocks -----------------------------------------------------------------------------------------------------------


async def test_a_clock_that_was_hours_ahead_and_is_set_right_stops_nothing(tmp_path: Path) -> None:
    box = await running(tmp_path)
    await box.until("2026-10-01 01:10")
    box.clock.step(5 * 3600)
    await box.until("2026-10-01 06:30")
    box.clock.step(-5 * 3600)
    await box.until("2026-10-01 07:40")
    await box.kill()
    hours = ends(box, "flood.rain_1h")
    assert [hour for hour in hours if hour.endswith(" 0")] == [f"01 0{n}:00 0" for n in range(1, 8)]
    assert [hour for hour in hours if hour.endswith(" 1")] == [f"01 0{n}:00 1" for n in range(2, 7)]


async def test_after_a_clock_was_set_right_alarms_are_raised_on_what_is_computed(tmp_path: Path) -> None:
    row = {"code": "flood.rain_10m", "value": 10, "unit": "mm", "mark": "proposal"}
    box = await running(tmp_path, limits=[{"profile": "own"}], profiles={"own": {"rows": [row]}})
    await box.until("2026-10-01 00:30")
    box.clock.step(5 * 3600)
    await box.until("2026-10-01 05:50")
    box.clock.step(-5 * 3600)
    await box.until("2026-10-01 01:20")
    box.source["rain/tip"] = lambda _: 20.0
    await box.until("2026-10-01 02:00")
    await box.kill()
    assert [alarm["al"]["st"] for alarm in box.alarms()] == ["raised"]


async def test_a_clock_that_is_set_back_a_little_says_nothing_twice(tmp_path: Path) -> None:
    box = await running(tmp_path)
    for n in range(1, 5):
        await box.until(f"2026-10-01 0{n}:15")
        box.clock.step(-400)
    await box.until("2026-10-01 05:15")
    await box.kill()
    assert ends(box, "flood.rain_1h") == [f"01 0{n}:00 0" for n in range(1, 6)]


async def test_a_start_in_1970_says_nothing_of_the_years_between(tmp_path: Path) -> None:
    box = await running(tmp_path)
    await box.until("2026-10-01 02:10")
    await box.stop()
    now_ms = box.clock.now_ms()
    box.clock.step(-now_ms / 1000 + 100)
    box.clock.is_synced = False
    gateway = await box.start()
    gateway.clock.synced = lambda: box.clock.is_synced  # type: ignore[method-assign]
    for _ in range(4):
        box.clock.advance(300)
        await box.tick()
    box.clock.step(now_ms / 1000)
    box.clock.is_synced = True
    await box.until("2026-10-01 04:10")
    await box.kill()
    assert ends(box, "flood.rain_1h") == [f"01 0{n}:00 0" for n in range(1, 5)]


async def test_the_first_start_in_1970_makes_up_for_two_days_at_most(tmp_path: Path) -> None:
    box = await running(tmp_path, "1970-01-01 07:05")
    await box.until("1970-01-01 08:20")
    box.clock.step((ms(START) - box.clock.now_ms()) / 1000)
    await box.tick()
    await box.until("2026-10-01 02:10")
    await box.kill()
    found = [record for record in box.derived() if record["ind"] == "flood.rain_1h" and record["t1"] > ms("2000-01-01")]
    assert len(found) <= 2 * 24 + 3
    assert found[-1]["v"] == 12


# --- the store, and bugs ----------------------------------------------------------------------------------------------


async def test_a_history_that_cannot_be_read_is_read_at_the_next_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = await running(tmp_path)
    await box.until("2026-10-01 00:55")
    assert box.gateway is not None
    history: Any = box.gateway.store.history
    real = history.windows

    async def failing(*_: Any, **__: Any) -> Any:
        raise StoreError("the disk does not answer")

    history.windows = failing
    await box.until("2026-10-01 01:25")
    assert ends(box, "flood.rain_1h") == []
    history.windows = real
    await box.until("2026-10-01 01:30")
    await box.kill()
    assert ends(box, "flood.rain_1h") == ["01 01:00 0"]
    tens = ("00:10", "00:20", "00:30", "00:40", "00:50", "01:00", "01:10", "01:20")
    assert sorted(ends(box, "flood.rain_10m")) == [f"01 {at} 0" for at in tens]
    assert len([r for r in caplog.records if "wait for the store" in r.message]) == 1


async def test_while_the_disk_takes_nothing_nothing_is_said_of_what_is_not_committed(tmp_path: Path) -> None:
    box = await running(tmp_path)
    await box.until("2026-10-01 00:55")
    assert box.gateway is not None
    group: Any = box.gateway.store._group
    write, group._write = group._write, _takes_nothing
    box.clock.advance(300)
    reading = asyncio.create_task(box.read())
    await asyncio.sleep(0)
    box.clock.advance(120)
    turn = asyncio.create_task(box.gateway.meaning.turn())
    _, waiting = await asyncio.wait([turn], timeout=0.05)
    assert waiting, "windows that are not committed must not look like a gap"
    group._write = write
    async with asyncio.timeout(20):
        await asyncio.gather(reading, turn)
    await box.gateway.store.flush()
    await box.kill()
    assert [(r["v"], r["n"]) for r in box.derived() if r["ind"] == "flood.rain_1h"] == [(11, 11)]


async def _takes_nothing(*_: Any) -> bool:
    return False


async def test_a_damaged_store_ends_the_turn(tmp_path: Path) -> None:
    box = await running(tmp_path)
    await box.until("2026-10-01 00:55")
    assert box.gateway is not None
    history: Any = box.gateway.store.history

    async def damaged(*_: Any, **__: Any) -> Any:
        raise StoreDamaged("malformed")

    history.windows = damaged
    with pytest.raises(StoreDamaged):
        await box.until("2026-10-01 01:05")
    await box.kill()


async def test_a_formula_that_fails_is_missing_and_takes_no_other_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def poisoned(span: Span, given: Given, params: Params) -> Result:
        raise ZeroDivisionError

    def poison(gateway: Gateway) -> None:
        engine = gateway.meaning._evaluation.engine
        engine.derived = [
            replace(one, formula=replace(one.formula, compute=poisoned))
            if one.signal.indicator == "flood.rain_10m"
            else one
            for one in engine.derived
        ]

    box = Played(tmp_path, SITE, START, 300)
    box.prepare = poison
    box.source["rain/tip"] = steady
    await box.start()
    await box.until("2026-10-01 02:10")
    await box.kill()
    assert [r["v"] for r in box.derived() if r["ind"] == "flood.rain_1h"] == [11, 12]
    failed = [r for r in box.derived() if r["ind"] == "flood.rain_10m"]
    assert {(r["v"], r["q"], r["d"]["failed"]) for r in failed} == {(None, "missing", "ZeroDivisionError")}
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1, "said once, not every ten minutes"


@pytest.mark.parametrize("kept", [{}, {"until": "x"}, {"until": 1, "said": None, "late": {"a": [[1], 2]}},
                                  {"revisions": {"a": [["x", 1, 2]]}, "late": [1]}, {"done": {"a": 1}}])  # fmt: skip
async def test_what_was_kept_and_does_not_read_stops_no_start(tmp_path: Path, kept: dict[str, Any]) -> None:
    box = await running(tmp_path)
    assert box.gateway is not None
    await box.gateway.store.append((), keep={"indicators": kept, "violations": {"open": 7, "closed": "x"}})
    await box.gateway.store.flush()
    await box.kill()
    await box.start()
    await box.until("2026-10-01 01:10")
    await box.kill()
    assert ends(box, "flood.rain_1h")[-1] == "01 01:00 0"


@pytest.mark.parametrize(("mm", "states", "verdict"), [(20.0, ["raised"], "unmet"), (0.0, [], "unknown")])
async def test_a_sum_of_too_few_readings_is_judged_only_where_it_is_beyond_already(
    tmp_path: Path, mm: float, states: list[str], verdict: str
) -> None:
    row = {"code": "flood.rain_1h", "value": 50, "unit": "mm", "mark": "proposal"}
    box = await running(tmp_path, limits=[{"profile": "own"}], profiles={"own": {"rows": [row]}})
    box.source["rain/tip"] = lambda _: mm
    await box.until("2026-10-01 00:30")
    await box.stop()
    box.clock.advance(2400)
    await box.start()
    await box.tick()
    await box.kill()
    assert [alarm["al"]["st"] for alarm in box.alarms()] == states
    assert [r["lm"]["st"] for r in box.derived() if r["ind"] == "flood.rain_1h"] == [verdict]


# --- the site file ----------------------------------------------------------------------------------------------------


async def test_a_site_that_publishes_nothing_has_nothing_to_do(tmp_path: Path) -> None:
    box = await running(tmp_path, indicators=[])
    await box.until("2026-10-01 02:10")
    assert box.gateway is not None
    assert not box.gateway.meaning._evaluation.engine.has_work()
    await box.kill()
    assert box.derived() == []


async def test_an_indicator_that_was_taken_out_and_put_back_begins_where_it_is_back(tmp_path: Path) -> None:
    box = await running(tmp_path)
    await box.until("2026-10-01 01:10")
    await box.stop()
    box.change(indicators=["flood.rain_10m"])
    await box.start()
    await box.until("2026-10-01 03:10")
    await box.stop()
    box.change(indicators=SITE["indicators"])
    await box.start()
    await box.until("2026-10-01 05:10")
    await box.kill()
    assert ends(box, "flood.rain_1h") == ["01 01:00 0", "01 04:00 0", "01 05:00 0"]


async def test_a_limit_that_was_taken_out_closes_its_violation_at_the_start(tmp_path: Path) -> None:
    row = {"code": "flood.rain_10m", "value": 1, "unit": "mm", "mark": "proposal", "violation": True}
    box = await running(tmp_path, limits=[{"profile": "own"}], profiles={"own": {"rows": [row]}})
    await box.until("2026-10-01 00:25")
    await box.kill()
    box.change(limits=[])
    await box.start()
    await box.until("2026-10-01 00:35")
    await box.kill()
    assert [str(one.state) for one in box.violations()] == ["opened", "closed"]


# --- late values ------------------------------------------------------------------------------------------------------


async def test_two_thousand_late_windows_are_said_again_once_each(tmp_path: Path) -> None:
    box = await running(tmp_path)
    await box.until("2026-10-01 00:05")
    box.clock.step(6.9 * 86_400)
    await box.until("2026-10-08 00:05")
    late = range(ms("2026-10-01 00:10"), ms("2026-10-07 21:00"), 300_000)
    assert len(late) > 1900
    assert box.gateway is not None
    await box.gateway._sink([Reading("rain/tip", at_ms, 2.0) for at_ms in late])
    await box.gateway.store.flush()
    await box.until("2026-10-08 00:40")
    again = [r for r in box.derived() if r.get("rv")]
    assert Counter(r["rv"] for r in again).keys() == {1}
    assert {r["lane"] for r in again} == {"back"}
    hours = {r["t1"] for r in again if r["ind"] == "flood.rain_1h"}
    assert len(hours) == len([r for r in again if r["ind"] == "flood.rain_1h"]) > 140
    assert len(json.dumps(box.kept("indicators"))) < 500, "a day that came late is one entry"
    said = len(box.derived())
    await box.turn()
    assert len(box.derived()) == said, "and not with every turn"
    await box.kill()


async def test_two_late_values_far_apart_touch_nothing_between(tmp_path: Path) -> None:
    box = await running(tmp_path)
    await box.until("2026-10-01 12:10")
    await box.late("rain/tip", "2026-10-01 01:00", "2026-10-01 01:05", 300, 5)
    await box.late("rain/tip", "2026-10-01 09:00", "2026-10-01 09:05", 300, 5)
    await box.until("2026-10-01 12:20")
    await box.kill()
    assert [end for end in ends(box, "flood.rain_1h") if end.endswith("1")] == ["01 02:00 1", "01 10:00 1"]


async def test_a_late_value_corrects_a_limit_that_is_only_judged(tmp_path: Path) -> None:
    row = {"code": "flood.rain", "over": "1h", "value": 30, "unit": "mm", "mark": "proposal", "violation": True}
    box = await running(tmp_path, indicators=[], limits=[{"profile": "own"}], profiles={"own": {"rows": [row]}})
    await box.until("2026-10-01 03:10")
    await box.late("rain/tip", "2026-10-01 01:00", "2026-10-01 01:05", 300, 50)
    await box.until("2026-10-01 03:20")
    await box.kill()
    assert [str(one.state) for one in box.violations()] == ["opened", "closed"]


def test_revisions_of_neighbours_are_one_entry_and_each_has_its_number() -> None:
    revisions = Revisions()
    assert [revisions.again("a", end, 10) for end in range(10, 1010, 10)] == [1] * 100
    assert [revisions.again("a", end, 10) for end in (500, 510)] == [2, 2]
    assert revisions.again("a", 510, 10) == 3
    assert [revisions.again("a", end, 10) for end in (490, 500, 510, 520)] == [2, 3, 4, 2]
    other = Revisions()
    other.restore(json.loads(json.dumps(revisions.state())))
    assert [other.again("a", end, 10) for end in (480, 490, 500, 510, 520)] == [2, 3, 4, 5, 3]
    other.forget(2000)
    assert other.state() == {}


def test_stretches_that_came_late_are_bounded() -> None:
    late = Late()
    for n in range(10 * MOST):
        late.add("a", 100 * n, 100 * n + 10)
    stretches = late.seen()["a"]
    assert len(stretches) <= MOST
    assert (stretches[0][0], stretches[-1][1]) == (0, 100 * (10 * MOST - 1) + 10)
    seen = late.seen()
    late.add("a", stretches[-1][1], stretches[-1][1] + 5)
    late.without(seen)
    assert late.seen()["a"] == [(stretches[-1][0], stretches[-1][1] + 5)], "what grew since is not done with"
