"""The far end of a wire for frames: an instrument on a pty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers.profiles import FramePoint, FramesProfile
from drivers.serial_frames.parse import checksum, codec
from drivers.settings import BinaryFramesWire
from drivers.simulate.far_end import SimulatedDevice, Stage
from drivers.simulate.talking import TalkingEnd
from gateway.model.measure import Value


def make(wire: BinaryFramesWire, devices: Mapping[str, SimulatedDevice], stage: Stage) -> FramesEnd:
    (device,) = devices.values()
    return FramesEnd(stage.base / wire.port, device)


class FramesEnd(TalkingEnd):
    """An instrument that sends each of its profile's frames once a period."""

    def __init__(self, path: Path, device: SimulatedDevice) -> None:
        assert isinstance(device.profile, FramesProfile)  # noqa: S101 - config checks that profiles fit their wires
        super().__init__(path, device, bytes.fromhex(device.profile.ask))
        self._profile = device.profile

    def pieces(self) -> Sequence[bytes]:
        return [self._frame(name) for name in self._profile.frames]

    def piece_of(self, given: Any) -> bytes:
        return bytes.fromhex(given)

    def _frame(self, name: str) -> bytes:
        shape = self._profile.frames[name]
        frame = bytearray(shape.length)
        for key, point in self._profile.points.items():
            if point.frame == name:
                frame[point.at : point.at + point.width] = _packed(point, self.device.world.value(key))
        header, tail = bytes.fromhex(shape.header), bytes.fromhex(shape.tail or "")
        frame[: len(header)] = header
        frame[shape.length - len(tail) :] = tail
        if (rule := shape.checksum) is not None:
            frame[rule.at : rule.at + rule.width] = checksum(rule, bytes(frame))
        return bytes(frame)


def _packed(point: FramePoint, value: Value) -> bytes:
    """The nearest number that the field can hold."""
    number = 0.0 if isinstance(value, str) else (value - point.offset) / point.scale
    if point.type == "f32":
        return codec(point).pack(number)
    bits = 8 * point.width
    low, high = (0, 2**bits - 1) if point.type.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return codec(point).pack(min(max(round(number), low), high))
