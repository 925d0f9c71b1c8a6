"""From a picture to crossings: scene → motion or detector → tracker → line counters. One chain per camera."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from vision.boxes import Detections
from vision.count import Line, LineCounter, Point
from vision.decoders import Picture
from vision.detect import Detector, Scores
from vision.motion import MotionDetector
from vision.scene import SceneCheck
from vision.source import Frame
from vision.track import Seen, Tracker
from vision.wire import Crossing, Job, LineJob

_EDGE_PX = 2.0  # a box this near the lower edge has no foot in the picture


class Finder(Protocol):
    """What finds objects in a picture: a detector, or motion."""

    method: str
    scores: Scores

    @property
    def names(self) -> tuple[str, ...]: ...

    def find(self, picture: Picture) -> Detections: ...


class Chain:
    def __init__(self, job: Job, size: tuple[int, int], fps: float) -> None:
        """`size` (width, height) in pixels; `fps` pictures a second will be shown. Raises Unsupported for a model
        nobody can read."""
        self._finder: Finder = Detector(Path(job.model), threads=job.threads) if job.model else MotionDetector(fps)
        self._tracker = Tracker(self._finder.names, self._finder.scores)
        self._scene = SceneCheck()
        self._foot = job.anchor == "foot"
        self._height = size[1]
        self._lines = [(LineCounter(_in_pixels(line, size)), frozenset(line.classes)) for line in job.lines]
        self._from_s, self._to_s = job.start_s, job.end_s or float("inf")
        self._session = 0

    @property
    def method(self) -> str:
        return self._finder.method

    @property
    def scene(self) -> str:
        return self._scene.verdict

    def look(self, frame: Frame) -> list[Crossing] | None:
        """The crossings this picture completes; None if it shows nothing that may be counted (see `scene`)."""
        if frame.session != self._session:
            self._session = frame.session
            self._forget(self._tracker.clear())
        if self._scene.look(frame.picture, frame.at_s):
            self._forget(self._tracker.clear())
            return None
        seen, dead = self._tracker.update(self._finder.find(frame.picture), frame.at_s)
        self._forget(dead)
        return [crossing for one in seen for crossing in self._crossings(one, frame.at_s)]

    def _crossings(self, seen: Seen, at_s: float) -> list[Crossing]:
        x1, y1, x2, y2 = (float(side) for side in seen.box)
        if self._foot and y2 >= self._height - _EDGE_PX:
            return []
        point = Point(seen.track.id, at_s, (x1 + x2) / 2, y2 if self._foot else (y1 + y2) / 2, y2 - y1)
        crossings = []
        for counter, classes in self._lines:
            event = counter.see(point)
            if event is None or not self._from_s <= event.at_s <= self._to_s:
                continue
            name, share = self._tracker.name(seen.track)
            if not classes or name in classes:
                crossings.append(Crossing(event.line, name, event.way, round(event.at_s, 3), round(share, 3)))
        return crossings

    def _forget(self, ids: list[int]) -> None:
        for counter, _ in self._lines:
            counter.forget(ids)


def _in_pixels(line: LineJob, size: tuple[int, int]) -> Line:
    wide, high = (1, 1) if line.pixels else size
    return Line(line.name, line.x1 * wide, line.y1 * high, line.x2 * wide, line.y2 * high, line.ways)
