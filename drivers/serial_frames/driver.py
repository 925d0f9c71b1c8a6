"""The driver of an instrument that sends frames of bytes."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.instrument import Heard, Instrument, Speech, only_device, serial_of
from drivers.profiles import AnyProfile, FramesProfile
from drivers.serial_frames.cut import FrameCutter
from drivers.serial_frames.parse import parse
from drivers.settings import BinaryFramesWire, DeviceSettings
from drivers.surroundings import Surroundings


class FramesDriver(Instrument):
    """Every kind of frame of the profile has its own turns."""

    def __init__(
        self,
        name: str,
        wire: BinaryFramesWire,
        devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
        around: Surroundings,
    ) -> None:
        device, settings, profile = only_device(name, devices, FramesProfile)

        def heard(data: bytes) -> Heard | None:
            found = parse(profile, data)
            return None if found is None else found[1]

        speech = Speech(FrameCutter(profile.frames.values()), heard, bytes.fromhex(profile.ask), "frame")
        super().__init__(name, serial_of(wire, around), (device, settings, profile), speech, around)
