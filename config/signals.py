"""The signals of a site as its document gives them, before any driver is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from drivers.profiles import AnyProfile
from drivers.settings import DeviceSettings
from gateway.model.measure import Signal
from gateway.pipeline.overrides import override
from gateway.pipeline.settings import PointSettings
from vision.driver import camera_signals
from vision.settings import CameraSettings


def signals_of(
    devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
    cameras: Mapping[str, CameraSettings],
    points: Mapping[str, PointSettings],
    own: Iterable[Signal] = (),
) -> list[Signal]:
    """What the drivers will yield, with the site's changes. `own`: what the gateway measures of itself."""
    found = [s for name, (device, profile) in devices.items() for s in profile.signals(name, device.every_s)]
    found += [signal for name, camera in cameras.items() for signal in camera_signals(name, camera)]
    return override([*found, *own], points)
