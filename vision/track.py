"""Who is who from picture to picture, made for 5 to 12 pictures a second. Pure numpy.

At that rate a small fast vehicle no longer overlaps itself, so overlap alone (ByteTrack, SORT) loses it.
Here each track moves on with its own speed in pixels per second, boxes are enlarged for matching, and
distance in box sizes decides where overlap cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vision.boxes import TWO_WHEELERS, Detections, Floats, areas, iou, overlaps
from vision.detect import Scores

_ENLARGE = 1.3
_LOST_S = 1.2  # unseen for longer, a track is dead
_GATE_NEW = 2.0  # box sizes a new track may have gone until its second picture
_GATE_KNOWN = 0.6  # box sizes between where a track of known speed is expected and where it is seen
_GATE_GROWS = 0.5  # what a second of hiding adds to that
_STRANGE = 0.7  # largest |ln| of the ratio of sizes: one object does not double from picture to picture
_COVERED = 0.5  # share of a new box inside a known one that makes it a part of it, not a new object
_NEVER = 100.0
_SMOOTH = 0.5  # weight of the newest observation in speed and size
_RIDER_VOTE = 0.15  # share of two-wheeler votes that makes a `person` a rider


@dataclass(slots=True)
class Track:
    """One object. Position is the box centre; pixels, seconds. `votes`: summed score per class index."""

    id: int
    born_s: float
    seen_s: float
    centre: Floats
    size: Floats
    votes: dict[int, float] = field(default_factory=dict)
    speed: Floats = field(default_factory=lambda: np.zeros(2, np.float32))
    seen: int = 1

    def expected(self, at_s: float) -> Floats:
        """(4,) the box it should have at `at_s`."""
        centre = self.centre + self.speed * np.float32(at_s - self.seen_s)
        return np.concatenate((centre - self.size / 2, centre + self.size / 2))

    @property
    def patience(self) -> float:
        """Seconds it may be hidden. What was seen once only is more likely a mistake than an object."""
        return min(_LOST_S, 0.4 * self.seen)

    def observe(self, box: Floats, at_s: float) -> None:
        centre, size = np.asarray((box[:2] + box[2:]) / 2, np.float32), box[2:] - box[:2]
        passed = at_s - self.seen_s
        if passed > 0:
            speed = np.asarray((centre - self.centre) / passed, np.float32)
            self.speed = speed if self.seen == 1 else _blend(self.speed, speed)
        self.centre, self.seen_s = centre, at_s
        self.size = _blend(self.size, size)
        self.seen += 1

    def vote(self, kind: int, score: float) -> None:
        self.votes[kind] = self.votes.get(kind, 0.0) + score


@dataclass(frozen=True, slots=True)
class Seen:
    """One track in the newest picture: `box` (4,) as it was really detected."""

    track: Track
    box: Floats


class Tracker:
    """Memory: one Track per object seen within the last 1.2 s, never more."""

    def __init__(self, names: Sequence[str], scores: Scores) -> None:
        self._names = tuple(names)
        self._scores = scores
        self._next = 1
        self._riding = [self._names.index(name) for name in TWO_WHEELERS if name in self._names]
        self.tracks: list[Track] = []

    def update(self, found: Detections, at_s: float) -> tuple[list[Seen], list[int]]:
        """Takes the detections of the picture at `at_s` (seconds, growing).

        Returns the tracks seen in it, and the ids of those that died since the last call.
        """
        alive = [track for track in self.tracks if at_s - track.seen_s <= track.patience]
        dead = [track.id for track in self.tracks if at_s - track.seen_s > track.patience]
        self.tracks = alive
        sure = found.scores >= self._scores.birth
        pairs = self._match(found, np.flatnonzero(sure), alive, at_s)
        taken = {row for row, _ in pairs}
        rest = [row for row in range(len(alive)) if row not in taken]
        unsure = self._match(found, np.flatnonzero(~sure), [alive[row] for row in rest], at_s)
        pairs += [(rest[row], column) for row, column in unsure]
        seen = [self._observed(alive[row], found, column, at_s) for row, column in pairs]
        used = {column for _, column in pairs}
        new = np.array([column for column in np.flatnonzero(sure) if column not in used], np.intp)
        new = new[~_covered(found.boxes[new], found.boxes[sorted(used)])]
        seen += [self._born(found, int(column), at_s) for column in new]
        return seen, dead

    def name(self, track: Track) -> tuple[str, float]:
        """(class, its share of the votes). A person with any real two-wheeler vote is its rider."""
        total = sum(track.votes.values())
        best = max(track.votes, key=lambda kind: track.votes[kind])
        riding = sum(track.votes.get(kind, 0.0) for kind in self._riding)
        if self._names[best] == "person" and riding >= _RIDER_VOTE * total:
            best = max(self._riding, key=lambda kind: track.votes.get(kind, 0.0))
        return self._names[best], track.votes[best] / total

    def clear(self) -> list[int]:
        """Forgets everybody (the picture was interrupted); the ids of the forgotten."""
        dead = [track.id for track in self.tracks]
        self.tracks = []
        return dead

    def _observed(self, track: Track, found: Detections, column: int, at_s: float) -> Seen:
        track.observe(found.boxes[column], at_s)
        track.vote(int(found.classes[column]), float(found.scores[column]))
        return Seen(track, found.boxes[column])

    def _born(self, found: Detections, column: int, at_s: float) -> Seen:
        box = found.boxes[column]
        track = Track(self._next, at_s, at_s, (box[:2] + box[2:]) / 2, box[2:] - box[:2])
        track.vote(int(found.classes[column]), float(found.scores[column]))
        self._next += 1
        self.tracks.append(track)
        return Seen(track, box)

    def _match(
        self, found: Detections, columns: NDArray[np.intp], tracks: Sequence[Track], at_s: float
    ) -> list[tuple[int, int]]:
        """(index into `tracks`, row of `found`), the least doubtful first."""
        if not len(columns) or not tracks:
            return []
        doubt = _doubt(tracks, found.boxes[columns], at_s)
        pairs, free_rows, free_columns = [], set(range(len(tracks))), set(range(len(columns)))
        for flat in np.argsort(doubt, axis=None, kind="stable"):
            row, column = divmod(int(flat), len(columns))
            if doubt[row, column] >= _NEVER:
                break
            if row in free_rows and column in free_columns:
                free_rows.remove(row)
                free_columns.remove(column)
                pairs.append((row, int(columns[column])))
        return pairs


def _doubt(tracks: Sequence[Track], boxes: Floats, at_s: float) -> Floats:
    """(tracks, boxes): how unlikely it is that they are one object; _NEVER and more: they are not.

    A track of known speed is believed to be near where it is expected; a new one may have gone anywhere
    within two sizes. Overlap counts for, distance and a change of size against.
    """
    expected = np.stack([track.expected(at_s) for track in tracks])
    known = np.array([track.seen > 1 for track in tracks])
    hidden = np.array([at_s - track.seen_s for track in tracks], np.float32)
    gate = np.where(known, np.minimum(_GATE_KNOWN + _GATE_GROWS * hidden, _GATE_NEW), _GATE_NEW)[:, None]
    centre_a, centre_b = (expected[:, :2] + expected[:, 2:]) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2
    side_a, side_b = _sides(expected)[:, None], _sides(boxes)[None, :]
    apart = np.linalg.norm(centre_a[:, None] - centre_b[None, :], axis=2) * 2 / (side_a + side_b)
    ratio = np.abs(np.log(side_a / side_b))
    overlap = iou(_enlarged(expected), _enlarged(boxes))
    doubt = apart / gate + ratio / 2 - overlap
    return np.asarray(np.where((apart < gate) & (ratio < _STRANGE), doubt, _NEVER), np.float32)


def _covered(boxes: Floats, by: Floats) -> NDArray[np.bool_]:
    """(n,) whether a box lies mostly inside one of `by`: a rider, a cabin, a windscreen, not a new vehicle."""
    if not len(by):
        return np.zeros(len(boxes), np.bool_)
    return np.asarray((overlaps(boxes, by) > _COVERED * areas(boxes)[:, None]).any(axis=1), np.bool_)


def _blend(old: Floats, new: Floats) -> Floats:
    return np.asarray((1 - _SMOOTH) * old + _SMOOTH * new, np.float32)


def _sides(boxes: Floats) -> Floats:
    """(n,) side of the square of a box's area, in pixels."""
    return np.sqrt(np.maximum(areas(boxes), np.float32(1e-6)))


def _enlarged(boxes: Floats) -> Floats:
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * _ENLARGE
    return np.concatenate((centre - half, centre + half), axis=1)
