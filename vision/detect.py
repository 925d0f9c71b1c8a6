"""The detector: an ONNX model of a known layout, run on the processor with settings that suit a small machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gateway.model.errors import Unsupported
from vision.boxes import TWO_WHEELERS, Detections, Ints, merge, suppress
from vision.decoders import LAYOUTS, Layout, Picture
from vision.settings import MODEL_CLASSES

# COCO-80 order, as far as it is ours.
_COCO = {"person": 0, "bicycle": 1, "car": 2, "motorcycle": 3, "bus": 5, "truck": 7}


@dataclass(frozen=True, slots=True)
class Scores:
    """From `birth` on a detection may begin a track; down to `low` it may only continue one."""

    low: float
    birth: float


class Detector:
    """Finds people and vehicles. `names` are the classes of its detections."""

    names = MODEL_CLASSES

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        """Raises Unsupported if the file is no ONNX model or of a layout nobody here can read."""
        self._session = _open(model, threads)
        self._layout = _recognise(self._session, model)
        self.method = self._layout.name
        self.scores = Scores(self._layout.low, self._layout.birth)
        self._outputs = [value.name for value in self._session.get_outputs()]
        self._shape = tuple(self._session.get_inputs()[0].shape[2:4])
        self._columns = np.array([_COCO[name] for name in self.names])
        self._persons = _indices("person")
        self._two_wheelers = _indices(*TWO_WHEELERS)

    def find(self, picture: Picture) -> Detections:
        """Detections in pixels of `picture` (height, width, 3; BGR), one box an object."""
        feed, placed = self._layout.prepare(picture, self._shape)
        outputs = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        boxes, scores, classes = self._layout.decode(outputs, placed, self._columns)
        found = Detections(boxes, scores, classes)
        found = suppress(found.pick(found.scores >= self.scores.low), self._layout.overlap)
        return merge(found, self._persons, self._two_wheelers)


def _indices(*names: str) -> Ints:
    return np.array([MODEL_CLASSES.index(name) for name in names], np.int32)


def _open(model: Path, threads: int) -> Any:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Spinning threads burn three times the processor time for the same latency at 10 pictures a second.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    if not model.is_file():
        raise Unsupported("there is no such model file", where=model.name, hint="check `model` in the site file")
    broken_model = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf, state.NotImplemented)
    try:
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except broken_model as broken:
        raise Unsupported(
            f"this is no model that onnxruntime can load ({type(broken).__name__})",
            where=model.name,
            hint="copy the file again, compare its sha256 with the source",
        ) from None


def _recognise(session: Any, model: Path) -> Layout:
    inputs = {value.name: tuple(value.shape) for value in session.get_inputs()}
    outputs = {value.name: tuple(value.shape) for value in session.get_outputs()}
    for layout in LAYOUTS:
        if layout.fits(inputs, outputs):
            return layout
    shapes = ", ".join(f"{name}{list(shape)}" for name, shape in outputs.items())
    raise Unsupported(
        f"nobody here can read this model's outputs: {shapes[:200]}",
        where=model.name,
        hint="use a YOLOX, NanoDet, FastestDet or DEIMv2 export with COCO classes",
    )
