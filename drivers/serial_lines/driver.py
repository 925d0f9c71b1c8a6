"""The driver of an instrument that sends lines of text."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.instrument import Heard, Instrument, Speech, only_device, serial_of
from drivers.profiles import AnyProfile, LinesProfile
from drivers.serial_lines.cut import LineCutter
from drivers.serial_lines.parse import parse
from drivers.settings import DeviceSettings, TextLinesWire
from drivers.surroundings import Surroundings


class LinesDriver(Instrument):
    """Every kind of line of the profile has its own turns."""

    def __init__(
        self,
        name: str,
        wire: TextLinesWire,
        devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
        around: Surroundings,
    ) -> None:
        device, settings, profile = only_device(name, devices, LinesProfile)

        def heard(data: bytes) -> Heard | None:
            found = parse(profile, data)
            return None if found is None else found[1]

        speech = Speech(LineCutter(), heard, profile.ask.encode(), "line")
        super().__init__(name, serial_of(wire, around), (device, settings, profile), speech, around)
