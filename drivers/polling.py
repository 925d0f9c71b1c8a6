"""Asking in turn: the endless loop around the devices of one wire that only speak when spoken to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Final, Protocol

from drivers.schedule import Schedule
from gateway.model.clock import Clock
from gateway.model.measure import Reading

_LOOK_UP_S: Final = 1.0
"""How often a sleeping loop looks whether the wire is still there."""


class Polled(Protocol):
    """A device that can be asked."""

    @property
    def every_s(self) -> float: ...

    async def poll(self) -> Sequence[Reading]:
        """One reading for each of its signals, missing ones included. Raises LinkDown only."""


async def poll_all(
    wire: str, devices: Mapping[str, Polled], clock: Clock, check: Callable[[], None]
) -> AsyncGenerator[Sequence[Reading], None]:
    """One batch a device and period. `check` raises LinkDown when the wire is gone."""
    schedule = Schedule(wire, {name: device.every_s for name, device in devices.items()}, clock.monotonic())
    while True:
        due, name = schedule.next()
        while (left_s := due - clock.monotonic()) > 0:
            await asyncio.sleep(min(left_s, _LOOK_UP_S))
            check()
        began = clock.monotonic()
        batch = await devices[name].poll()
        schedule.done(began)
        yield batch
