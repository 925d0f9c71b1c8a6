"""The driver of a folder in which files of Thông tư 10/2021/TT-BTNMT appear: watch, read, forget."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from drivers.once import PointRead, nothing_there
from drivers.profiles import AnyProfile, Tt10Profile
from drivers.settings import DeviceSettings, Tt10FilesWire
from drivers.surroundings import Surroundings
from drivers.tt10.folder import Arrival, Folder, content
from drivers.tt10.ftp import DropBox
from drivers.tt10.memory import Memory
from drivers.tt10.parse import Found, reading, understood
from drivers.watch import Silence, Watch
from gateway.model import tt10
from gateway.model.errors import BadFrame, ConfigError, LinkDown, NoAnswer, Unsupported
from gateway.model.measure import Quality, Reading, Reason, Signal, Value
from gateway.model.ports import DeviceHealth, Readback

LATE = 1.5
"""A turn without a file lasts so many periods."""
STILL_S = 1.0
FUTURE_MS = 300_000
"""A station's clock may be so far ahead of ours before we doubt it."""
COMMITTED_AFTER_S = 5.0
"""So long after its values were handed on, a file is deleted or remembered as read: they are committed by then."""


@dataclass(slots=True)
class _Station:
    """One device: its turn (monotonic seconds), and the newest time of a file it wrote."""

    device: str
    profile: Tt10Profile
    every_s: float
    watch: Watch
    ends: float = 0.0
    newest_ms: int = 0
    complaint: str = ""


class Tt10Driver:
    """One folder and the stations whose files appear in it. Nothing can be written."""

    def __init__(
        self,
        name: str,
        wire: Tt10FilesWire,
        devices: Mapping[str, tuple[DeviceSettings, AnyProfile]],
        around: Surroundings,
    ) -> None:
        self._name = name
        self._wire = wire
        self._around = around
        self._clock = around.clock
        self._log = logging.getLogger(f"drivers.{name}")
        self._root = around.base / wire.folder
        self._stations: dict[str, _Station] = {}
        self._signals: list[Signal] = []
        silence = Silence()
        for device, (settings, profile) in devices.items():
            if not isinstance(profile, Tt10Profile) or settings.address is None:
                what = f"profile {profile.profile!r} is not of a station that writes files, or it has no address"
                raise ConfigError(what, where=device, hint="choose another wire or profile, or add address: STATION")
            every_s = settings.every_s
            watch = Watch(device, timeout_s=every_s, every_s=every_s, silence=silence, log=self._log)
            self._stations[settings.address] = _Station(device, profile, every_s, watch)
            self._signals += profile.signals(device, every_s)
        shortest_s = min((station.every_s for station in self._stations.values()), default=STILL_S)
        self._still_s = min(STILL_S, shortest_s / 4)
        self._look_s = self._still_s / 2
        memory = around.base / (wire.memory or f"{wire.folder.rstrip('/')}.read")
        self._memory = Memory(memory) if wire.after == "keep" else None
        self._folder = Folder(self._root, self._stations, self._still_s)
        self._drop: DropBox | None = None
        self._handed: deque[tuple[float, Arrival]] = deque()
        self._unreadable: set[str] = set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return self._signals

    async def __aenter__(self) -> Self:
        self._folder = Folder(self._root, self._stations, self._still_s)
        self._handed.clear()
        self._unreadable.clear()
        await asyncio.to_thread(self._prepare)
        if self._wire.ftp is not None:
            self._drop = DropBox(self._wire.ftp, self._root, self._around.secret(self._wire.ftp.password))
            await self._drop.open(self._name)
        return self

    def _prepare(self) -> None:
        if self._wire.ftp is not None:
            self._root.mkdir(parents=True, exist_ok=True)
        if not self._root.is_dir():
            raise self._gone("there is no such folder")
        if self._memory is None:
            return
        try:
            self._memory.load(self._clock.now_ms(), synced=self._clock.synced())
        except OSError as error:
            raise LinkDown(
                f"{self._memory.path} cannot be written: {error.strerror}",
                where=self._name,
                hint="it lists what was read; let `memory` name a file that the service may write",
            ) from error

    def _gone(self, why: str) -> LinkDown:
        hint = "check the share or mount, the rights of the folder, and its name in the site file"
        return LinkDown(f"{self._root}: {why}", where=self._name, hint=hint)

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        drop, self._drop = self._drop, None
        if drop is not None:
            await drop.close()
        await asyncio.to_thread(self._settle, float("inf"))

    def health(self) -> dict[str, DeviceHealth]:
        return {station.device: station.watch.health for station in self._stations.values()}

    async def apply(self, signal: str, value: Value) -> Readback:  # noqa: ARG002 - the port's signature
        raise Unsupported("this station only writes files", where=signal, hint="it takes no commands")

    async def read(self, signal: str) -> Reading:
        raise Unsupported("this station only writes files", where=signal, hint="it cannot be asked; wait for its file")

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        """A batch a file, oldest first, and a batch of missing readings for a file that did not come in its time."""
        now = self._clock.monotonic()
        for station in self._stations.values():
            station.ends = now + LATE * station.every_s
        while True:
            for arrival in await self._look():
                data = await self._content(arrival)
                if data is not None:
                    yield self._take(arrival, data)
                    self._handed.append((self._clock.monotonic(), arrival))
            for station in self._stations.values():
                if self._clock.monotonic() >= station.ends:
                    yield self._silence(station)
            await asyncio.to_thread(self._settle, self._clock.monotonic() - COMMITTED_AFTER_S)
            await asyncio.sleep(self._look_s)

    async def _look(self) -> list[Arrival]:
        is_new = (lambda _: True) if self._memory is None else self._memory.is_new
        try:
            return await asyncio.to_thread(self._folder.look, self._clock.monotonic(), is_new)
        except OSError as error:
            raise self._gone(error.strerror or str(error)) from error

    async def _content(self, arrival: Arrival) -> bytes | None:
        """None: the file is gone, or it cannot be read now. That costs this file alone; it is tried again."""
        try:
            data = await asyncio.to_thread(content, arrival.path)
        except OSError as error:
            self._folder.forget([arrival.name])
            if arrival.name not in self._unreadable:
                self._unreadable.add(arrival.name)
                hint = "check its rights: the service must be able to read it"
                self._log.warning("%s cannot be read: %s (hint: %s)", arrival.name, error.strerror, hint)
            return None
        self._unreadable.discard(arrival.name)
        return data

    def _take(self, arrival: Arrival, data: bytes) -> list[Reading]:
        station = self._stations[arrival.station]
        found = understood(station.profile, data)
        now = self._clock.monotonic()
        ahead = station.newest_ms > self._clock.now_ms() + FUTURE_MS  # one wrong name must not make all others late
        if arrival.at_ms > station.newest_ms or ahead:  # what comes late says nothing of the present
            station.newest_ms = arrival.at_ms
            station.ends = now + LATE * station.every_s
        if found.lines:
            station.watch.answered(now, self._clock.now_ms(), 0.0)
        else:
            what = "; ".join(found.wrong[:3]) or "no line of this station"
            station.watch.failed(now, BadFrame(what, where=arrival.name, hint="look at the file"), 0.0)
        self._complain(station, arrival, found)
        return self._readings(station, arrival, found)

    def _complain(self, station: _Station, arrival: Arrival, found: Found) -> None:
        """Once for each kind of mistake, not for each file."""
        complaint = "; ".join(found.wrong)
        if found.wrong and complaint != station.complaint:
            self._log.warning("%s: %s (hint: only these lines are lost)", arrival.name, complaint[:500])
        station.complaint = complaint

    def _readings(self, station: _Station, arrival: Arrival, found: Found) -> list[Reading]:
        readings: list[Reading] = []
        for name, point in station.profile.points.items():
            signal = f"{station.device}/{name}"
            if name in found.lines:
                readings.append(self._in_time(reading(signal, point, found.lines[name])))
            else:
                bad = name in found.bad or not found.lines
                reason = Reason.BAD_FRAME if bad else Reason.NO_ANSWER
                readings.append(self._in_time(Reading.missing(signal, arrival.at_ms, reason)))
        return readings

    def _in_time(self, reading: Reading) -> Reading:
        """A value from the future would shut the windows of the present: it is stamped now, and doubtful."""
        now_ms = self._clock.now_ms()
        if reading.at_ms <= now_ms + FUTURE_MS or not self._clock.synced():
            return reading
        worse = Quality.UNCERTAIN if reading.quality is Quality.GOOD else reading.quality
        return replace(reading, at_ms=now_ms, quality=worse, reasons=(*reading.reasons, Reason.CLOCK_UNSYNCED))

    def _silence(self, station: _Station) -> list[Reading]:
        now, at_ms = self._clock.monotonic(), self._clock.now_ms()
        station.ends = now + station.every_s
        hint = "check the station's logger, and that its files reach this folder"
        station.watch.failed(now, NoAnswer("no file came", where=self._name, hint=hint), 0.0)
        names = (f"{station.device}/{name}" for name in station.profile.points)
        return [Reading.missing(name, at_ms, Reason.NO_ANSWER) for name in names]

    def _settle(self, handed_before: float) -> None:
        """Deletes, or remembers, files whose values were handed on before. Never raises: what cannot be settled is
        read again after the next start."""
        done: list[Arrival] = []
        while self._handed and self._handed[0][0] <= handed_before:
            done.append(self._handed.popleft()[1])
        if not done:
            return
        try:
            if self._memory is not None:
                names = [arrival.name for arrival in done]
                self._memory.add(names, self._clock.now_ms(), synced=self._clock.synced())
            else:
                for arrival in done:
                    arrival.path.unlink(missing_ok=True)
        except OSError as error:
            what = "remembered" if self._memory else "deleted"
            self._log.error("%d file(s) could not be %s: %s", len(done), what, error)
        else:
            self._folder.forget([arrival.name for arrival in done])

    async def read_once(self, device: str, point: str | None = None) -> list[PointRead]:
        """The newest file of the station, if it is not older than a period, or the next one within 1.5 periods. It
        stays unread for `batches`."""
        address, station = self._station(device, point)
        began = self._clock.monotonic()
        why = "no file of this station"
        look = Folder(self._root, (address,), self._still_s)
        while True:
            now = self._clock.monotonic()
            newest, age_s = await asyncio.to_thread(_newest, look, address, now, self._clock.now_ms())
            if newest is not None and age_s <= station.every_s:
                data = await asyncio.to_thread(content, newest.path)
                if data:
                    return self._rows(station, point, newest, data)
            elif newest is not None:
                why = f"the newest file of this station is {newest.name}, {age_s:.0f} s old"
            if now - began > LATE * station.every_s:
                return [self._absent(station, name, why) for name in _wanted(station, point)]
            await asyncio.sleep(self._look_s)

    def _station(self, device: str, point: str | None) -> tuple[str, _Station]:
        for address, station in self._stations.items():
            if station.device == device and (point is None or point in station.profile.points):
                return address, station
        raise nothing_there(device, point)

    def _rows(self, station: _Station, point: str | None, arrival: Arrival, data: bytes) -> list[PointRead]:
        found = understood(station.profile, data)
        readings = {r.signal: r for r in self._readings(station, arrival, found)}
        rows = []
        for name in _wanted(station, point):
            reading = readings[f"{station.device}/{name}"]
            line = found.lines.get(name)
            raw = f"{line.text} {line.unit} {tt10.stamp(line.at_ms)} {line.status}" if line else ""
            error = "" if line else found.bad.get(name, f"{arrival.name} says nothing of it")
            rows.append(PointRead(name, raw, reading, station.profile.points[name].unit, 0.0, error))
        return rows

    def _absent(self, station: _Station, name: str, why: str) -> PointRead:
        reading = Reading.missing(f"{station.device}/{name}", self._clock.now_ms(), Reason.NO_ANSWER)
        return PointRead(name, "", reading, station.profile.points[name].unit, 0.0, why)


def _wanted(station: _Station, point: str | None) -> list[str]:
    return [name for name in station.profile.points if point in {None, name}]


def _newest(folder: Folder, station: str, now: float, now_ms: int) -> tuple[Arrival | None, float]:
    try:
        newest = folder.newest(station, now)
        if newest is not None:
            return newest, now_ms / 1000 - Path(newest.path).stat().st_mtime
    except OSError:
        pass  # deleted by the daemon in this moment, or the folder went: the next look tells
    return None, 0.0
