"""The far end of a text line: an instrument on a pty."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.profiles import LinesProfile
from drivers.serial_lines.parse import nmea_checksum
from drivers.settings import TextLinesWire
from drivers.simulate.far_end import GARBAGE, PtyEnd, SimulatedDevice, Stage


def make(wire: TextLinesWire, devices: Mapping[str, SimulatedDevice], stage: Stage) -> LinesEnd:
    (device,) = devices.values()
    return LinesEnd(stage.base / wire.port, device)


class LinesEnd(PtyEnd):
    """An instrument that sends each of its profile's lines once a period."""

    def __init__(self, path: Path, device: SimulatedDevice) -> None:
        super().__init__(path)
        assert isinstance(device.profile, LinesProfile)  # noqa: S101 - config checks that profiles fit their wires
        self.device = device
        self.world = device.world
        self.sent = 0
        self._profile = device.profile
        self._every_s = device.settings.every_s
        self._next: asyncio.TimerHandle | None = None
        self._played: bytes | None = None

    def play(self, device: str, given: Any) -> None:  # noqa: ARG002 - it is the only one
        self._played = str(given).encode()

    async def plug(self) -> None:
        await super().plug()
        self._next = asyncio.get_running_loop().call_later(0, self._speak)

    async def unplug(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        await super().unplug()

    def _speak(self) -> None:
        self._next = asyncio.get_running_loop().call_later(self._every_s, self._speak)
        if self.fault.silent or self.device.fault.silent:
            return
        if self._played is not None:
            self.say(self._played)
            return
        for line in self._profile.lines:
            self.say(GARBAGE if self.fault.garbage or self.device.fault.garbage else self.line(line))

    def say(self, line: bytes) -> None:
        self.sent += 1
        self.send(line + b"\r\n")

    def line(self, name: str) -> bytes:
        """One line as the instrument would send it now."""
        shape = self._profile.lines[name]
        fields = ["0"] * shape.fields
        for key, point in self._profile.points.items():
            if point.line == name:
                value = self.world.value(key)
                if isinstance(value, str) or point.type == "text":
                    fields[point.field] = str(value)
                else:
                    fields[point.field] = f"{(value - point.offset) / point.scale:.6g}"
        text = shape.prefix + shape.separator.join(fields)
        return (f"{text}*{nmea_checksum(text)}" if shape.checksum == "nmea" else text).encode("ascii", errors="replace")
