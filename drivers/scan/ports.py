"""Serial ports of this machine: by which name to write them into a site file, and who has them open."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.model.errors import LinkDown, PortBusy

_BUSY: Final = frozenset({errno.EAGAIN, errno.EBUSY})
_NAMES: Final = ("by-id", "by-path")
_LONGEST_COMMAND: Final = 60


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open or locked. command: the beginning of its command line."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialPortFound:
    """path: the name that stays the same when the adapter is plugged in again, or `device` where there is none."""

    path: str
    device: str
    maker: str
    product: str
    serial: str
    usb: bool
    holders: tuple[Holder, ...]

    @property
    def stable(self) -> bool:
        """True when the name names the adapter or its socket, not the order of plugging in. Ports on the board keep
        theirs."""
        return self.path != self.device or not self.usb


def serial_ports(ports: Iterable[Any] | None = None, dev: Path = Path("/dev")) -> list[SerialPortFound]:
    """USB adapters first, then the board's own. `ports`: what pyserial lists, for tests."""
    if ports is None:
        from serial.tools.list_ports import comports

        ports = comports()
    stable = _stable_names(dev / "serial")
    found = [
        SerialPortFound(
            path=stable.get(os.path.realpath(port.device), port.device),
            device=port.device,
            maker=port.manufacturer or "",
            product=port.product or (port.description if port.description != "n/a" else "") or "",
            serial=port.serial_number or "",
            usb=port.vid is not None,
            holders=holders(Path(port.device)),
        )
        for port in ports
    ]
    return sorted(found, key=lambda port: (not port.usb, port.path))


def _stable_names(folder: Path) -> dict[str, str]:
    """Device -> its by-id name. Two adapters without serial numbers share one by-id name, and only one gets it:
    the other is known by the socket it is plugged into."""
    names: dict[str, str] = {}
    for kind in _NAMES:
        with contextlib.suppress(OSError):
            for link in sorted((folder / kind).iterdir()):
                names.setdefault(os.path.realpath(link), str(link))
    return names


def holders(port: Path) -> tuple[Holder, ...]:
    """Other processes that have the port open, or locked. What other users have open is seen by root only; locks are
    seen by all."""
    with contextlib.suppress(OSError):
        device = os.path.realpath(port)
        pids = {*_openers(device), *_lockers(device)} - {os.getpid()}
        return tuple(Holder(pid, _command(pid)) for pid in sorted(pids))
    return ()


def _openers(device: str) -> Iterable[int]:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            with contextlib.suppress(OSError):
                if any(os.readlink(fd) == device for fd in (process / "fd").iterdir()):  # noqa: PTH115 - thousands of them
                    yield int(process.name)


def _lockers(device: str) -> Iterable[int]:
    """From lines as "1: FLOCK  ADVISORY  WRITE 1234 00:05:678 0 EOF" of proc(5)."""
    there = os.stat(device)  # noqa: PTH116 - a path as text
    place = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
    for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
        fields = line.split()
        if len(fields) >= 6 and fields[5] == place and fields[4].isdecimal():
            yield int(fields[4])


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        shown = " ".join([words[0].rpartition("/")[2], *words[1:]]).strip()
        return shown if len(shown) <= _LONGEST_COMMAND else f"{shown[: _LONGEST_COMMAND - 1]}…"
    return "?"


def blamed(error: LinkDown, port: Path) -> LinkDown:
    """The same error, or PortBusy with the name of whoever has the port."""
    cause = error.__cause__
    others = holders(port)
    if not others and not (isinstance(cause, OSError) and cause.errno in _BUSY):
        return error
    named = ", ".join(f"{holder.command} (pid {holder.pid})" for holder in others) or "another program"
    return PortBusy(
        f"{port} is in use: {named}",
        where=error.where,
        hint="stop it first (the gateway: sudo systemctl stop gateway), or look at it with `gateway watch FILE`",
    )
