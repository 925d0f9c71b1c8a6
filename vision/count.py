"""Crossings of a line, from points over time. Pure; no picture, no clock, no library.

The rule: an object has a side, set only outside a dead band around the line and kept while it is hidden.
A crossing is: outside on one side, later outside on the other. So jitter on the line, standing on it and
being hidden at it neither count twice nor lose anything, and turning back is two crossings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

BAND = 0.2  # half width of the dead band, in heights of the object's box
MIN_BAND_PX = 4.0
MIN_SEEN = 2  # observations before the crossing
MIN_TRAVEL = 0.5  # box heights between the first observation and the one that completes the crossing
END_SLACK = 0.03  # of the line's length, at each end


@dataclass(frozen=True, slots=True)
class Line:
    """From (x1, y1) to (x2, y2) in pixels, y downwards. `ways`: the names of crossing it towards smaller
    coordinates and towards larger ones: ("up", "down") compares y, ("left", "right") compares x."""

    name: str
    x1: float
    y1: float
    x2: float
    y2: float
    ways: tuple[str, str]

    def side(self, x: float, y: float) -> float:
        """Distance from the endless line in pixels; negative on the side of smaller coordinates."""
        dx, dy = self.x2 - self.x1, self.y2 - self.y1
        distance = (dx * (y - self.y1) - dy * (x - self.x1)) / math.hypot(dx, dy)
        smaller_first = dx < 0 if self.ways[0] == "up" else dy > 0
        return -distance if smaller_first else distance

    def covers(self, x: float, y: float) -> bool:
        """Whether a point on the endless line lies between the two ends (with a little slack)."""
        dx, dy = self.x2 - self.x1, self.y2 - self.y1
        along = (dx * (x - self.x1) + dy * (y - self.y1)) / (dx * dx + dy * dy)
        return -END_SLACK <= along <= 1 + END_SLACK


@dataclass(frozen=True, slots=True)
class Point:
    """Where object `id` was at `at_s`; `height` of its box is the yardstick. All pixels."""

    id: int
    at_s: float
    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Crossing:
    """`at_s` is interpolated between the two observations around the line."""

    id: int
    line: str
    way: str
    at_s: float


@dataclass(slots=True)
class _Story:
    """What has to be remembered of one object at one line."""

    first: Point
    last: Point
    distance: float
    seen: int = 1
    side: int = 0
    at: tuple[float, float, float] | None = None  # time and place of the newest passage of the line itself


class LineCounter:
    """Counts crossings of one line. Memory: one story per object that was not yet forgotten."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._stories: dict[int, _Story] = {}

    def __len__(self) -> int:
        return len(self._stories)

    def see(self, point: Point) -> Crossing | None:
        """Takes one observation (times growing per object); the crossing it completes, if it does."""
        distance = self.line.side(point.x, point.y)
        story = self._stories.get(point.id)
        if story is None:
            story = self._stories[point.id] = _Story(point, point, distance)
        else:
            if (distance < 0) != (story.distance < 0):
                story.at = _between(story.last, story.distance, point, distance)
            story.last, story.distance = point, distance
            story.seen += 1
        if abs(distance) <= max(BAND * point.height, MIN_BAND_PX):
            return None
        side = -1 if distance < 0 else 1
        before, story.side = story.side, side
        if before in {0, side} or story.at is None:
            return None
        return self._crossing(story, side)

    def forget(self, ids: list[int]) -> None:
        """These objects will not come back."""
        for one in ids:
            self._stories.pop(one, None)

    def _crossing(self, story: _Story, side: int) -> Crossing | None:
        at = story.at or (0.0, 0.0, 0.0)
        travel = math.hypot(story.last.x - story.first.x, story.last.y - story.first.y)
        ours = self.line.covers(at[1], at[2])
        if not ours or story.seen <= MIN_SEEN or travel < MIN_TRAVEL * story.last.height:
            return None
        return Crossing(story.last.id, self.line.name, self.line.ways[0 if side < 0 else 1], at[0])


def _between(a: Point, distance_a: float, b: Point, distance_b: float) -> tuple[float, float, float]:
    """Time and place at which the straight way from `a` to `b` meets the line."""
    share = abs(distance_a) / max(abs(distance_a) + abs(distance_b), 1e-9)
    return (a.at_s + share * (b.at_s - a.at_s), a.x + share * (b.x - a.x), a.y + share * (b.y - a.y))
