"""One vehicle, one box."""

from __future__ import annotations

import numpy as np
import pytest

from vision.boxes import Detections, iou, merge, suppress

PERSON, MOTORCYCLE, CAR, TRUCK = 0, 1, 2, 3
PEOPLE, TWO_WHEELERS = np.array([PERSON], np.int32), np.array([MOTORCYCLE], np.int32)

Row = tuple[float, float, float, float, float, int]


def found(*rows: Row) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def test_overlap_is_that_of_areas() -> None:
    one, two = found((0, 0, 10, 10, 1, 0)).boxes, found((5, 0, 15, 10, 1, 0), (20, 20, 30, 30, 1, 0)).boxes
    assert iou(one, two)[0].tolist() == pytest.approx([1 / 3, 0])


def test_one_car_called_car_and_truck_is_one() -> None:
    both = found((0, 0, 100, 60, 0.5, TRUCK), (2, 1, 99, 61, 0.8, CAR), (300, 0, 400, 60, 0.4, CAR))
    kept = suppress(both, 0.45)
    assert kept.classes.tolist() == [CAR, CAR]
    assert kept.scores.tolist() == pytest.approx([0.8, 0.4])


MERGES = {
    "a rider and the machine": (((10, 0, 40, 70, 0.9, PERSON), (5, 35, 45, 90, 0.6, MOTORCYCLE)), [MOTORCYCLE]),
    "two riders and the machine": (
        ((12, 0, 30, 60, 0.9, PERSON), (18, 5, 42, 65, 0.8, PERSON), (5, 30, 45, 90, 0.6, MOTORCYCLE)),
        [MOTORCYCLE],
    ),
    "a cabin inside a truck": (((0, 0, 100, 80, 0.7, TRUCK), (60, 20, 98, 78, 0.5, CAR)), [TRUCK]),
    "two boxes with one foot": (((0, 0, 60, 60, 0.7, CAR), (5, 25, 58, 62, 0.5, TRUCK)), [CAR]),
    "a person before a car": (((0, 0, 100, 60, 0.8, CAR), (40, 10, 60, 60, 0.7, PERSON)), [CAR, PERSON]),
    "two people close together": (((0, 0, 30, 80, 0.8, PERSON), (6, 0, 34, 82, 0.7, PERSON)), [PERSON, PERSON]),
    "two motorcycles side by side": (
        ((0, 0, 40, 80, 0.8, MOTORCYCLE), (30, 5, 70, 85, 0.7, MOTORCYCLE)),
        [MOTORCYCLE, MOTORCYCLE],
    ),
}


@pytest.mark.parametrize(("rows", "classes"), MERGES.values(), ids=MERGES.keys())
def test_boxes_of_one_vehicle_become_one(rows: tuple[Row, ...], classes: list[int]) -> None:
    assert merge(found(*rows), PEOPLE, TWO_WHEELERS).classes.tolist() == classes


def test_a_rider_box_covers_rider_and_machine() -> None:
    rows = ((10, 0, 40, 70, 0.9, PERSON), (5, 35, 45, 90, 0.6, MOTORCYCLE))
    assert merge(found(*rows), PEOPLE, TWO_WHEELERS).boxes.tolist() == [[5, 0, 45, 90]]


def test_nothing_found_stays_nothing() -> None:
    assert len(merge(suppress(Detections.none(), 0.45), PEOPLE, TWO_WHEELERS)) == 0
