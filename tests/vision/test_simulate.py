"""The generated clip: its truth is true, and counting without a model finds it."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.vision.matching import matched
from vision import simulate
from vision.offline import Trial, count

SECONDS = 20.0


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
async def test_the_weight_free_counter_finds_the_truth(tmp_path: Path, suffix: str) -> None:
    clip = tmp_path / f"traffic{suffix}"
    told = simulate.make_clip(clip, SECONDS, seed=3)
    x1, y1, x2, y2 = told["line"]
    ends = (x1 * simulate.WIDTH, y1 * simulate.HEIGHT, x2 * simulate.WIDTH, y2 * simulate.HEIGHT)
    counted = await count(Trial(path=clip, line=ends, fps=8, anchor="foot"))
    expected = [(passage["t_s"], passage["direction"]) for passage in told["crossings"]]
    events = [(crossing.at_s, crossing.way) for crossing in counted.crossings]
    assert len(expected) >= 20
    hits = matched(expected, events, within_s=0.3)
    assert hits >= 0.95 * len(expected)
    assert len(events) - hits <= 0.05 * len(expected)


def test_truth_is_when_the_lower_edge_reaches_the_line() -> None:
    vehicles = simulate.traffic(SECONDS)
    passages = simulate.truth(vehicles, simulate.DEFAULT_LINE)
    y = 0.55 * simulate.HEIGHT
    assert len(passages) == len(vehicles)
    assert {passage.direction for passage in passages} == {"up", "down"}
    for vehicle in vehicles:
        (at,) = [p.t_s for p in passages if abs(vehicle.foot_y(p.t_s) - y) < 0.5 and p.t_s > vehicle.from_s][:1]
        assert vehicle.from_s < at < vehicle.gone_s() <= SECONDS


def test_nobody_drives_through_the_one_ahead() -> None:
    vehicles = simulate.traffic(120.0)
    for at_s in np.arange(0, 120, 0.5):
        for lane in range(len(simulate.LANES)):
            here = [v for v in vehicles if v.lane == lane and v.from_s <= at_s <= v.gone_s()]
            spans = sorted((v.foot_y(at_s) - v.length, v.foot_y(at_s)) for v in here)
            assert all(ahead[0] > behind[1] for behind, ahead in pairwise(spans))


def test_the_same_seed_gives_the_same_traffic_and_another_seed_another() -> None:
    assert simulate.traffic(SECONDS, 1) == simulate.traffic(SECONDS, 1) != simulate.traffic(SECONDS, 2)


def test_by_its_command_line_it_writes_clip_and_truth_and_can_leave_the_road_empty_at_the_end(tmp_path: Path) -> None:
    clip = tmp_path / "t.mp4"
    command = [sys.executable, "-P", "-m", "vision.simulate", str(clip), "--seconds", "12", "--traffic-seconds", "8"]
    subprocess.run([*command, "--line", "0.05,0.4,0.45,0.4"], check=True, timeout=60)
    told = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))
    assert told["line"] == [0.05, 0.4, 0.45, 0.4]
    assert told["total"]["up"] == 0, "the line only covers the lanes that come towards the camera"
    assert told["total"]["down"] == len(told["crossings"]) > 0
    assert max(crossing["t_s"] for crossing in told["crossings"]) < 8
    capture = cv2.VideoCapture(str(clip))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == told["frames"] == 12 * 15
    capture.release()


def test_a_folder_that_is_not_there_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(simulate.GatewayError, match="cannot be written"):
        simulate.make_clip(tmp_path / "nowhere" / "t.mp4", 1)
