"""Each model layout, held to a picture: a wrong colour order or scale otherwise only shows as a low count."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gateway.model.errors import Unsupported
from tests.vision.kit import data
from vision.detect import Detector
from vision.motion import MotionDetector

pytestmark = pytest.mark.data

MODELS = ("yolox_nano_416", "nanodet_m_416", "fastestdet_352", "deimv2_femto_416")
# Two cars of picture 119 of hyderabad_junction.mp4, by eye, in pixels.
CARS = ((435, 203, 560, 294), (559, 188, 719, 290))


def picture(clip: str, number: int) -> np.ndarray:
    capture = cv2.VideoCapture(str(data() / "videos" / clip))
    for _ in range(number):
        capture.grab()
    fine, read = capture.read()
    capture.release()
    assert fine
    return np.asarray(read, np.uint8)


@pytest.mark.parametrize("model", MODELS)
def test_a_model_finds_the_cars_where_they_are(model: str) -> None:
    detector = Detector(data() / "models" / f"{model}.onnx")
    found = detector.find(picture("hyderabad_junction.mp4", 119))
    sure = found.pick(found.scores >= detector.scores.birth)
    for car in CARS:
        off = np.abs(sure.boxes - np.array(car)).max(axis=1)
        assert off.min() <= 16, "pixels between an edge and where it is by eye"
        assert detector.names[sure.classes[off.argmin()]] == "car"


@pytest.mark.parametrize(
    ("model", "score", "people"),
    [("yolox_nano_416", 0.3, 85), ("nanodet_m_416", 0.35, 108), ("deimv2_femto_416", 0.4, 83)],
)
def test_as_many_people_are_found_as_by_the_models_own_scripts(model: str, score: float, people: int) -> None:
    detector = Detector(data() / "models" / f"{model}.onnx")
    detector._layout.low = min(score, detector.scores.low)
    count = 0
    for number in (0, 85, 170, 255):
        found = detector.find(picture("plaza_pedestrians.mp4", number))
        count += int(((found.scores >= score) & (found.classes == detector.names.index("person"))).sum())
    assert count == pytest.approx(people, rel=0.1)


def test_one_thread_or_two_see_the_same() -> None:
    image = picture("hyderabad_junction.mp4", 119)
    one, two = (Detector(data() / "models" / "yolox_nano_416.onnx", threads=n).find(image) for n in (1, 2))
    assert np.array_equal(one.classes, two.classes)
    assert np.allclose(one.boxes, two.boxes, atol=0.1)


def test_a_file_that_is_no_model_is_unsupported_in_words(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"this is no model")
    for model, words in ((wrong, "no model"), (tmp_path / "none.onnx", "no such model")):
        with pytest.raises(Unsupported, match=words) as caught:
            Detector(model)
        assert caught.value.where == model.name
        assert caught.value.hint


def test_motion_sees_what_moves_and_not_what_stands() -> None:
    dice = np.random.default_rng(1)
    road = dice.integers(90, 120, (360, 640, 3)).astype(np.uint8)
    motion = MotionDetector(fps=8)
    for n in range(40):
        shown = np.clip(road + dice.normal(0, 3, road.shape), 0, 255).astype(np.uint8)
        shown[50:90, 500:580] = 220
        if n >= 16:
            x = 20 + 12 * (n - 16)
            shown[200:240, x : x + 70] = 30
        found = motion.find(shown)
        if n == 15:
            assert len(found) == 0
    assert len(found) == 1
    assert np.abs(found.boxes[0] - np.array([x, 200, x + 70, 240])).max() <= 6
