"""What no single room can see: one check for each promise, each a function from the draft to findings."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from config.findings import Code, Finding, Path
from config.load import Tree
from config.profiles import Shelf
from config.words import SECRET_KEY, did_you_mean
from config.zones import Zone
from drivers.profiles import AnyProfile
from drivers.settings import SERIAL, AnyWire, DeviceSettings, HttpPollWire, ModbusTcpWire, MqttInWire
from gateway.indicators import own_signals
from gateway.indicators.limit_profiles import LimitUse
from gateway.indicators.settings import Published
from gateway.pipeline.settings import PointSettings
from gateway.uplink.settings import UplinkSettings
from gateway.uplink.tt10.settings import KEPT_DAYS, FtpSend, Tt10Export
from vision.settings import CameraSettings

SECRET_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_URL_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)
_CODES = {"province": 2, "commune": 5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The sound parts of a document. An entry with an error of its own is not in here; its name is in the tree."""

    tree: Tree
    base: pathlib.Path
    shelf: Shelf
    wires: Mapping[str, AnyWire]
    devices: Mapping[str, DeviceSettings]
    profiles: Mapping[str, AnyProfile]
    cameras: Mapping[str, CameraSettings]
    uplink: UplinkSettings | None
    points: Mapping[str, PointSettings]
    tt10: Mapping[int, Tt10Export]
    zones: Mapping[str, Zone]
    indicators: Mapping[int, Published]
    limits: Mapping[int, LimitUse]

    @property
    def province(self) -> str | None:
        """The site's, if it is written as a code."""
        return self._code("province")

    @property
    def commune(self) -> str | None:
        return self._code("commune")

    @property
    def place(self) -> tuple[float, float] | None:
        """(lat, lon) of the site, if both are numbers."""
        lat, lon = self.tree.get(("place", "lat")), self.tree.get(("place", "lon"))
        return (lat, lon) if isinstance(lat, int | float) and isinstance(lon, int | float) else None

    @property
    def is_whole(self) -> bool:
        """Every device and camera is sound. With one that is not, what is missing may be what it would have given."""
        return set(self.names("devices")) == set(self.profiles) and set(self.names("cameras")) == set(self.cameras)

    def _code(self, key: str) -> str | None:
        value = self.tree.get(("place", key))
        sound = isinstance(value, str) and value.isdecimal() and len(value) == _CODES[key]
        return value if sound else None

    def names(self, section: str) -> list[str]:
        """Every name under a section, also of entries with errors."""
        entries = self.tree.get((section,))
        return list(entries) if isinstance(entries, dict) else []

    def pairs(self) -> Iterator[tuple[str, DeviceSettings, AnyWire]]:
        """Devices whose wire is known and sound."""
        for name, device in self.devices.items():
            if device.wire in self.wires:
                yield name, device, self.wires[device.wire]


def codes_are_texts(draft: Draft) -> Iterator[Finding]:
    for key, digits in _CODES.items():
        value = draft.tree.get(("place", key))
        if isinstance(value, int) and not isinstance(value, bool):
            yield draft.tree.finding(
                Code.CODE_AS_NUMBER,
                ("place", key),
                f"the code is written as the number {value}; its zeros are lost",
                f'write {key}: "{value:0{digits}d}"',
            )


def no_passwords(draft: Draft) -> Iterator[Finding]:
    for path, value in _leaves(draft.tree.data, ()):
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        if isinstance(value, str) and _URL_PASSWORD.match(value):
            what, hint = "there is a password in this address", "leave it out here and add `password: NAME`"
        elif isinstance(value, str) and "PRIVATE KEY-----" in value:
            what, hint = "this is a private key", "put it into a file and name the file here"
        elif value not in {None, True, False} and SECRET_KEY.search(key) and not SECRET_NAME.fullmatch(str(value)):
            what = "this looks like the password itself"
            hint = "put it into /etc/gateway/secrets/NAME and write the name here"
        else:
            continue
        yield draft.tree.finding(Code.PASSWORD_IN_DOCUMENT, path, what, hint)


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, (*path, key))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _leaves(entry, (*path, index))
    else:
        yield path, value


def names_differ(draft: Draft) -> Iterator[Finding]:
    for name in draft.names("cameras"):
        if name in draft.names("devices"):
            yield draft.tree.finding(
                Code.DUPLICATE_NAME, ("cameras", name), f"a device is called '{name}' too", "rename one of the two"
            )


def the_gateway_has_its_own_name(draft: Draft) -> Iterator[Finding]:
    """Points of the gateway itself are called `gateway/...`."""
    for section in ("wires", "devices", "cameras"):
        if own_signals.NAME in draft.names(section):
            what = f"'{own_signals.NAME}' is what the gateway calls itself"
            yield draft.tree.finding(Code.DUPLICATE_NAME, (section, own_signals.NAME), what, "choose another name")


def devices_hang_on_wires(draft: Draft) -> Iterator[Finding]:
    wires = draft.names("wires")
    for name, device in draft.devices.items():
        if device.wire not in wires:
            hint = did_you_mean(device.wire, wires)
            path = ("devices", name, "wire")
            yield draft.tree.finding(Code.UNKNOWN_WIRE, path, f"there is no wire '{device.wire}'", hint)
    used = [draft.tree.get(("devices", name, "wire")) for name in draft.names("devices")]
    for wire in wires:
        if wire not in used:
            yield draft.tree.finding(
                Code.UNUSED_WIRE, ("wires", wire), "no device hangs on this wire", severity="warning"
            )


def profiles_are_known(draft: Draft) -> Iterator[Finding]:
    for name, device in draft.devices.items():
        path = ("devices", name, "profile")
        profile = draft.profiles.get(name)
        if not draft.shelf.knows(device.profile):
            what = f"there is no profile '{device.profile}'"
            yield draft.tree.finding(Code.UNKNOWN_PROFILE, path, what, draft.shelf.hint(device.profile))
        elif profile is not None and not profile.confirmed:
            yield draft.tree.finding(
                Code.UNCONFIRMED_PROFILE,
                path,
                f"'{device.profile}' was never confirmed on a real device",
                "compare each value with the device's own display",
                "warning",
            )


def profiles_fit_their_wires(draft: Draft) -> Iterator[Finding]:
    for name, device, wire in draft.pairs():
        profile = draft.profiles.get(name)
        if profile is not None and wire.kind not in profile.WIRES:
            fitting = [w for w, other in draft.wires.items() if other.kind in profile.WIRES]
            yield draft.tree.finding(
                Code.WRONG_WIRE_KIND,
                ("devices", name, "wire"),
                f"'{device.profile}' speaks {profile.driver}, wire '{device.wire}' is {wire.kind}",
                f"wires that fit: {', '.join(fitting)}" if fitting else "no wire of this site fits",
            )


_NAMES = {"unit": "as set on the device, 1 to 247", "address": "what it is called there", "pin": "see gpioinfo"}


def devices_are_told_apart(draft: Draft) -> Iterator[Finding]:
    """Each kind of wire has one key that tells its devices apart; the others do not belong there."""
    taken: dict[tuple[str, str | int | None], str] = {}
    for name, device, wire in draft.pairs():
        profile = draft.profiles.get(name)
        own = None if profile is not None and profile.alone else wire.TELLS_APART
        for key in _NAMES:
            if key != wire.TELLS_APART and getattr(device, key) is not None:
                what, hint = f"devices on a {wire.kind} wire have no {key}", "remove it"
                yield draft.tree.finding(Code.BAD_VALUE, ("devices", name, key), what, hint)
        value = getattr(device, own) if own is not None else None
        path = ("devices", name, own or "wire")
        if own is not None and value is None:
            what = f"devices on '{device.wire}' are told apart by `{own}`"
            yield draft.tree.finding(Code.MISSING_UNIT, path, what, f"add {own}: {_NAMES[own]}")
        elif value == 0 and wire.kind == "modbus_rtu":
            what = "0 calls all units at once; none of them answers"
            yield draft.tree.finding(Code.OUT_OF_RANGE, path, what, "write the number set on the device, 1 to 247")
        elif (other := taken.get((device.wire, value))) is not None:
            what = (
                f"wire '{device.wire}' carries one instrument" if own is None else f"{own} {value} of '{device.wire}'"
            )
            yield draft.tree.finding(
                Code.DUPLICATE_UNIT, path, f"{what}; '{other}' has it already", "change one of the two"
            )
        taken.setdefault((device.wire, value), name)


def wires_have_their_own_port(draft: Draft) -> Iterator[Finding]:
    taken: dict[str, str] = {}
    for name, wire in draft.wires.items():
        place, key = _place(draft, wire)
        if place in taken:
            what = f"wire '{taken[place]}' uses the same {'port' if key == 'host' else key}"
            yield draft.tree.finding(
                Code.SHARED_PORT, ("wires", name, key), what, "make it one wire with several devices"
            )
        taken.setdefault(place, name)


def _place(draft: Draft, wire: AnyWire) -> tuple[str, str]:
    """What two wires cannot share, and the key that says it."""
    if isinstance(wire, ModbusTcpWire | MqttInWire):
        return f"{wire.host.lower()}:{wire.port}", "host"
    if isinstance(wire, HttpPollWire):
        return wire.url.lower().rstrip("/"), "url"
    key = "port" if isinstance(wire, SERIAL) else "folder" if wire.kind == "tt10_files" else "chip"
    # by-id names and ttyUSB names can be one port
    return os.path.realpath(draft.base / getattr(wire, key).replace("\0", "")), key


def patterns_match_something(draft: Draft) -> Iterator[Finding]:
    if not draft.is_whole:
        return
    points = [*device_points(draft.profiles), *camera_points(draft.cameras)]
    for pattern in draft.names("points"):
        if not any(fnmatchcase(point, pattern) for point in points):
            hint = did_you_mean(pattern, points)
            yield draft.tree.finding(Code.NO_SUCH_POINT, ("points", pattern), "matches no point of this site", hint)
    writable = list(device_points(draft.profiles, writable=True))
    for path, target in _command_targets(draft.tree):
        if any(fnmatchcase(point, target) for point in writable):
            continue
        code = Code.NOT_WRITABLE if any(fnmatchcase(point, target) for point in points) else Code.NO_SUCH_POINT
        what = "nothing here can be written" if code is Code.NOT_WRITABLE else "matches no point of this site"
        yield draft.tree.finding(code, path, f"'{target}': {what}", did_you_mean(target, writable))


def _command_targets(tree: Tree) -> Iterator[tuple[Path, str]]:
    allow: Path = ("commands", "allow")
    rows = tree.get(allow)
    for row in range(len(rows) if isinstance(rows, list) else 0):
        targets = tree.get((*allow, row, "to"))
        for column, target in enumerate(targets if isinstance(targets, list) else ()):
            if isinstance(target, str):
                yield (*allow, row, "to", column), target


def device_points(profiles: Mapping[str, AnyProfile], *, writable: bool = False) -> Iterator[str]:
    """Names of points, "device/point", in the order of the document."""
    for name, profile in profiles.items():
        for point, settings in profile.points_by_name().items():
            if settings.writable or not writable:
                yield f"{name}/{point}"


def camera_points(cameras: Mapping[str, CameraSettings]) -> Iterator[str]:
    for name, camera in cameras.items():
        for line, settings in camera.lines.items():
            yield f"{name}/{line}"
            for kind in camera.classes_of(settings):
                yield from (f"{name}/{line}/{kind}/{way}" for way in settings.ways)


def uplink_is_encrypted(draft: Draft) -> Iterator[Finding]:
    if draft.uplink is not None and draft.uplink.tls is None and not _is_loopback(draft.uplink.host):
        yield draft.tree.finding(
            Code.NO_TLS,
            ("uplink", "host"),
            f"the way to '{draft.uplink.host}' is not encrypted",
            "add tls: {ca: …, cert: …, key: …}",
            "warning",
        )


def files_for_the_authority_are_sound(draft: Draft) -> Iterator[Finding]:
    points = [*device_points(draft.profiles), *camera_points(draft.cameras)]
    known = draft.is_whole
    folders: dict[str, str] = {}
    for number, export in draft.tt10.items():
        here: Path = ("tt10", number)
        for symbol, shown in export.parameters.items():
            if known and shown.point not in points:
                path = (*here, "parameters", symbol, "point")
                what, hint = f"'{shown.point}' is no point of this site", did_you_mean(shown.point, points)
                yield draft.tree.finding(Code.NO_SUCH_POINT, path, what, hint)
        if export.keep_days < KEPT_DAYS:
            what = f"{export.keep_days} days; the circular asks for {KEPT_DAYS} at least"
            path, hint = (*here, "keep_days"), f"write keep_days: {KEPT_DAYS}, or leave it out"
            yield draft.tree.finding(Code.OUT_OF_RANGE, path, what, hint, "warning")
        place = os.path.realpath(draft.base / export.folder)
        if place in folders:
            what = f"station {folders[place]} keeps its files in the same folder"
            yield draft.tree.finding(Code.DUPLICATE_NAME, (*here, "folder"), what, "give every station its own")
        folders.setdefault(place, export.station)


def ftp_is_not_encrypted(draft: Draft) -> Iterator[Finding]:
    open_ways: list[tuple[Path, str]] = [
        *((("tt10", n, "send", "kind"), e.send.host) for n, e in draft.tt10.items() if isinstance(e.send, FtpSend)),
        *((("wires", name, "ftp"), box.listen) for name, w in draft.wires.items() if (box := getattr(w, "ftp", None))),
    ]
    for path, host in open_ways:
        if not _is_loopback(host):
            what = "FTP is not encrypted: whoever listens reads the password and can change the files"
            hint = "kind: sftp or ftps, if the authority offers it" if path[0] == "tt10" else "only inside the site"
            yield draft.tree.finding(Code.NO_TLS, path, what, hint, "warning")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


ALL: tuple[Callable[[Draft], Iterator[Finding]], ...] = (
    codes_are_texts,
    no_passwords,
    names_differ,
    the_gateway_has_its_own_name,
    devices_hang_on_wires,
    profiles_are_known,
    profiles_fit_their_wires,
    devices_are_told_apart,
    wires_have_their_own_port,
    patterns_match_something,
    uplink_is_encrypted,
    files_for_the_authority_are_sound,
    ftp_is_not_encrypted,
)
