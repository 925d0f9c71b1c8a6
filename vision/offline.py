"""Counting a recorded video, for trials at a desk and for manual checks of a line. Loads no pixels itself."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.model.errors import ConfigError
from vision.process import COMMAND, Child
from vision.wire import Crossing, Done, Job, LineJob, Report

Progress = Callable[[float], None]
Ends = tuple[float, float, float, float]

REPORT_S = 0.5
SILENCE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What to count and how. `line`: x1, y1, x2, y2 in pixels of the video. Only crossings between `start_s` and
    `end_s` (video time, None: the ends of the file) count. `model` None: motion blobs, class `vehicle`.
    `fps`: pictures looked at per second of video. `anchor`: foot or centre of the box."""

    path: Path
    line: Ends
    model: Path | None = None
    start_s: float | None = None
    end_s: float | None = None
    fps: float = 10.0
    threads: int = 1
    anchor: str = "foot"


def count_video(
    path: Path,
    line: Ends,
    model: Path | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Counts the crossings of a line in a video file, as fast as the machine can. See `Trial` for the arguments.

    Returns {"counts": {class: {way: n}}, "total": {way: n}, "frames": pictures decoded, "seconds": what it took,
    "fps": pictures decoded per second it took}. Ways are up and down, or left and right for a line steeper than
    45 degrees. `progress` is called with the share done, 0 to 1, about twice a second.
    Raises ConfigError for a line without length, LinkDown for a missing file, Unsupported for a file that is no
    video, a model nobody can read or a missing vision extra. Not to be called inside a running event loop.
    """
    trial = Trial(path=path, line=line, model=model, start_s=start_s, end_s=end_s)
    return summary(asyncio.run(count(trial, progress=progress)), trial)


@dataclass(frozen=True, slots=True)
class Counted:
    """The crossings of a trial in the order they were completed, pictures decoded, and seconds it took."""

    crossings: tuple[Crossing, ...]
    frames: int
    seconds: float


async def count(trial: Trial, *, progress: Progress | None = None, command: Sequence[str] = COMMAND) -> Counted:
    """Runs a child over the file. Raises as `count_video` says; the child is gone afterwards in any case."""
    child, _ = await Child.start(_job(trial), where=trial.path.name, command=command)
    began = time.monotonic()
    crossings: list[Crossing] = []
    try:
        while True:
            match await child.next(SILENCE_S):
                case Crossing() as crossing:
                    crossings.append(crossing)
                case Report(at_s=at_s, whole_s=whole_s):
                    if progress and whole_s:
                        progress(min(0.999, at_s / whole_s))
                case Done(decoded=decoded):
                    if progress:
                        progress(1.0)
                    return Counted(tuple(crossings), decoded, time.monotonic() - began)
                case _:
                    continue
    finally:
        await child.stop()


def summary(counted: Counted, trial: Trial) -> dict[str, Any]:
    """The counts as `count_video` returns them."""
    ways = _ways(trial.line)
    counts: dict[str, dict[str, int]] = {}
    for crossing in counted.crossings:
        row = counts.setdefault(crossing.cls, dict.fromkeys(ways, 0))
        row[crossing.way] += 1
    return {
        "counts": dict(sorted(counts.items())),
        "total": {way: sum(row[way] for row in counts.values()) for way in ways},
        "frames": counted.frames,
        "seconds": round(counted.seconds, 3),
        "fps": round(counted.frames / max(counted.seconds, 1e-6), 1),
    }


def _ways(line: Ends) -> tuple[str, str]:
    x1, y1, x2, y2 = line
    return ("up", "down") if abs(x2 - x1) >= abs(y2 - y1) else ("left", "right")


def _job(trial: Trial) -> Job:
    x1, y1, x2, y2 = trial.line
    if math.hypot(x2 - x1, y2 - y1) < 1:
        raise ConfigError("the line has no length", where=trial.path.name, hint="give it as x1,y1,x2,y2 in pixels")
    return Job(
        source=str(trial.path.absolute()),
        stream=False,
        loop=False,
        fps=trial.fps,
        every_s=REPORT_S,
        model=str(trial.model.absolute()) if trial.model else "",
        threads=trial.threads,
        anchor=trial.anchor,
        lines=(LineJob("line", x1, y1, x2, y2, True, _ways(trial.line), ()),),
        start_s=trial.start_s or 0.0,
        end_s=trial.end_s or 0.0,
    )
