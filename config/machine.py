"""Checks against the machine and the wire: files that are there, ports that keep their name, time that suffices."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from math import ceil

from config.checks import Draft
from config.findings import Code, Finding, Path
from drivers.modbus.plan import blocks
from drivers.profiles import ModbusProfile
from drivers.settings import SERIAL, ModbusRtuWire
from gateway.model.measure import Forward
from gateway.pipeline.overrides import override

_UNSTABLE = re.compile(r"/dev/tty(USB|ACM)[0-9]+")
_BITS = {"none": 10, "even": 11, "odd": 11}
_REQUEST_BYTES, _ANSWER_BYTES = 8, 5
_THINKING_S = 0.01  # what a quick device needs before it answers; slower ones only make it worse


def state_dir_can_be_written(draft: Draft) -> Iterator[Finding]:
    value = draft.tree.get(("state_dir",))
    if not isinstance(value, str) or not value:
        return
    place = draft.base / value
    nearest = next(folder for folder in (place, *place.parents) if os.path.exists(folder))  # noqa: PTH110
    if not nearest.is_dir():
        what = f"{nearest} is a file, not a folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        what = f"{nearest} cannot be written by this user"
    else:
        return
    yield draft.tree.finding(Code.STATE_DIR, ("state_dir",), what, "the service uses /var/lib/gateway", "warning")


def paths_say_where_they_start(draft: Draft) -> Iterator[Finding]:
    for path, value in _paths(draft):
        if not value.startswith(("/", "./", "../")):
            yield draft.tree.finding(
                Code.RELATIVE_PATH,
                path,
                f"'{value}' is taken from the folder of this file",
                f"if that is meant write ./{value}, else the whole path",
                "warning",
            )


def ports_keep_their_names(draft: Draft) -> Iterator[Finding]:
    for name, wire in draft.wires.items():
        if isinstance(wire, SERIAL) and _UNSTABLE.fullmatch(wire.port):
            yield draft.tree.finding(
                Code.UNSTABLE_PORT,
                ("wires", name, "port"),
                f"{wire.port} may be another adapter after a restart",
                "use its name under /dev/serial/by-id",
                "warning",
            )


def files_are_there(draft: Draft) -> Iterator[Finding]:
    for path, value in _paths(draft):
        if path[0] != "wires" and path[-1] not in {"state_dir", "folder"} and not os.path.exists(draft.base / value):  # noqa: PTH110
            what = f"there is no file {value}"
            yield draft.tree.finding(Code.MISSING_FILE, path, what, "copy it before the gateway starts", "warning")


def _paths(draft: Draft) -> Iterator[tuple[Path, str]]:
    """Every path in the document that stands for a file, folder or port of this machine."""
    state_dir = draft.tree.get(("state_dir",))
    if isinstance(state_dir, str) and state_dir:
        yield ("state_dir",), state_dir
    for name, wire in draft.wires.items():
        for key in wire.PATHS:
            yield ("wires", name, key), getattr(wire, key)
    for name, camera in draft.cameras.items():
        if not camera.is_stream:
            yield ("cameras", name, "source"), camera.source
        if camera.model is not None:
            yield ("cameras", name, "model"), camera.model
    yield from _paths_of_tt10(draft)
    tls = draft.uplink.tls if draft.uplink else None
    for key in ("ca", "cert", "key"):
        value = getattr(tls, key, None)
        if value is not None:
            yield ("uplink", "tls", key), value


def _paths_of_tt10(draft: Draft) -> Iterator[tuple[Path, str]]:
    for number, export in draft.tt10.items():
        yield ("tt10", number, "folder"), export.folder
        for key in ("key", "ca"):
            if (value := getattr(export.send, key, None)) is not None:
                yield ("tt10", number, "send", key), value


def wires_can_carry_their_devices(draft: Draft) -> Iterator[Finding]:
    for name, wire in draft.wires.items():
        if not isinstance(wire, ModbusRtuWire):
            continue
        load, round_s = 0.0, 0.0
        for device, settings, own in draft.pairs():
            profile = draft.profiles.get(device)
            if own is wire and isinstance(profile, ModbusProfile):
                needed_s = seconds_to_read(profile, wire)
                load += needed_s / settings.every_s
                round_s += needed_s
        if load > 1:
            yield draft.tree.finding(
                Code.TOO_FAST,
                ("wires", name),
                f"about {round_s:.2g} s to read every device once: {load:.0%} of what the wire can carry",
                "raise every_s of its devices, or baud, or use a second wire",
                "warning",
            )


def seconds_to_read(profile: ModbusProfile, wire: ModbusRtuWire) -> float:
    """A careful guess, from below: bits on the wire, silences, and a quick device."""
    bits = _BITS[wire.parity] + wire.stop_bits - 1
    quiet_s = max(wire.pause_s, profile.limits.quiet_ms / 1000, 3.5 * bits / wire.baud)
    total = 0.0
    for block in blocks(profile.points, profile.limits):
        data = block.count / 8 if block.table in {"coil", "discrete"} else block.count * 2
        total += (_REQUEST_BYTES + _ANSWER_BYTES + data) * bits / wire.baud + quiet_s + _THINKING_S
    return total


def instruments_have_time_to_measure(draft: Draft) -> Iterator[Finding]:
    for name, device in draft.devices.items():
        profile = draft.profiles.get(name)
        if profile is not None and profile.cycle_s is not None and device.every_s < profile.cycle_s:
            yield draft.tree.finding(
                Code.FASTER_THAN_CYCLE,
                ("devices", name, "every_s"),
                f"'{device.profile}' measures every {profile.cycle_s:g} s and is asked every {device.every_s:g} s",
                f"write every_s: {profile.cycle_s:g}",
                "warning",
            )


def windows_hold_readings(draft: Draft) -> Iterator[Finding]:
    for name, device in draft.devices.items():
        profile = draft.profiles.get(name)
        signals = override(profile.signals(name, device.every_s), draft.points) if profile else []
        short = [s for s in signals if s.window_s < device.every_s and s.forward is not Forward.EVERY]
        if short:
            yield draft.tree.finding(
                Code.SHORT_WINDOW,
                ("devices", name, "every_s"),
                f"{device.every_s:g} s between readings, but the windows of {short[0].id} are {short[0].window_s} s",
                f'points: {{"{name}/*": {{window_s: {ceil(device.every_s) * 4}}}}}, or read more often',
                "warning",
            )


ALL: tuple[Callable[[Draft], Iterator[Finding]], ...] = (
    state_dir_can_be_written,
    paths_say_where_they_start,
    ports_keep_their_names,
    files_are_there,
    wires_can_carry_their_devices,
    instruments_have_time_to_measure,
    windows_hold_readings,
)
