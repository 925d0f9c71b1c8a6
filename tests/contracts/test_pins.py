"""What `Pins` promises, on the socket of a rehearsal and on the kernel's simulated chip where there is one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

import pytest

from drivers.gpio.chip import Edge, Pin, Pins, pins_at
from drivers.settings import DeviceSettings
from drivers.simulate.far_end import SimulatedDevice, Stage
from drivers.simulate.gpio import GpioEnd
from gateway.model.clock import SystemClock
from gateway.model.errors import LinkDown
from tests.drivers.kinds.gpio import contact_profile
from tests.kit.gpio_sim import GpioSim, why_not

SOON_S = 2.0


class Chip(Protocol):
    """The other side of the pins 3, 4 and 5."""

    @property
    def path(self) -> Path: ...

    def set(self, pin: int, level: int) -> None: ...

    async def vanish(self) -> None: ...


class OnSocket:
    def __init__(self, base: Path) -> None:
        profile = contact_profile(mode="contact", kind="last")
        stage = Stage(SystemClock(), base)
        devices = {
            str(pin): SimulatedDevice(
                str(pin), DeviceSettings(profile="contact", wire="w", pin=pin, every_s=1), profile, stage
            )
            for pin in (3, 4, 5)
        }
        self.path = base / "chip"
        self.end = GpioEnd(self.path, devices)

    def set(self, pin: int, level: int) -> None:
        self.end.set(pin, level)

    async def vanish(self) -> None:
        await self.end.unplug()


class OnKernel:
    def __init__(self, sim: GpioSim) -> None:
        self._sim = sim

    @property
    def path(self) -> Path:
        return self._sim.path

    def set(self, pin: int, level: int) -> None:
        self._sim.set(pin, level)

    async def vanish(self) -> None:
        self._sim.unplug()


@pytest.fixture(params=["socket", "kernel"])
async def chip(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Chip]:
    if request.param == "kernel":
        if reason := why_not():
            pytest.skip(reason)
        with GpioSim(f"gateway-{os.getpid()}") as sim:
            yield OnKernel(sim)
    else:
        made = OnSocket(tmp_path)
        await made.end.plug()
        yield made
        await made.end.unplug()


class Ear:
    """Opens pins and listens."""

    def __init__(self, chip: Chip, still_ms: float = 0.0, pins: tuple[int, ...] = (3,)) -> None:
        self.edges: list[Edge] = []
        self.gone: list[LinkDown] = []
        self.pins: Pins = pins_at("w", chip.path, {pin: Pin("none", still_ms) for pin in pins}, SystemClock())

    async def open(self) -> dict[int, int]:
        return dict(await self.pins.open(self.edges.append, self.gone.append))

    async def until(self, done: Callable[[], object]) -> None:
        async with asyncio.timeout(SOON_S):
            while not done():
                await asyncio.sleep(0.002)

    @property
    def told(self) -> list[tuple[int, int]]:
        return [(edge.pin, edge.level) for edge in self.edges]


@contextlib.asynccontextmanager
async def listening(chip: Chip, still_ms: float = 0.0, pins: tuple[int, ...] = (3,)) -> AsyncIterator[Ear]:
    ear = Ear(chip, still_ms, pins)
    await ear.open()
    try:
        yield ear
    finally:
        ear.pins.close()


async def test_the_levels_at_the_start_are_told_and_are_no_edges(chip: Chip) -> None:
    chip.set(3, 1)
    chip.set(4, 0)
    ear = Ear(chip, pins=(3, 4))
    assert await ear.open() == {3: 1, 4: 0}
    await asyncio.sleep(0.05)
    ear.pins.close()
    assert ear.edges == []


async def test_edges_come_in_order_with_the_times_at_which_they_happened(chip: Chip) -> None:
    chip.set(3, 0)
    async with listening(chip) as ear:
        times = [time.monotonic_ns()]
        for level in (1, 0, 1):
            chip.set(3, level)
            times.append(time.monotonic_ns())
            await asyncio.sleep(0.01)
        await ear.until(lambda: len(ear.edges) == 3)
    assert ear.told == [(3, 1), (3, 0), (3, 1)]
    assert [edge.at_ns for edge in ear.edges] == sorted(edge.at_ns for edge in ear.edges)
    # 1 ms: the clock is a float on its way
    assert times[0] - 1e6 <= ear.edges[0].at_ns <= times[1] + 1e6 <= ear.edges[1].at_ns + 1e6 <= times[2] + 2e6


async def test_edges_that_came_while_nobody_looked_are_not_lost(chip: Chip) -> None:
    chip.set(3, 0)
    async with listening(chip) as ear:
        for n in range(100):
            chip.set(3, 1 - n % 2)
        time.sleep(0.02)  # noqa: ASYNC251 - an event loop that is busy elsewhere
        await ear.until(lambda: len(ear.edges) == 100)
    assert ear.told == [(3, 1 - n % 2) for n in range(100)]
    assert ear.pins.lost == {3: 0}


async def test_a_level_is_believed_once_it_stood_long_enough_and_not_before(chip: Chip) -> None:
    chip.set(3, 1)
    async with listening(chip, still_ms=120) as ear:
        chip.set(3, 0)
        await asyncio.sleep(0.02)
        chip.set(3, 1)
        await asyncio.sleep(0.2)
        assert ear.edges == []
        began = time.monotonic()
        chip.set(3, 0)
        await ear.until(lambda: ear.edges)
        assert time.monotonic() - began >= 0.115
    assert ear.told == [(3, 0)]


async def test_a_bounce_is_not_believed_even_if_the_event_loop_was_busy_meanwhile(chip: Chip) -> None:
    chip.set(3, 1)
    async with listening(chip, still_ms=80) as ear:
        chip.set(3, 0)
        await asyncio.sleep(0.005)
        chip.set(3, 1)
        time.sleep(0.12)  # noqa: ASYNC251 - both the bounce and its time are over when the loop looks again
        await asyncio.sleep(0.05)
    assert ear.edges == []


async def test_pins_do_not_disturb_one_another(chip: Chip) -> None:
    for pin in (3, 4, 5):
        chip.set(pin, 0)
    async with listening(chip, still_ms=5, pins=(3, 4)) as ear, listening(chip, pins=(5,)) as other:
        chip.set(3, 1)
        chip.set(4, 1)
        chip.set(5, 1)
        await ear.until(lambda: len(ear.edges) == 2 and other.edges)
    assert sorted(ear.told) == [(3, 1), (4, 1)]
    assert other.told == [(5, 1)]


async def test_a_pin_in_use_is_link_down_and_its_user_goes_on(chip: Chip) -> None:
    chip.set(3, 0)
    async with listening(chip) as ear:
        with pytest.raises(LinkDown, match="unavailable") as caught:
            await Ear(chip, pins=(4, 3)).open()
        assert caught.value.where == "w"
        assert caught.value.hint
        chip.set(3, 1)
        await ear.until(lambda: ear.edges)
        async with listening(chip, pins=(4,)) as freed:  # the attempt that failed kept nothing
            assert freed.edges == []


async def test_closed_pins_are_free_and_silent_and_can_be_opened_again(chip: Chip) -> None:
    chip.set(3, 0)
    ear = Ear(chip)
    ear.pins.close()
    for level in (1, 0):
        await ear.open()
        chip.set(3, level)
        await ear.until(lambda: ear.told[-1:] == [(3, level)])  # noqa: B023 - called in this turn
        ear.pins.close()
        ear.pins.close()
        heard = len(ear.edges)
        chip.set(3, 1 - level)
        chip.set(3, level)
        await asyncio.sleep(0.02)
        assert len(ear.edges) == heard


async def test_a_chip_that_vanishes_is_told_once(chip: Chip) -> None:
    async with listening(chip) as ear:
        path = chip.path
        await chip.vanish()
        await ear.until(lambda: ear.gone)
        await asyncio.sleep(0.02)
    assert [type(gone) for gone in ear.gone] == [LinkDown]
    assert ear.gone[0].hint
    with pytest.raises(LinkDown):
        pins_at("w", path, {3: Pin()}, SystemClock())
