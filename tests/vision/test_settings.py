"""What a technician may write, and what is told to the child."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.model.errors import Unsupported
from tests.vision.kit import settings
from vision.driver import make_job
from vision.settings import CameraSettings

NAME = "cam"  # of the secret


def test_every_key_says_what_it_is_for() -> None:
    assert [name for name, field in CameraSettings.model_fields.items() if not field.description] == []


def test_a_line_of_no_length_is_refused() -> None:
    with pytest.raises(ValidationError, match="apart"):
        settings(lines={"l1": {"from": [0.5, 0.5], "to": [0.505, 0.5]}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classes": ["car"]}, "name a model"),
        ({"source": "rtsp://admin:secret@camera/1"}, "no passwords"),
        ({"every_s": 0.2, "fps": 5}, "at least two pictures"),
        ({"pace": "slow"}, "real"),
        ({"lines": {}}, "at least 1"),
        ({"lines": {"L 1": {"from": [0, 0], "to": [1, 1]}}}, "pattern"),
        ({"lines": {"l1": {"from": [0, 0], "to": [1, 300]}}}, "less than or equal to 1"),
        ({"zoom": 3}, "not permitted"),
    ],
)
def test_what_cannot_work_is_refused_in_words(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**change)


def test_a_refused_password_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        settings(source="rtsp://admin:hunter2@camera/1")
    assert "hunter2" not in "".join(error["msg"] for error in caught.value.errors())


def test_ways_follow_the_slope_of_the_line() -> None:
    lines = {
        "flat": {"from": [0.9, 0.5], "to": [0.1, 0.6]},
        "steep": {"from": [0.5, 0.1], "to": [0.6, 0.9]},
    }
    found = settings(lines=lines).lines
    assert found["flat"].ways == ("up", "down")
    assert found["steep"].ways == ("left", "right")


def test_files_are_found_beside_the_site_file(tmp_path: Path) -> None:
    job = make_job(settings(source="run/clip.mp4", model="../m.onnx", classes=["car"]), tmp_path)
    assert job.source == str(tmp_path / "run/clip.mp4")
    assert Path(job.model).resolve() == tmp_path.parent / "m.onnx"
    assert job.lines[0].classes == ("car",)
    assert not job.stream


def test_a_password_goes_into_the_address_only_on_its_way_to_the_child(tmp_path: Path) -> None:
    stream = settings(source="rtsp://admin@10.0.0.9:554/sub?x=1", password=NAME)
    assert make_job(stream, tmp_path, "p@ss/1").source == "rtsp://admin:p%40ss%2F1@10.0.0.9:554/sub?x=1"
    assert make_job(stream, tmp_path).stream
    with pytest.raises(Unsupported):
        make_job(settings(source="rtsp://10.0.0.9/sub", password=NAME), tmp_path, "p")


def test_a_stream_gets_more_patience_than_a_file() -> None:
    assert settings(stall_s=None).stall_limit_s == 5
    assert settings(source="rtsp://camera/1", stall_s=None).stall_limit_s == 20
    assert settings(stall_s=7).stall_limit_s == 7
