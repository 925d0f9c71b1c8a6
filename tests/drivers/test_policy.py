"""Turns, pace and patience: what exists once for all drivers."""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path

import pytest

from drivers.link import Link
from drivers.schedule import Schedule
from drivers.watch import Silence, Watch
from gateway.model.errors import NoAnswer
from tests.drivers.kinds.modbus import modbus_profile
from tests.drivers.kit import by_signal, point, site, take

SILENCE = NoAnswer("silence")


async def test_a_command_goes_before_the_next_poll() -> None:
    link, order = Link(), []

    async def use(name: str, *, urgent: bool) -> None:
        async with link.turn(urgent=urgent):
            order.append(name)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for name in ("poll 1", "poll 2", "poll 3"):
            group.create_task(use(name, urgent=False))
        await asyncio.sleep(0)
        group.create_task(use("command", urgent=True))
    assert order == ["poll 1", "command", "poll 2", "poll 3"]


async def test_a_cancelled_user_never_keeps_the_turn() -> None:
    link = Link()

    async def use() -> None:
        async with link.turn():
            await asyncio.sleep(0)

    for pause in range(4):
        users = [asyncio.create_task(use()) for _ in range(4)]
        for _ in range(pause):
            await asyncio.sleep(0)
        for user in users[:3]:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)
        assert not link.taken


def run(
    schedule: Schedule, until: float, cost_s: float = 0.0, stall: tuple[float, float] = (-1, 0)
) -> dict[str, list[float]]:
    """Polls as they would happen when each takes so long, and one at stall[0] takes stall[1]."""
    times: dict[str, list[float]] = {}
    now = 0.0
    while now < until:
        due, name = schedule.next()
        now = max(now, due)
        times.setdefault(name, []).append(now)
        schedule.done(now)
        if now >= stall[0] > 0:
            now, stall = now + stall[1], (-1, 0)
        now += cost_s
    return times


def test_devices_are_spread_over_the_period_and_keep_their_pace() -> None:
    names = [f"d{n}" for n in range(10)]
    times = run(Schedule("w", dict.fromkeys(names, 1.0), 1000.25), 1020)
    firsts = sorted(t[0] % 1 for t in times.values())
    assert all(b - a == pytest.approx(0.1, abs=0.011) for a, b in itertools.pairwise(firsts))
    for seen in times.values():
        assert [b - a for a, b in itertools.pairwise(seen)] == pytest.approx([1.0] * (len(seen) - 1))


def test_a_late_poll_is_done_once_and_missed_ones_are_skipped() -> None:
    times = run(Schedule("w", {"a": 1.0, "b": 1.0}, 0.0), 20, cost_s=0.01, stall=(5.0, 3.5))
    for seen in times.values():
        assert len(seen) >= 16
        in_any_period = max(sum(1 for t in seen if at <= t < at + 1.0) for at in seen)
        assert in_any_period <= 2
    phases = [round(times["a"][n] % 1, 6) for n in (0, -1)]
    assert phases[0] == phases[1]


def test_a_slow_device_does_not_starve_a_fast_one() -> None:
    times = run(Schedule("w", {"fast": 0.1, "slow": 60.0}, 0.0), 70)
    assert len(times["fast"]) >= 690
    assert times["slow"][0] <= 2.0
    assert len(times["slow"]) == 2


def watch_of(name: str, silence: Silence, every_s: float = 1.0) -> Watch:
    return Watch(name, timeout_s=1.0, every_s=every_s, silence=silence, log=logging.getLogger("drivers.test"))


def test_a_device_that_fell_silent_is_asked_every_period_with_a_short_wait() -> None:
    watch = watch_of("d", Silence())
    watch.answered(0.0, 1, 0.004)
    assert watch.wait_s(1.0) == 1.0
    watch.failed(2.0, SILENCE, 1.0)
    waits = []
    for now in range(3, 280):
        waits.append(watch.wait_s(now))
        if waits[-1] is not None:
            watch.failed(now, SILENCE, waits[-1])
    assert set(waits) == {0.05, None}
    # Never twice in a row without asking: that is "within two periods".
    assert all(a or b for a, b in itertools.pairwise(waits))


def test_all_asking_in_vain_takes_less_than_a_twentieth_of_the_wire() -> None:
    silence = Silence()
    silent = [watch_of(f"s{n}", silence) for n in range(3)]
    never = [watch_of(f"n{n}", silence) for n in range(5)]
    for watch in silent:
        watch.answered(0.0, 1, 0.02)
        watch.failed(0.5, SILENCE, 1.0)
    for watch in never:
        watch.failed(0.5, SILENCE, 1.0)
    spent, asked = 0.0, set()
    for now in range(1, 3600):
        for watch in silent + never:
            wait_s = watch.wait_s(now)
            if wait_s is not None:
                spent += wait_s
                asked.add(id(watch))
                watch.failed(now, SILENCE, wait_s)
    at_the_start = 8 * 2 * 1.0  # each may spend a timeout of both kinds before it has earned one
    assert spent < 0.05 * 3600 + at_the_start + 5
    assert len(asked) == 8


def test_a_device_that_never_answered_is_asked_every_period_like_its_slowest_neighbour() -> None:
    silence = Silence()
    watch_of("neighbour", silence).answered(0.0, 1, 0.02)
    watch = watch_of("new", silence, every_s=10.0)
    watch.failed(0.0, SILENCE, 1.0)
    waits = []
    for now in range(10, 3600, 10):
        waits.append(watch.wait_s(now))
        if waits[-1] is not None:
            watch.failed(now, SILENCE, waits[-1])
    assert set(waits) == {0.08, 1.0}
    assert waits.count(1.0) >= 20  # its whole time now and then, should it be slower than they are


def test_a_slow_device_that_was_heard_late_is_given_the_whole_time() -> None:
    watch = watch_of("d", Silence())
    watch.answered(0.0, 1, 0.004)
    watch.failed(1.0, SILENCE, 1.0)
    assert watch.wait_s(2.0) == 0.05
    watch.heard_late(2.5)
    assert watch.wait_s(3.0) == 1.0
    watch.answered(3.4, 2, 0.4)
    watch.failed(5.0, SILENCE, 1.0)
    assert watch.wait_s(6.0) == 1.0  # four times its usual answer is more than the timeout


def test_down_and_back_are_one_line_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "drivers.test")
    watch = watch_of("lamps (unit 1)", Silence())
    watch.answered(0.0, 1, 0.01)
    watch.failed(1.0, SILENCE, 1.0)
    watch.answered(2.0, 2, 0.01)
    assert caplog.messages == []  # one lost answer is no event
    for now in range(3, 33):
        watch.failed(now, SILENCE, 1.0)
    watch.answered(34.0, 3, 0.01)
    watch.answered(35.0, 4, 0.01)
    assert [message.split(":")[0] for message in caplog.messages] == [
        "lamps (unit 1) is down",
        "lamps (unit 1) answers again after 30 s",
    ]


async def test_neighbours_of_a_dead_unit_keep_their_polls(tmp_path: Path) -> None:
    """Ten units on one connection, period and timeout 1 s, one falls silent: contract of the bench's deaddevice."""
    profile = modbus_profile({f"r{n}": point(table="holding", at=n, type="u16") for n in range(10)})
    names = [f"d{n}" for n in range(10)]
    made = site("modbus_tcp", tmp_path, dict.fromkeys(names, profile), every_s=1.0, timeout_s=1.0)
    async with made as rig, rig.driver:
        dead = rig.far.units["d5"].fault
        await take(rig.driver, 1.1)
        dead.silent = True
        before = {name: rig.far.units[name].requests for name in names}
        during = by_signal(await take(rig.driver, 5))
        polls = [rig.far.units[name].requests - before[name] for name in names if name != "d5"]
        assert sum(polls) >= 0.95 * 9 * 5 - 1
        assert min(polls) >= 4
        assert len(during["d5/r0"]) >= 4
        dead.silent = False
        after = by_signal(await take(rig.driver, 2.2, lambda newest: newest.get("d5/r0") is not None))
        assert after["d5/r0"][-1].value == 0
