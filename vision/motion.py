"""Counting without a model: blobs that differ from a learned background. Total only, every blob is a `vehicle`.

Good from the side and from straight above; vehicles that overlap in the picture become one blob.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.boxes import Detections, Floats, areas, overlaps
from vision.detect import Scores
from vision.settings import MOTION_CLASSES

_WIDTH = 320  # pixels the picture is reduced to: blobs need no more, and the cost falls with the area
_MIN_SIDE = 0.02  # of the picture's width; smaller blobs are leaves, rain and noise
_CLOSE_SIDE = 0.01  # of the picture's width; gaps up to this inside one vehicle are closed
_JOIN = 0.15  # share of the smaller box inside another that makes them one vehicle
_SHADOW = 127  # how MOG2 marks a shadow; only 255 is kept
_LEARNING_S = 20.0  # a vehicle that stands this long begins to be background


class MotionDetector:
    names = MOTION_CLASSES
    method = "motion"
    scores = Scores(low=0.5, birth=0.5)

    def __init__(self, fps: float) -> None:
        """`fps`: pictures a second that will be shown to `find`."""
        self._history = max(20, round(fps * _LEARNING_S))
        self._model: Any = cv2.createBackgroundSubtractorMOG2(self._history, 25, True)
        self._seen = 0
        self._blind_until = round(fps)

    def find(self, picture: NDArray[np.uint8]) -> Detections:
        """Blobs in pixels of `picture` (height, width, 3; BGR). None in the first second: it learns."""
        scale = min(1.0, _WIDTH / picture.shape[1])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (5, 5), 0)
        self._seen += 1
        # Learning fast after the first second would make slow vehicles a part of the road.
        rate = 1 / self._seen if self._seen <= self._blind_until else 1 / self._history
        mask = self._model.apply(small, learningRate=rate)
        if self._seen <= self._blind_until:
            return Detections.none()
        boxes = _blobs(np.asarray(mask > _SHADOW, np.uint8), round(_CLOSE_SIDE * small.shape[1]))
        boxes = _join(boxes[_large(boxes, _MIN_SIDE * small.shape[1])]) / np.float32(scale)
        return Detections(boxes, np.ones(len(boxes), np.float32), np.zeros(len(boxes), np.int32))


def _blobs(mask: NDArray[np.uint8], gap: int) -> Floats:
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8)), np.uint8)
    stats = cv2.connectedComponentsWithStats(mask, connectivity=8)[2][1:]
    return np.concatenate((stats[:, :2], stats[:, :2] + stats[:, 2:4]), axis=1).astype(np.float32)


def _large(boxes: Floats, side: float) -> NDArray[np.bool_]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= side, np.bool_)


def _join(boxes: Floats) -> Floats:
    """Unites boxes that overlap until none do: one vehicle often shows as several blobs (roof, bonnet, wheels)."""
    left = list(boxes)
    done: list[Floats] = []
    while left:
        one = left.pop()
        hits = [row for row, other in enumerate(left) if _overlap(one, other)]
        if not hits:
            done.append(one)
            continue
        for row in reversed(hits):
            other = left.pop(row)
            one = np.concatenate((np.minimum(one[:2], other[:2]), np.maximum(one[2:], other[2:])))
        left.append(one)
    return np.array(done, np.float32).reshape(-1, 4)


def _overlap(one: Floats, other: Floats) -> bool:
    pair = np.stack((one, other))
    return bool(overlaps(pair[:1], pair[1:])[0, 0] > _JOIN * areas(pair).min())
