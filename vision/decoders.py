"""Four ONNX layouts: how a picture becomes their input and their output becomes boxes. numpy and cv2 only.

The facts (colour order, scale, letterbox, formulas) are those of the models' published reference scripts:
YOLOX and NanoDet of Kazuhito00/MOT-Tracking-by-Detection-Pipeline, dog-qiuqiu/FastestDet and
Kazuhito00/DEIMv2-ONNX-Sample. A wrong one only shows as "counts a bit low", so a test holds each to a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.boxes import Floats, Ints

Picture = NDArray[np.uint8]
Shapes = Mapping[str, tuple[Any, ...]]
Outputs = Mapping[str, NDArray[Any]]
Found = tuple[Floats, Floats, Ints]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the picture lies in the model's input: x_input = x_picture * scale_x + left, likewise y."""

    scale_x: float
    scale_y: float
    left: float
    top: float

    def back(self, boxes: Floats) -> Floats:
        """(n, 4) boxes of the input as boxes of the picture, in pixels."""
        shift = np.array([self.left, self.top, self.left, self.top], np.float32)
        scale = np.array([self.scale_x, self.scale_y, self.scale_x, self.scale_y], np.float32)
        return np.asarray((boxes - shift) / scale, np.float32)


class Layout(Protocol):
    """`low` and `birth` are the layout's scores (see detect.Scores), `overlap` its suppression limit."""

    name: str
    low: float
    birth: float
    overlap: float

    def fits(self, inputs: Shapes, outputs: Shapes) -> bool: ...

    def prepare(self, picture: Picture, shape: tuple[int, ...]) -> tuple[dict[str, NDArray[Any]], Placed]:
        """The model's inputs by name. `shape` is (height, width) of the model's picture."""

    def decode(self, outputs: Outputs, placed: Placed, columns: NDArray[Any]) -> Found:
        """Boxes in pixels of the picture, scores, and classes as indices into `columns` (COCO numbers)."""


class Yolox:
    """Raw grid of strides 8, 16, 32; objectness and classes are already sigmoid."""

    name = "yolox"
    low, birth, overlap = 0.1, 0.3, 0.45

    def fits(self, inputs: Shapes, outputs: Shapes) -> bool:
        shape = inputs.get("images", ())[2:4]
        return (
            len(outputs) == 1
            and all(isinstance(side, int) for side in shape)
            and next(iter(outputs.values()))[1:] == (sum(_cells(shape)), 85)
        )

    def prepare(self, picture: Picture, shape: tuple[int, ...]) -> tuple[dict[str, NDArray[Any]], Placed]:
        ratio = min(shape[0] / picture.shape[0], shape[1] / picture.shape[1])
        small = cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_LINEAR)
        canvas = np.full((1, 3, *shape), 114, np.float32)
        canvas[0, :, : small.shape[0], : small.shape[1]] = small.transpose(2, 0, 1)
        return {"images": canvas}, Placed(ratio, ratio, 0, 0)

    def decode(self, outputs: Outputs, placed: Placed, columns: NDArray[Any]) -> Found:
        raw = next(iter(outputs.values()))[0]
        scores, classes = _best(raw[:, 5:][:, columns] * raw[:, 4:5])
        rows = np.flatnonzero(scores >= self.low)
        cells, strides = _grid(raw.shape[0])
        centre = (raw[rows, :2] + cells[rows]) * strides[rows, None]
        half = np.exp(raw[rows, 2:4]) * strides[rows, None] / 2
        boxes = np.concatenate((centre - half, centre + half), axis=1)
        return placed.back(boxes), scores[rows], classes[rows]


class NanoDet:
    """Three strides; sides as distributions over 8 bins."""

    name = "nanodet"
    low, birth, overlap = 0.25, 0.4, 0.45

    _MEAN = np.array([103.53, 116.28, 123.675], np.float32)[:, None, None]
    _STD = np.array([57.375, 57.12, 58.395], np.float32)[:, None, None]
    _BINS = np.arange(8, dtype=np.float32)

    def fits(self, inputs: Shapes, outputs: Shapes) -> bool:
        names = [f"{part}_pred_stride_{stride}" for part in ("cls", "dis") for stride in (8, 16, 32)]
        return "input.1" in inputs and set(names) == set(outputs)

    def prepare(self, picture: Picture, shape: tuple[int, ...]) -> tuple[dict[str, NDArray[Any]], Placed]:
        ratio = min(shape[0] / picture.shape[0], shape[1] / picture.shape[1])
        small = cv2.resize(picture, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        high, wide = small.shape[:2]
        top, left = (shape[0] - high) // 2, (shape[1] - wide) // 2
        canvas = np.zeros((3, *shape), np.float32)
        canvas[:, top : top + high, left : left + wide] = small.transpose(2, 0, 1)
        return {"input.1": ((canvas - self._MEAN) / self._STD)[None]}, Placed(ratio, ratio, left, top)

    def decode(self, outputs: Outputs, placed: Placed, columns: NDArray[Any]) -> Found:
        parts: list[Found] = []
        for stride in (8, 16, 32):
            likely = outputs[f"cls_pred_stride_{stride}"][0]
            scores, classes = _best(likely[:, columns])
            rows = np.flatnonzero(scores >= self.low)
            bins = np.exp(outputs[f"dis_pred_stride_{stride}"][0][rows].reshape(-1, 4, 8))
            sides = (bins @ self._BINS) / bins.sum(axis=2) * stride
            side = round(len(likely) ** 0.5)
            centre = np.stack((rows % side, rows // side), axis=1) * stride + 0.5 * (stride - 1)
            boxes = np.concatenate((centre - sides[:, :2], centre + sides[:, 2:]), axis=1)
            parts.append((placed.back(boxes), scores[rows], classes[rows]))
        boxes, scores, classes = (np.concatenate(column) for column in zip(*parts, strict=True))
        return boxes, scores, classes


class FastestDet:
    """One 22 x 22 map; stretched picture. Very small, and weak: calls many people birds."""

    name = "fastestdet"
    low, birth, overlap = 0.35, 0.5, 0.45

    def fits(self, inputs: Shapes, outputs: Shapes) -> bool:
        shape = next(iter(outputs.values()))
        return "input.1" in inputs and len(outputs) == 1 and len(shape) == 4 and shape[1] == 85

    def prepare(self, picture: Picture, shape: tuple[int, ...]) -> tuple[dict[str, NDArray[Any]], Placed]:
        small = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
        # Its output is relative to the picture: placing it in a picture of one by one undoes the stretch.
        placed = Placed(1 / picture.shape[1], 1 / picture.shape[0], 0, 0)
        return {"input.1": small.transpose(2, 0, 1)[None].astype(np.float32) / 255}, placed

    def decode(self, outputs: Outputs, placed: Placed, columns: NDArray[Any]) -> Found:
        raw = next(iter(outputs.values()))[0]
        high, wide = raw.shape[1:]
        raw = raw.reshape(85, -1).T
        best, classes = _best(raw[:, 5:][:, columns])
        scores = np.asarray(raw[:, 0] ** 0.6 * best**0.4, np.float32)
        rows = np.flatnonzero(scores >= self.low)
        cells = np.stack((rows % wide, rows // wide), axis=1)
        centre = (cells + np.tanh(raw[rows, 1:3])) / np.array([wide, high])
        half = 1 / (1 + np.exp(-raw[rows, 3:5])) / 2
        boxes = np.concatenate((centre - half, centre + half), axis=1)
        return placed.back(boxes), scores[rows], classes[rows]


class Deim:
    """DETR-like (DEIMv2, D-FINE, RT-DETR exports): finished boxes in picture pixels, without suppression."""

    name = "deim"
    low, birth, overlap = 0.25, 0.4, 0.45

    def fits(self, inputs: Shapes, outputs: Shapes) -> bool:
        return {"images", "orig_target_sizes"} == set(inputs) and {"labels", "boxes", "scores"} == set(outputs)

    def prepare(self, picture: Picture, shape: tuple[int, ...]) -> tuple[dict[str, NDArray[Any]], Placed]:
        small = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
        images = small[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        sizes = np.array([[picture.shape[1], picture.shape[0]]], np.int64)
        return {"images": images, "orig_target_sizes": sizes}, Placed(1, 1, 0, 0)  # it places boxes itself

    def decode(self, outputs: Outputs, placed: Placed, columns: NDArray[Any]) -> Found:
        labels, boxes, scores = (outputs[key][0] for key in ("labels", "boxes", "scores"))
        rows = np.flatnonzero((scores >= self.low) & np.isin(labels, columns))
        classes = np.argmax(labels[rows, None] == columns[None, :], axis=1).astype(np.int32)
        return placed.back(boxes[rows]), scores[rows], classes


LAYOUTS: tuple[Layout, ...] = (Yolox(), NanoDet(), FastestDet(), Deim())


def _best(scores: Floats) -> tuple[Floats, Ints]:
    """(n, classes) scores as the best score and class of each row."""
    classes = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), classes], classes.astype(np.int32)


def _cells(shape: tuple[Any, ...]) -> list[int]:
    return [(shape[0] // stride) * (shape[1] // stride) for stride in (8, 16, 32)] if len(shape) == 2 else [0]


@lru_cache(maxsize=4)
def _grid(total: int) -> tuple[Floats, Floats]:
    """Column and row of every cell of the strides 8, 16, 32 one after another, and its stride; square inputs."""
    side = round((total / (1 + 1 / 4 + 1 / 16)) ** 0.5)
    cells, strides = [], []
    for stride, length in ((8, side), (16, side // 2), (32, side // 4)):
        rows, columns = np.divmod(np.arange(length * length), length)
        cells.append(np.stack((columns, rows), axis=1))
        strides.append(np.full(length * length, stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)
