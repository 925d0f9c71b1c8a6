"""The far end of a folder of files: loggers of certified stations that write into it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.profiles import Tt10Profile
from drivers.settings import Tt10FilesWire
from drivers.simulate.far_end import GARBAGE, FarEnd, SimulatedDevice, Stage
from gateway.model import tt10
from gateway.model.errors import LinkDown
from gateway.model.tt10 import Line

_KEPT = 300
_SOON_S = 2.0
"""Nobody waits five minutes at a desk for the first file."""


def make(wire: Tt10FilesWire, devices: Mapping[str, SimulatedDevice], stage: Stage) -> FolderEnd:
    return FolderEnd(stage.base / wire.folder, devices, stage, drop_box=wire.ftp is not None)


class FolderEnd(FarEnd):
    """Each station writes a file a period, under a temporary name first. Names tell seconds: a station that writes
    more often counts its seconds faster. Unplugged, the folder stands aside as FOLDER.unplugged."""

    def __init__(self, folder: Path, devices: Mapping[str, SimulatedDevice], stage: Stage, *, drop_box: bool) -> None:
        super().__init__()
        self._folder = folder
        self._aside = folder.with_name(folder.name + ".unplugged")
        self._devices = devices
        self._clock = stage.clock
        self._drop_box = drop_box
        self._played: dict[str, bytes] = {}
        self._last_ms: dict[str, int] = {}
        self._written: deque[Path] = deque()
        self._next: list[asyncio.TimerHandle] = []
        self._plugged = False

    def play(self, device: str, given: Any) -> None:
        self._played[device] = str(given).encode()

    async def plug(self) -> None:
        try:
            if self._aside.is_dir() and not self._folder.exists():
                self._aside.rename(self._folder)
            else:
                self._folder.mkdir(parents=True, exist_ok=self._drop_box)
        except OSError as error:
            raise LinkDown(
                f"{self._folder} cannot be made: {error.strerror}",
                where="simulate",
                hint="for a rehearsal let `folder` name a folder that does not exist yet",
            ) from error
        self._plugged = True
        loop = asyncio.get_running_loop()
        for device in self._devices.values():
            self._next.append(loop.call_later(min(device.settings.every_s / 2, _SOON_S), self._write, device))

    async def unplug(self) -> None:
        for timer in self._next:
            timer.cancel()
        self._next.clear()
        if self._plugged and not self._drop_box:
            self._folder.rename(self._aside)
        self._plugged = False

    def _write(self, device: SimulatedDevice) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._next = [timer for timer in self._next if timer.when() > now]
        self._next.append(loop.call_later(device.settings.every_s, self._write, device))
        if self.fault.silent or device.fault.silent:
            return
        before_ms = self._last_ms.get(device.name, 0)
        at_ms = self._last_ms[device.name] = max(self._clock.now_ms() // 1000 * 1000, before_ms + 1000)
        garbage = self.fault.garbage or device.fault.garbage
        data = GARBAGE if garbage else self._played.get(device.name) or self.content(device, at_ms)
        file = self._folder / tt10.file_name(str(device.settings.address), at_ms)
        draft = file.with_suffix(".part")
        draft.write_bytes(data)
        draft.rename(file)
        device.requests += 1
        self._written.append(file)
        if len(self._written) > _KEPT:
            self._written.popleft().unlink(missing_ok=True)

    @staticmethod
    def content(device: SimulatedDevice, at_ms: int) -> bytes:
        """A file as the station would write it now."""
        assert isinstance(device.profile, Tt10Profile)  # noqa: S101 - config checks that profiles fit their wires
        lines = []
        for name, point in device.profile.points.items():
            value = device.world.value(name)
            number = 0.0 if isinstance(value, str) else (value - point.offset) / point.scale
            lines.append(Line(point.symbol, number, point.file_unit or point.unit, at_ms, text=f"{number:.6g}"))
        return tt10.formatted(lines)
