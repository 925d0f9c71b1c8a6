"""A power cut between any two steps of a turn: each derived value is said once, none is missing, no alarm is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gateway.app import Gateway
from gateway.model.measure import Reading
from tests.kit.played import Played, ms

SITE = {
    "devices": {
        "rain": {"every_s": 300, "points": {
            "tip": {"indicator": "flood.rain", "unit": "mm", "kind": "sum", "window_s": 300},
        }},
    },
    "indicators": ["flood.rain_10m", {"code": "flood.rain_1h", "every": "1h"}],
    "limits": [{"profile": "own"}],
    "profiles": {"own": {"rows": [
        {"code": "flood.rain_10m", "value": 10, "unit": "mm", "mark": "proposal", "violation": True},
        {"code": "flood.rain", "value": 9, "unit": "mm", "mark": "proposal"},
    ]}},
}  # fmt: skip


EVERY = 25
"""So many steps lie between two cuts that are tried here; with 1 all are, in some minutes."""


class Cut(BaseException):
    """The power is gone."""


class Cutter:
    """Cuts at the n-th step that the gateway takes towards the store, before it or after it; 0: never."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0

    def prepare(self, gateway: Gateway) -> None:
        store: Any = gateway.store
        store.append, store.flush = self._wrapped(store.append), self._wrapped(store.flush)
        store.history.windows = self._wrapped(store.history.windows)
        store.history.roll = self._wrapped(store.history.roll)
        store._group._write = self._wrapped(store._group._write)

    def _wrapped(self, step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def one(*args: Any, **kwargs: Any) -> Any:
            self._pass()
            found = await step(*args, **kwargs)
            self._pass()
            return found

        return one

    def _pass(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise Cut


async def an_hour_and_a_half(box: Played, cutter: Cutter) -> None:
    """Of which 20 minutes it pours, and ten minutes come late. A tick that was cut is done again after the start."""
    box.prepare = cutter.prepare
    ticks = [(1, False)] * 4 + [(12, False)] * 4 + [(1, False)] * 7
    ticks += [(1, True), (1, False), (1, False), (1, False)]
    await again(box, box.start)
    for mm, is_late in ticks:
        box.clock.advance(300)
        box.source["rain/tip"] = partial(_steady, mm)
        if is_late:
            await again(box, lambda: box.late("rain/tip", "2026-10-01 00:40", "2026-10-01 00:50", 300, 3))
        await again(box, box.tick)
    await box.kill()


def _steady(mm: float, _: int) -> float:
    return mm


async def again(box: Played, step: Callable[[], Awaitable[Any]]) -> None:
    try:
        await step()
    except Cut:
        await box.kill()
        await box.start()
        if step != box.start:
            await step()


def said_of(box: Played) -> tuple[list[tuple[str, int, int]], list[tuple[str, str]], list[tuple[str, str]]]:
    derived = [(r["ind"], r["t1"], r.get("rv", 0)) for r in box.derived()]
    return (
        derived,
        [(alarm["al"]["id"], alarm["al"]["st"]) for alarm in box.alarms()],
        [(one.id, str(one.state)) for one in box.violations()],
    )


async def test_a_power_cut_between_any_two_steps_loses_nothing_and_says_nothing_twice(
    tmp_path: Path,
) -> None:
    box = Played(tmp_path / "whole", SITE, "2026-10-01 00:00", 300)
    whole = Cutter(0)
    await an_hour_and_a_half(box, whole)
    derived, alarms, violations = said_of(box)
    firsts = {(ind, t1) for ind, t1, rv in derived if not rv}
    assert {rv for _, _, rv in derived} == {0, 1}
    assert len({name for name, _ in alarms}) == 2
    assert "opened" in [state for _, state in violations]
    for at in range(1, whole.steps + 1, EVERY):
        cut = Played(tmp_path / str(at), SITE, "2026-10-01 00:00", 300)
        cut._site = box._site and replace(box._site, base=cut.folder)
        await an_hour_and_a_half(cut, Cutter(at))
        check(at, said_of(cut), firsts)


async def test_no_commit_says_that_more_was_computed_than_it_holds(tmp_path: Path) -> None:
    """Whatever comes while a turn is on its way: late values, acknowledgements."""
    box = Played(tmp_path, SITE, "2026-10-01 00:00", 300)
    gateway = await box.start()
    store: Any = gateway.store
    append, write = store.append, store._group._write
    seen: list[int] = []

    async def slow(*args: Any, **kwargs: Any) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await append(*args, **kwargs)

    async def watched(*args: Any) -> bool:
        done: bool = await write(*args)
        until_ms = box.kept("indicators")["until"]
        held = {record["t1"] for record in box.derived() if record["ind"] == "flood.rain_10m"}
        assert set(range(ms("2026-10-01 00:10"), until_ms + 1, 600_000)) <= held
        journal = {one.id for one in box.violations()}
        assert {one["id"] for one in (box.kept("violations") or {"open": {}})["open"].values()} <= journal
        seen.append(until_ms)
        return done

    async def acknowledged() -> None:
        for name in gateway.meaning.status()["violations"]["open"]:
            await gateway.meaning.perform("violation.ack", {"id": name, "by": "A"}, "A")

    async def late(turn: asyncio.Task[None], at_ms: int) -> None:
        while not turn.done():
            await gateway._sink([Reading("rain/tip", at_ms, 2.0)])
            await store.flush()

    store.append, store._group._write = slow, watched
    for tick in range(1, 13):
        box.clock.advance(300)
        late_ms = ms("2026-10-01 00:00") + (tick - 4) * 300_000
        turn = asyncio.create_task(box.turn())
        others = [acknowledged(), late(turn, late_ms)] if tick > 5 else []
        await asyncio.gather(turn, box.give(box.clock.now_ms(), {"rain/tip": 12.0}), *others)
    await box.kill()
    assert len(set(seen)) > 4
    assert "acknowledged" in [str(one.state) for one in box.violations()]


def check(at: int, said: Any, firsts: set[tuple[str, int]]) -> None:
    derived, alarms, violations = said
    twice = [one for one, n in Counter(derived).items() if n > 1]
    assert not twice, f"cut at {at}: said twice"
    assert {(ind, t1) for ind, t1, rv in derived if not rv} == firsts, f"cut at {at}: missing"
    assert any(rv for _, _, rv in derived), f"cut at {at}: what came late was forgotten"
    ids = {name for name, _ in alarms}
    assert len(ids) == 2, f"cut at {at}: {alarms}"
    assert {name for name, state in alarms if state == "cleared"} == ids, f"cut at {at}: never over"
    states = Counter(state for _, state in violations)
    assert (violations[0][1], states["opened"], states["closed"]) == ("opened", 1, 1), f"cut at {at}: {violations}"
