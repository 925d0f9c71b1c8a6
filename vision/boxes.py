"""Detections as numpy columns, and the rule "one vehicle, one box". Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

TWO_WHEELERS = ("bicycle", "motorcycle")

_SHARED_FOOT = 0.15  # of the larger box's size: two feet closer than this stand for one object
_CONTAINED = 0.85  # share of the smaller box inside the larger that makes them one vehicle
_RIDER = 0.5  # the same for a person and a two-wheeler


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one picture, one row an object.

    boxes (n, 4) x1 y1 x2 y2 in pixels; scores (n,) 0..1; classes (n,) index into the `names` of whoever
    made them.
    """

    boxes: Floats
    scores: Floats
    classes: Ints

    def __len__(self) -> int:
        return len(self.scores)

    def pick(self, rows: NDArray[Any]) -> Detections:
        """The rows of an index or a mask."""
        return Detections(self.boxes[rows], self.scores[rows], self.classes[rows])

    @staticmethod
    def none() -> Detections:
        return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32))


def areas(boxes: Floats) -> Floats:
    """(n,) pixels squared."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), np.float32)


def overlaps(a: Floats, b: Floats) -> Floats:
    """(n, m) area shared by each box of `a` with each of `b`, in pixels squared."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1], np.float32)


def iou(a: Floats, b: Floats) -> Floats:
    """(n, m) intersection over union."""
    shared = overlaps(a, b)
    return np.asarray(shared / np.maximum(areas(a)[:, None] + areas(b)[None, :] - shared, 1e-9), np.float32)


def suppress(found: Detections, limit: float) -> Detections:
    """Non-maximum suppression over all classes together, best score first.

    Per class, one car would be counted as car and as truck: 30 % surplus counts against 2 %.
    """
    order = np.argsort(-found.scores, kind="stable")
    found = found.pick(order)
    clash = iou(found.boxes, found.boxes) > limit
    kept = np.ones(len(found), bool)
    for row in range(len(found)):
        if kept[row]:
            kept[row + 1 :] &= ~clash[row, row + 1 :]
    return found.pick(kept)


def merge(found: Detections, persons: Ints, two_wheelers: Ints) -> Detections:
    """Joins boxes that are one vehicle: they share a foot point, or one holds 85 % of the other.

    A rider becomes part of the machine: its box is the union, its class the two-wheeler's. A person in
    front of a car stays a person. Rows must come best score first, as from `suppress`.
    """
    if len(found) < 2:
        return found
    is_person = np.isin(found.classes, persons)
    is_two = np.isin(found.classes, two_wheelers)
    rider = (is_person[:, None] & is_two[None, :]) | (is_two[:, None] & is_person[None, :])
    people = is_person[:, None] | is_person[None, :]
    clash = _same_object(found.boxes, np.where(rider, _RIDER, _CONTAINED)) & (rider | ~people)

    boxes, scores = found.boxes.copy(), found.scores.copy()
    kept = np.ones(len(found), bool)
    for machine, person in np.argwhere(clash & rider & is_two[:, None]):
        if kept[machine] and kept[person]:
            kept[person] = False
            boxes[machine, :2] = np.minimum(boxes[machine, :2], boxes[person, :2])
            boxes[machine, 2:] = np.maximum(boxes[machine, 2:], boxes[person, 2:])
            scores[machine] = max(scores[machine], scores[person])
    for row, other in np.argwhere(np.triu(clash & ~rider, 1)):
        if kept[row] and kept[other]:
            kept[other] = False
    return Detections(boxes, scores, found.classes).pick(kept)


def _same_object(boxes: Floats, contained: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n, n) which pairs look like two boxes around one object. `contained` (n, n): share of the smaller
    box that must lie in the other."""
    area = areas(boxes)
    smaller = np.minimum(area[:, None], area[None, :])
    inside = overlaps(boxes, boxes) >= contained * smaller
    foot_x, foot_y = (boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]
    apart = np.hypot(foot_x[:, None] - foot_x[None, :], foot_y[:, None] - foot_y[None, :])
    size = np.sqrt(np.maximum(area[:, None], area[None, :]))
    return np.asarray(inside | (apart < _SHARED_FOOT * size), np.bool_)
