"""The parent side of a camera: looks like any driver. Numbers come in over a pipe; pixels never do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

from gateway.model.clock import Clock
from gateway.model.errors import DriverError, GatewayError, Unsupported
from gateway.model.measure import Kind, Quality, Reading, Reason, Signal
from gateway.model.ports import DeviceHealth
from vision.process import COMMAND, Child
from vision.settings import CameraSettings, LineSettings
from vision.wire import Crossing, Done, Job, LineJob, Report

ENOUGH = 0.5  # share of the expected pictures below which a count is uncertain

_VI = {
    "person": "Người đi bộ",
    "bicycle": "Xe đạp",
    "motorcycle": "Xe máy",
    "car": "Ô tô con",
    "bus": "Xe khách",
    "truck": "Xe tải",
    "vehicle": "Phương tiện",
    "up": "lên phía trên hình",
    "down": "xuống phía dưới hình",
    "left": "sang trái hình",
    "right": "sang phải hình",
}


class CameraDriver:
    """One camera and its child process.

    Entering starts the child and waits until it sees: LinkDown if there is no picture, Unsupported if the model or
    the vision extra is missing. Each report of the child is one batch: crossings since the last report by line,
    class and way, and the share of expected pictures that were looked at. A zero is only said of pictures really
    seen. A child that hangs is killed on leaving, which the LinkDown raised then brings about.
    """

    def __init__(
        self,
        name: str,
        settings: CameraSettings,
        base: Path,
        clock: Clock,
        secret: Callable[[str], str],
        command: Sequence[str] = COMMAND,
    ) -> None:
        """`base`: folder of the site file. `secret`: the secret of a name. `command` starts the child."""
        self._name = name
        self._settings = settings
        self._base = base
        self._clock = clock
        self._secret = secret
        self._command = tuple(command)
        self._uptime, *self._counts = camera_signals(name, settings)
        self._health = DeviceHealth()
        self._child: Child | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return [*self._counts, self._uptime]

    async def __aenter__(self) -> Self:
        try:
            password = self._secret(self._settings.password) if self._settings.password else ""
            job = make_job(self._settings, self._base, password)
            self._child, _ = await Child.start(job, where=self._name, command=self._command)
        except GatewayError as error:
            self._health.why = error.what
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        child, self._child = self._child, None
        self._health.online = False
        if child is not None:
            await child.stop()

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        """One batch a report. Raises LinkDown when the child hung or died, or gave up for a reason that may pass."""
        while True:
            counted: Counter[str] = Counter()
            try:
                report = await self._next_report(counted)
            except DriverError as error:
                self._heard(seen=False, why=error.what)
                raise
            if report is None:
                break
            reason = trouble(report)
            self._heard(seen=report.seen > 0, why=reason.value if reason else "")
            yield self._batch(report, counted, reason)
        # Played once, to be counted once: ending here would only get the driver started again.
        while True:
            self._heard(seen=False, why="the file is at its end")
            yield self._missing(Reason.NO_ANSWER)
            await asyncio.sleep(self._settings.every_s)

    def health(self) -> dict[str, DeviceHealth]:
        return {self._name: self._health}

    async def _next_report(self, counted: Counter[str]) -> Report | None:
        """The child's next report, with the crossings before it added to `counted`; None at a file's end."""
        if self._child is None:
            raise DriverError("the camera was not entered", where=self._name)
        limit_s = self._settings.every_s + self._settings.stall_limit_s
        while True:
            match await self._child.next(limit_s):
                case Crossing() as crossing:
                    counted[f"{self._name}/{crossing.line}/{crossing.cls}/{crossing.way}"] += 1
                case Report() as report:
                    return report
                case Done():
                    return None
                case _:
                    continue

    def _batch(self, report: Report, counted: Counter[str], reason: Reason | None) -> list[Reading]:
        if not report.seen:
            return self._missing(reason or Reason.NO_ANSWER)
        now_ms = self._clock.now_ms()
        quality, reasons = (Quality.UNCERTAIN, (reason,)) if reason else (Quality.GOOD, ())
        share = min(1.0, report.seen / max(1, report.expected))
        return [
            *(Reading(signal.id, now_ms, counted[signal.id], quality, reasons) for signal in self._counts),
            Reading(self._uptime.id, now_ms, round(share, 3)),
        ]

    def _missing(self, reason: Reason) -> list[Reading]:
        """Nothing was counted. That no picture was looked at is a fact, though: a real zero."""
        now_ms = self._clock.now_ms()
        counts = [Reading.missing(signal.id, now_ms, reason) for signal in self._counts]
        return [*counts, Reading(self._uptime.id, now_ms, 0.0)]

    def _heard(self, *, seen: bool, why: str) -> None:
        health = self._health
        health.polls += 1
        health.online, health.why = seen, why
        if seen:
            health.last_seen_ms = self._clock.now_ms()
        else:
            health.failures += 1


def trouble(report: Report) -> Reason | None:
    """Why the counts of a report are missing (nothing was seen) or uncertain; None for a good report."""
    if report.blind >= max(1, report.seen):
        return Reason.OBSCURED_VIEW
    if not report.decoded and not report.seen:
        return Reason.NO_ANSWER if report.state == "playing" else Reason.LINK_DOWN
    return Reason.FRAMES_DROPPED if report.seen < max(1, ENOUGH * report.expected) else None


def make_job(settings: CameraSettings, base: Path, password: str = "") -> Job:
    """What the child is told. Raises Unsupported if a password is given and the address names no user."""
    source = settings.located(settings.source, base)
    if settings.is_stream:
        source = _with_password(settings.source, password) if password else settings.source
    lines = tuple(
        LineJob(name, *line.start, *line.end, False, line.ways, settings.classes_of(line))
        for name, line in settings.lines.items()
    )
    return Job(
        source=source,
        stream=settings.is_stream,
        loop=settings.pace == "real" and not settings.is_stream,
        fps=settings.fps,
        every_s=settings.every_s,
        model=settings.located(settings.model, base) if settings.model else "",
        threads=settings.threads,
        anchor=settings.anchor,
        lines=lines,
    )


def _with_password(url: str, password: str) -> str:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        raise Unsupported("a password needs a user", hint="write source: rtsp://USER@camera/path")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))


def camera_signals(name: str, settings: CameraSettings) -> list[Signal]:
    """What a camera gives: first the share of pictures seen, then a count for each line, class and way."""
    counts = [signal for line, one in settings.lines.items() for signal in _line_signals(name, line, one, settings)]
    return [_uptime_signal(name, settings), *counts]


def _line_signals(camera: str, name: str, line: LineSettings, settings: CameraSettings) -> list[Signal]:
    return [
        Signal(
            id=f"{camera}/{name}/{cls}/{way}",
            point=f"{camera}/{name}",
            indicator=line.indicator,
            unit="1",
            kind=Kind.SUM,
            every_s=settings.every_s,
            tags={"cls": cls, "dir": way},
            name_en=f"{cls}, {way}",
            name_vi=f"{_VI.get(cls, cls)}, {_VI[way]}",
        )
        for cls in settings.classes_of(line)
        for way in line.ways
    ]


def _uptime_signal(camera: str, settings: CameraSettings) -> Signal:
    return Signal(
        id=f"{camera}/frames",
        point=f"{camera}/frames",
        indicator="gw.camera_uptime",
        unit="1",
        kind=Kind.MEAN,
        every_s=settings.every_s,
        name_en="share of expected pictures looked at with a clear view",
        name_vi="tỷ lệ khung hình đã xem được so với dự kiến",
    )
