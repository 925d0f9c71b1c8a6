"""The far end of a text line: an instrument on a pty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers.profiles import LinesProfile
from drivers.serial_lines.parse import nmea_checksum
from drivers.settings import TextLinesWire
from drivers.simulate.far_end import GARBAGE, SimulatedDevice, Stage
from drivers.simulate.talking import TalkingEnd


def make(wire: TextLinesWire, devices: Mapping[str, SimulatedDevice], stage: Stage) -> LinesEnd:
    (device,) = devices.values()
    return LinesEnd(stage.base / wire.port, device)


class LinesEnd(TalkingEnd):
    """An instrument that sends each of its profile's lines once a period."""

    rubbish = GARBAGE + b"\r\n"

    def __init__(self, path: Path, device: SimulatedDevice) -> None:
        assert isinstance(device.profile, LinesProfile)  # noqa: S101 - config checks that profiles fit their wires
        super().__init__(path, device, device.profile.ask.encode())
        self._profile = device.profile

    def pieces(self) -> Sequence[bytes]:
        return [self._line(name) for name in self._profile.lines]

    def piece_of(self, given: Any) -> bytes:
        return str(given).encode() + b"\r\n"

    def _line(self, name: str) -> bytes:
        shape = self._profile.lines[name]
        fields = ["0"] * shape.fields
        for key, point in self._profile.points.items():
            if point.line == name:
                value = self.device.world.value(key)
                if isinstance(value, str) or point.type == "text":
                    fields[point.field] = str(value)
                else:
                    fields[point.field] = f"{(value - point.offset) / point.scale:.6g}"
        text = shape.prefix + shape.separator.join(fields)
        text = f"{text}*{nmea_checksum(text)}" if shape.checksum == "nmea" else text
        return text.encode("ascii", errors="replace") + b"\r\n"
