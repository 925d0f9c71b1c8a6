"""A source that fails is restarted, says that nothing was measured, and logs twice: down and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Self

import pytest

from gateway.model.clock import SystemClock
from gateway.model.errors import LinkDown
from gateway.model.measure import Kind, Quality, Reading, Reason, Signal
from gateway.supervise import Supervisor, watchdog
from tests.kit.clock import ManualClock

SIGNAL = Signal(id="d/a", point="d/a", indicator="x.y", unit="1", kind=Kind.LAST, every_s=1)


class Flaky:
    """Fails as it is told, once an entry; yields one reading each time it works."""

    name = "wire"
    signals = (SIGNAL,)

    def __init__(self, script: list[Exception | None]) -> None:
        self.script = script
        self.entered = self.left = 0

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left += 1

    async def batches(self) -> AsyncIterator[Sequence[Reading]]:
        fault = self.script.pop(0) if self.script else None
        if fault is not None:
            raise fault
        yield [Reading("d/a", 0, 1.0)]
        if not self.script:
            await asyncio.Event().wait()
        raise LinkDown("pulled out", where="wire")

    def health(self) -> dict[str, Any]:
        return {}


async def run(driver: Flaky, until: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Reading], Supervisor]:
    monkeypatch.setattr("gateway.supervise.BACKOFF_S", (0.001,))
    got: list[Reading] = []
    done = asyncio.Event()

    async def sink(batch: Sequence[Reading]) -> None:
        got.extend(batch)
        if len(got) >= until:
            done.set()

    supervisor = Supervisor(driver, sink, SystemClock())  # type: ignore[arg-type]  # a stand-in for a driver
    task = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(5):
        await done.wait()
    task.cancel()
    await asyncio.wait([task])
    return got, supervisor


async def test_a_link_that_is_down_gives_missing_readings_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = Flaky([LinkDown("no port")] * 5)
    with caplog.at_level("INFO"):
        got, supervisor = await run(driver, 6, monkeypatch)
    assert [r.value for r in got] == [None] * 5 + [1.0]
    assert {r.reasons for r in got[:5]} == {(Reason.LINK_DOWN,)}
    assert got[0].quality is Quality.MISSING
    assert caplog.text.count("wire is down") == 1
    assert caplog.text.count("wire is back") == 1
    assert supervisor.health.up
    assert driver.entered == driver.left == 6


async def test_a_bug_in_a_driver_is_logged_with_its_traceback_and_the_source_restarted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    got, _ = await run(Flaky([ZeroDivisionError("a bug")] * 4), 5, monkeypatch)
    assert [r.value for r in got] == [None] * 4 + [1.0]
    assert "ZeroDivisionError" in caplog.text
    assert caplog.text.count("Traceback") == 1, "once, not with every attempt"


async def test_retries_start_quickly_and_grow_and_start_over_after_a_steady_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    clock = ManualClock()
    driver = Flaky([LinkDown("no port")] * 6)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 6:
            raise asyncio.CancelledError

    async def sink(batch: Sequence[Reading]) -> None:
        pass

    monkeypatch.setattr("gateway.supervise.asyncio.sleep", sleep)
    supervisor = Supervisor(driver, sink, clock)  # type: ignore[arg-type]  # a stand-in for a driver
    original = driver.__aenter__

    async def enter_late() -> Any:
        if len(waits) == 5:
            clock.advance(3600)  # this session lasts an hour
        return await original()

    monkeypatch.setattr(Flaky, "__aenter__", lambda _: enter_late())
    with pytest.raises(asyncio.CancelledError):
        await supervisor.run()
    assert waits == [0.5, 1.0, 2.0, 5.0, 5.0, 0.5]


async def test_the_watchdog_starves_when_a_source_is_stuck_or_the_store_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: list[str] = []
    monkeypatch.setattr("gateway.supervise.notify", fed.append)
    clock = SystemClock()
    supervisor = Supervisor(Flaky([]), lambda _: asyncio.sleep(0), clock)  # type: ignore[arg-type]
    answers = asyncio.Event()
    answers.set()

    async def store_turns() -> None:
        await answers.wait()

    task = asyncio.create_task(watchdog(0.01, [supervisor.health], store_turns, clock))
    await asyncio.sleep(0.1)
    assert len(fed) >= 3
    supervisor.health.turned_at = clock.monotonic() - 3600
    await asyncio.sleep(0.03)
    fed.clear()
    await asyncio.sleep(0.05)
    assert fed == []
    supervisor.health.turned_at = clock.monotonic()
    answers.clear()
    await asyncio.sleep(0.03)
    fed.clear()
    await asyncio.sleep(0.05)
    assert fed == []
    task.cancel()
    await asyncio.wait([task])


async def test_a_wire_that_is_read_once_an_hour_is_not_stuck_between_two_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[str] = []
    monkeypatch.setattr("gateway.supervise.notify", fed.append)
    clock = ManualClock()
    driver = Flaky([])
    driver.signals = (replace(SIGNAL, every_s=3600),)
    supervisor = Supervisor(driver, lambda _: asyncio.sleep(0), clock)  # type: ignore[arg-type]
    task = asyncio.create_task(watchdog(0.001, [supervisor.health], lambda: asyncio.sleep(0), clock))
    clock.advance(3700)
    await asyncio.sleep(0.02)
    assert fed
    clock.advance(4000)
    await asyncio.sleep(0.01)
    fed.clear()
    await asyncio.sleep(0.02)
    assert fed == []
    task.cancel()
    await asyncio.wait([task])


async def test_a_source_that_waits_for_a_full_disk_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[str] = []
    monkeypatch.setattr("gateway.supervise.notify", fed.append)
    clock, room = ManualClock(), asyncio.Event()

    async def sink(_: Sequence[Reading]) -> None:
        await room.wait()

    supervisor = Supervisor(Flaky([None]), sink, clock)  # type: ignore[arg-type]
    source = asyncio.create_task(supervisor.run())
    task = asyncio.create_task(watchdog(0.001, [supervisor.health], lambda: asyncio.sleep(0), clock))
    await asyncio.sleep(0.02)
    clock.advance(86_400)
    await asyncio.sleep(0.02)
    fed.clear()
    await asyncio.sleep(0.02)
    assert fed, "a restart would lose what waits in memory"
    room.set()
    await asyncio.sleep(0.02)
    clock.advance(61)
    await asyncio.sleep(0.02)
    fed.clear()
    await asyncio.sleep(0.02)
    assert fed, "what it waited is not held against it"
    clock.advance(3600)
    await asyncio.sleep(0.02)
    fed.clear()
    await asyncio.sleep(0.02)
    assert fed == [], "now it is stuck"
    for each in (task, source):
        each.cancel()
    await asyncio.wait([task, source])
