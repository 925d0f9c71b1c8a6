"""libgpiod, with a stand-in for the chip: what we ask of it and what we make of its answers."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import gpiod
import pytest
from gpiod.line import Bias, Clock, Value

from drivers.gpio.chip import Edge, Pin, pins_at
from drivers.gpio.kernel import KernelPins
from gateway.model.clock import SystemClock
from gateway.model.errors import LinkDown, Unsupported


class StandIn:
    """A chip with 8 pins. `events` wait; `refuse` is raised by requests with a debounce period; `used` by pin."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        self.events: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.refuse: OSError | None = None
        self.used: dict[int, str] = {}
        self.broken: OSError | None = None
        self.debounces = True
        self.released = 0
        self.fd = self.read_fd

    def __call__(self, path: str) -> StandIn:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Closing the chip leaves its requests alone."""

    def get_info(self) -> Any:
        return SimpleNamespace(num_lines=8)

    def get_line_info(self, pin: int) -> Any:
        period = self.asked[-1]["config"][pin].debounce_period if self.asked and self.debounces else timedelta()
        return SimpleNamespace(
            offset=pin,
            used=pin in self.used,
            consumer=self.used.get(pin, ""),
            debounced=period > timedelta(),
            debounce_period=period,
        )

    def request_lines(self, config: Any, consumer: str, event_buffer_size: int) -> StandIn:
        wants_still = any(settings.debounce_period.total_seconds() > 0 for settings in config.values())
        if self.refuse is not None and (wants_still or self.refuse.errno == errno.EBUSY):
            raise self.refuse
        self.asked.append({"config": config, "consumer": consumer, "events": event_buffer_size})
        return self

    def get_values(self, pins: list[int]) -> list[Value]:
        return [Value.ACTIVE if pin % 2 else Value.INACTIVE for pin in pins]

    def wait_edge_events(self, timeout: float) -> bool:
        return bool(self.events) or self.broken is not None

    def read_edge_events(self, most: int) -> list[Any]:
        if self.broken is not None:
            raise self.broken
        taken, self.events = self.events[:most], self.events[most:]
        os.read(self.read_fd, len(taken))
        return taken

    def happens(self, pin: int, level: int, number: int, at_ns: int = 5_000_000_000) -> None:
        kind = gpiod.EdgeEvent.Type.RISING_EDGE if level else gpiod.EdgeEvent.Type.FALLING_EDGE
        self.events.append(SimpleNamespace(line_offset=pin, timestamp_ns=at_ns, event_type=kind, line_seqno=number))
        os.write(self.write_fd, b"x")

    def breaks(self, error: OSError) -> None:
        self.broken = error
        os.write(self.write_fd, b"x")

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def chip(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    made = StandIn()
    monkeypatch.setattr(gpiod, "Chip", made)
    yield made
    os.close(made.read_fd)
    os.close(made.write_fd)


def kernel_pins(*, still_ms: float = 0.0, pins: tuple[int, ...] = (3, 4)) -> KernelPins:
    return KernelPins("w", Path("/dev/gpiochip9"), {pin: Pin("up", still_ms) for pin in pins}, SystemClock())


async def test_the_kernel_is_asked_for_both_edges_with_pull_debounce_and_our_name(chip: StandIn) -> None:
    pins, heard = kernel_pins(still_ms=20), list[Edge]()
    assert await pins.open(heard.append, pytest.fail) == {3: 1, 4: 0}
    (asked,) = chip.asked
    wish = asked["config"][3]
    assert (asked["consumer"], asked["events"]) == ("gateway", 1024)
    assert (wish.bias, wish.event_clock, wish.debounce_period.total_seconds()) == (Bias.PULL_UP, Clock.MONOTONIC, 0.02)
    chip.happens(3, 0, 1)
    chip.happens(4, 1, 1)
    await asyncio.sleep(0.005)
    # The kernel waited already: nothing is waited for again, and the edge was when the level began to stand.
    assert heard == [Edge(3, 4_980_000_000, 0), Edge(4, 4_980_000_000, 1)]
    pins.close()
    assert chip.released == 1


@pytest.mark.parametrize("how", ["refuses", "ignores"])
async def test_where_the_kernel_does_not_debounce_we_do(chip: StandIn, how: str) -> None:
    chip.debounces = False
    chip.refuse = OSError(errno.ENOTSUP, "not supported") if how == "refuses" else None
    pins, heard = kernel_pins(still_ms=30), list[Edge]()
    await pins.open(heard.append, pytest.fail)
    now_ns = time.monotonic_ns()
    chip.happens(3, 0, 1, now_ns)
    chip.happens(3, 1, 2, now_ns + 1000)
    chip.happens(4, 1, 1, now_ns + 2000)
    await asyncio.sleep(0.005)
    assert heard == []
    await asyncio.sleep(0.06)
    assert [(edge.pin, edge.level) for edge in heard] == [(4, 1)]
    pins.close()


async def test_holes_in_the_kernels_numbers_are_lost_edges(chip: StandIn) -> None:
    pins, heard = kernel_pins(), list[Edge]()
    await pins.open(heard.append, pytest.fail)
    for level, number in ((0, 3), (1, 4), (0, 9)):
        chip.happens(3, level, number)
    await asyncio.sleep(0.005)
    assert pins.lost == {3: 6, 4: 0}
    assert [edge.level for edge in heard] == [0, 1, 0]
    pins.close()


async def test_a_chip_that_breaks_while_read_is_gone(chip: StandIn) -> None:
    pins, gone = kernel_pins(), list[LinkDown]()
    await pins.open(pytest.fail, gone.append)
    chip.breaks(OSError(errno.ENODEV, "No such device"))
    await asyncio.sleep(0.005)
    assert [error.what for error in gone] == ["/dev/gpiochip9 is gone: No such device"]
    assert chip.released == 1


async def test_a_busy_pin_names_its_user_and_a_race_for_it_is_link_down_too(chip: StandIn) -> None:
    chip.used = {4: "led0"}
    with pytest.raises(LinkDown, match=r"pin 4 .* unavailable, 'led0' has it"):
        await kernel_pins().open(pytest.fail, pytest.fail)
    chip.used = {}
    chip.refuse = OSError(errno.EBUSY, "Device or resource busy")
    with pytest.raises(LinkDown, match="busy") as caught:
        await kernel_pins().open(pytest.fail, pytest.fail)
    assert "gpioinfo" in caught.value.hint
    assert chip.asked == []


async def test_a_pin_that_the_chip_does_not_have_is_unsupported(chip: StandIn) -> None:
    with pytest.raises(Unsupported, match="no pin 8, its last one is 7"):
        await kernel_pins(pins=(8,)).open(pytest.fail, pytest.fail)


async def test_no_permission_says_which_group_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(gpiod, "Chip", closed)
    with pytest.raises(LinkDown) as caught:
        await kernel_pins().open(pytest.fail, pytest.fail)
    assert "group gpio" in caught.value.hint


async def test_what_is_no_chip_is_unsupported_and_what_is_not_there_is_link_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unsupported, match="file") as caught:
        await pins_at("w", tmp_path / "file", {3: Pin()}, SystemClock()).open(pytest.fail, pytest.fail)
    assert "gpiodetect" in caught.value.hint
    with pytest.raises(LinkDown, match="there is no"):
        pins_at("w", tmp_path / "nothing", {3: Pin()}, SystemClock())


async def test_libgpiod_is_not_loaded_for_a_rehearsal() -> None:
    loads = "drivers.gpio.driver, drivers.gpio.rehearsed, drivers.simulate.gpio"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"import sys, {loads}; sys.exit('gpiod' in sys.modules)"
    )
    assert await asyncio.wait_for(child.wait(), 30) == 0
