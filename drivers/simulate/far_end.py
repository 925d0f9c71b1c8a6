"""The far end of a wire, whatever runs over it; and a pty at whose other side a device stands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from drivers.profiles import AnyProfile
from drivers.settings import DeviceSettings
from drivers.simulate.values import World
from gateway.model.clock import Clock
from gateway.model.errors import LinkDown

GARBAGE: Final = b"\xa5" * 40
LOOK_S: Final = 0.02


@dataclass(slots=True)
class Fault:
    """What is wrong with a device or a wire at the moment. silent: hears and says nothing. delay_s: answers so much
    later. garbage: answers with bytes that are no frame. refuse: answers with this Modbus exception. noise: share of
    the answers in which a bit is flipped."""

    silent: bool = False
    delay_s: float = 0.0
    garbage: bool = False
    refuse: int = 0
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the far ends stand. base: the site file's folder; seed: another one moves the values differently.
    paced: bytes on serial lines take the time that they need at the wire's baud rate. look_s: how often a contact looks
    whether it must move."""

    clock: Clock
    base: Path
    seed: int = 0
    paced: bool = False
    look_s: float = LOOK_S


class SimulatedDevice:
    """One device: what it says (`world`), what is wrong with it (`fault`), how often it was asked or spoke."""

    def __init__(self, name: str, settings: DeviceSettings, profile: AnyProfile, stage: Stage) -> None:
        self.name = name
        self.settings = settings
        self.profile = profile
        self.world = World(name, profile.points_by_name(), stage.clock, stage.seed)
        self.fault = Fault()
        self.requests = 0


def for_a_desk(path: Path) -> None:
    """Raises LinkDown for the name of a real device: a rehearsal must not stand in its place."""
    if path.absolute().is_relative_to("/dev"):
        raise LinkDown(
            f"{path} is the name of a real device", where="simulate", hint="rehearse a copy: --loopback FOLDER"
        )


class FarEnd(ABC):
    """One wire's other end. `fault` counts for all its devices."""

    def __init__(self) -> None:
        self.fault = Fault()

    @abstractmethod
    async def plug(self) -> None:
        """Brings the far end up. Raises LinkDown when the port cannot be had."""

    @abstractmethod
    async def unplug(self) -> None:
        """Pulls the plug: connections break, ports vanish."""

    @abstractmethod
    def play(self, device: str, given: Any) -> None:
        """From now on this device says an example's `given` and nothing else."""


class PtyEnd(FarEnd):
    """A pty whose other side stands at the wire's port path, as a symbolic link."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._fds: tuple[int, ...] = ()

    async def plug(self) -> None:
        for_a_desk(self._path)
        near, far = os.openpty()
        tty.setraw(far)
        os.set_blocking(near, False)
        # The far side stays open here too: without any user the near side would read an error.
        self._fds = (near, far)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._clear()
            self._path.symlink_to(os.ttyname(far))
        except OSError as error:
            await self.unplug()
            raise LinkDown(
                f"{self._path} cannot be made: {error.strerror}",
                where="simulate",
                hint="for a rehearsal let `port` name a path that does not exist yet, such as ./run/tty-field",
            ) from error
        asyncio.get_running_loop().add_reader(near, self._readable)

    async def unplug(self) -> None:
        fds, self._fds = self._fds, ()
        if fds:
            asyncio.get_running_loop().remove_reader(fds[0])
            self._clear()
        for fd in fds:
            os.close(fd)

    def _clear(self) -> None:
        """Takes away a link of a rehearsal; never the name of a real port, which udev made."""
        if self._path.is_symlink() and str(self._path.readlink()).startswith("/dev/pts/"):
            self._path.unlink()

    def send(self, data: bytes) -> None:
        """What nobody reads is lost, as on a line."""
        if self._fds:
            with contextlib.suppress(BlockingIOError):
                os.write(self._fds[0], data)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.received(os.read(self._fds[0], 4096))

    def received(self, data: bytes) -> None:
        """What the gateway sent."""
