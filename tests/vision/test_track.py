"""Who is who at 5 to 12 pictures a second."""

from __future__ import annotations

import numpy as np
import pytest

from vision.boxes import Detections
from vision.detect import Scores
from vision.track import Tracker

NAMES = ("person", "bicycle", "motorcycle", "car")
PERSON, MOTORCYCLE, CAR = 0, 2, 3
SCORES = Scores(low=0.1, birth=0.3)

Row = tuple[float, float, float, float, float, int]


def found(*rows: Row) -> Detections:
    """Rows of (centre x, centre y, width, height, score, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    half = table[:, 2:4] / 2
    boxes = np.concatenate((table[:, :2] - half, table[:, :2] + half), axis=1)
    return Detections(boxes, table[:, 4], table[:, 5].astype(np.int32))


def tracker() -> Tracker:
    return Tracker(NAMES, SCORES)


@pytest.mark.parametrize("fps", [5, 8, 12])
@pytest.mark.parametrize("sizes_per_picture", [0.3, 0.8, 1.5])
def test_a_small_fast_car_stays_itself_even_when_its_boxes_never_overlap(fps: int, sizes_per_picture: float) -> None:
    one = tracker()
    ids = set()
    for n in range(10):
        seen, _ = one.update(found((100 + 30 * sizes_per_picture * n, 200, 30, 30, 0.8, CAR)), n / fps)
        ids |= {row.track.id for row in seen}
    assert len(ids) == 1


def test_two_that_pass_each_other_keep_their_names() -> None:
    one = tracker()
    ends = {}
    for n in range(12):
        rows = ((100 + 25 * n, 200, 40, 40, 0.8, CAR), (375 - 25 * n, 225, 40, 40, 0.8, CAR))
        seen, _ = one.update(found(*rows), n / 8)
        for row in seen:
            ends.setdefault(row.track.id, []).append(float(row.box[1]))
    assert len(ends) == 2
    assert all(len(set(tops)) == 1 for tops in ends.values())


def test_an_object_hidden_for_a_second_comes_back_as_itself_where_it_was_going() -> None:
    one = tracker()
    for n in range(8):
        one.update(found((100 + 20 * n, 200, 40, 40, 0.8, CAR)), n / 8)
    for n in range(8, 16):
        assert one.update(Detections.none(), n / 8) == ([], [])
    (seen,), _ = one.update(found((100 + 20 * 16, 200, 40, 40, 0.8, CAR)), 2.0)
    assert seen.track.id == 1


def test_an_object_gone_for_longer_is_dead_and_reported_once() -> None:
    one = tracker()
    for n in range(8):
        one.update(found((100, 200, 40, 40, 0.8, CAR)), n / 8)
    dead = [gone for n in range(8, 30) for gone in one.update(Detections.none(), n / 8)[1]]
    assert dead == [1]
    assert one.tracks == []


def test_weak_detections_continue_a_track_and_never_begin_one() -> None:
    one = tracker()
    assert one.update(found((100, 200, 40, 40, 0.2, CAR)), 0.0) == ([], [])
    one.update(found((100, 200, 40, 40, 0.8, CAR)), 0.1)
    (seen,), _ = one.update(found((104, 200, 40, 40, 0.15, CAR)), 0.2)
    assert seen.track.id == 1


def test_a_part_of_a_known_object_is_not_a_new_one() -> None:
    one = tracker()
    for n in range(5):
        rows = [(200, 200, 100, 80, 0.9, CAR), (220, 190, 30, 30, 0.6, CAR)]
        one.update(found(*rows[: 1 + n % 2]), n / 8)
    assert len(one.tracks) == 1


def test_the_class_is_what_most_of_the_score_says() -> None:
    one = tracker()
    for n, (score, kind) in enumerate(((0.9, CAR), (0.3, MOTORCYCLE), (0.3, MOTORCYCLE), (0.8, CAR))):
        (seen,), _ = one.update(found((100, 200, 40, 40, score, kind)), n / 8)
    name, share = one.name(seen.track)
    assert name == "car"
    assert share == pytest.approx(1.7 / 2.3, abs=0.01)


def test_a_rider_mostly_seen_as_a_person_is_a_motorcycle() -> None:
    one = tracker()
    for n, kind in enumerate((PERSON, PERSON, MOTORCYCLE, PERSON)):
        (seen,), _ = one.update(found((100, 200, 40, 40, 0.5, kind)), n / 8)
    assert one.name(seen.track)[0] == "motorcycle"


def test_a_parked_car_does_not_lend_its_name_to_one_that_passes() -> None:
    one = tracker()
    for n in range(20):
        one.update(found((300, 200, 60, 40, 0.8, CAR)), n / 8)
    for n in range(20, 36):
        x = 60 + 30 * (n - 20)
        rows = [(300, 200, 60, 40, 0.8, CAR)] * (not 240 < x < 360) + [(x, 235, 60, 40, 0.8, CAR)]
        seen, _ = one.update(found(*rows), n / 8)
    by_id = {row.track.id: float(row.box[1]) for row in seen}
    assert by_id[1] == 180.0
    assert by_id[2] == 215.0


def test_memory_is_bounded_by_what_was_seen_in_the_last_second() -> None:
    dice = np.random.default_rng(3)
    one = tracker()
    dead: list[int] = []
    most = 0
    for n in range(600):
        rows = [(*dice.uniform(0, 600, 2), *dice.uniform(10, 60, 2), 0.9, CAR) for _ in range(30)]
        _, gone = one.update(found(*rows), n / 8)
        dead += gone
        most = max(most, len(one.tracks))
    assert most <= 30 * 10
    assert len(dead) == len(set(dead))
    assert set(dead).isdisjoint(track.id for track in one.tracks)
    assert len(dead) + len(one.tracks) == one._next - 1
    assert sorted(one.clear()) == sorted(set(range(1, one._next)) - set(dead))
