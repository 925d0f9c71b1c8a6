"""Vehicles: classes stay apart, rates keep numerator and denominator, an unseen road is not an empty one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.indicators.formula import Params, Result, Track
from gateway.indicators.formulas.pcu import PcuParams, PcuTable
from gateway.indicators.formulas.traffic import FORMULAS as FORMULAS_OF_TRAFFIC
from gateway.indicators.formulas.traffic import ClosedParams, ShareParams, is_closed
from gateway.model.measure import Kind, Quality, Value
from tests.indicators.tracks import T0, given, span, track

FORMULAS = {formula.name: formula for formula in FORMULAS_OF_TRAFFIC}
QUARTER, FIVE_MIN, HOUR, DAY = span(900), span(300), span(3600), span(86_400)
OWN = PcuTable(name="own", confirmed=True, factors={"motorcycle": 0.3, "car": 1, "truck": 2})


def counts(cls: str, values: Sequence[Value | None], way: str = "up", **fields: Any) -> Track:
    return track(
        "traffic.count", values, kind=Kind.SUM, id=f"cam/l1/{cls}/{way}", tags={"cls": cls, "dir": way}, **fields
    )


def flow(*tracks: Track, params: PcuParams | None = None) -> Result:
    return FORMULAS["flow_pcu"].compute(QUARTER, given(count=tracks), params or PcuParams(table=OWN))


def test_counts_of_longer_periods_are_sums() -> None:
    result = FORMULAS["traffic_count"].compute(FIVE_MIN, given(count=counts("car", [1, 2, 3, 0, 4, 9])), Params())
    assert (result.value, result.quality) == (10, Quality.GOOD)
    assert FORMULAS["traffic_count"].compute(FIVE_MIN, given(count=counts("car", [None] * 5)), Params()).value is None


def test_flow_is_in_car_units_an_hour_of_both_directions() -> None:
    result = flow(counts("motorcycle", [10] * 15), counts("car", [2] * 15), counts("car", [1] * 15, "down"))
    assert result.value == pytest.approx((150 * 0.3 + 45) * 4)
    assert result.detail["pcu"] == pytest.approx(90)
    assert result.detail["counts"] == {"motorcycle": 150, "car": 45}
    assert (result.detail["table"], result.detail["version"]) == ("own", "1")


def test_minutes_nobody_watched_do_not_thin_out_the_flow() -> None:
    result = flow(counts("car", [4] * 10 + [None] * 5))
    assert result.value == pytest.approx(240)
    assert result.quality is Quality.UNCERTAIN
    assert flow(counts("car", [None] * 15)).value is None


def test_a_table_from_memory_gives_a_value_only_once_it_is_confirmed() -> None:
    memory = OWN.model_copy(update={"confirmed": False})
    unconfirmed = flow(counts("car", [1] * 15), params=PcuParams(table=memory))
    assert (unconfirmed.value, unconfirmed.detail["why"]) == (None, "table_unconfirmed")
    assert flow(counts("car", [1] * 15), params=PcuParams(table=memory, confirmed=True)).value == pytest.approx(60)
    nowhere = flow(counts("car", [1] * 15), params=PcuParams(table="nowhere", confirmed=True))
    assert (nowhere.value, nowhere.detail["why"]) == (None, "no_such_table")


def test_a_class_the_table_does_not_have_is_said_and_people_are_no_vehicles() -> None:
    result = flow(counts("car", [1] * 15), counts("other", [1] * 15), counts("person", [9] * 15))
    assert result.value == pytest.approx(60)
    assert result.detail["unconverted"] == {"other": 15}
    assert result.quality is Quality.UNCERTAIN
    assert flow(counts("vehicle", [1] * 15)).detail["why"] == "no_class_of_the_table"


def test_a_share_keeps_what_it_is_made_of() -> None:
    formula, told = FORMULAS["class_share"], ShareParams(classes=("motorcycle",))
    both = given(count=[counts("motorcycle", [3] * 60), counts("car", [1] * 60), counts("person", [5] * 60)])
    result = formula.compute(HOUR, both, told)
    assert result.value == pytest.approx(75)
    assert (result.detail["numerator"], result.detail["denominator"]) == (180, 240)


def test_a_share_of_nothing_is_none_and_says_why() -> None:
    formula, told = FORMULAS["class_share"], ShareParams(classes=("truck",))
    assert formula.compute(HOUR, given(count=counts("truck", [0] * 60)), told).detail["why"] == "no_vehicles"
    unseen = formula.compute(HOUR, given(count=counts("vehicle", [5] * 60)), told)
    assert (unseen.value, unseen.detail["why"]) == (None, "no_classes")


@forall(st.lists(st.integers(0, 50), min_size=60, max_size=60), st.lists(st.integers(0, 50), min_size=60, max_size=60))
def test_a_share_lies_between_0_and_100(some: list[int], others: list[int]) -> None:
    told = ShareParams(classes=("bus",))
    result = FORMULAS["class_share"].compute(HOUR, given(count=[counts("bus", some), counts("car", others)]), told)
    assert (result.value is None) == (sum(some) + sum(others) == 0)
    assert result.value is None or 0 <= float(result.value) <= 100


def test_speed_is_weighted_by_the_vehicles_that_had_it() -> None:
    speed = track("traffic.speed", [60, 60, 60, 60, 10], unit="km/h")
    formula = FORMULAS["speed_mean"]
    weighted = formula.compute(FIVE_MIN, given(speed=speed, count=counts("car", [1, 1, 1, 1, 36])), Params())
    assert weighted.value == pytest.approx(15)
    assert (weighted.detail["weight"], weighted.detail["weighted_by"]) == (40, "vehicles")
    plain = formula.compute(FIVE_MIN, given(speed=speed), Params())
    assert plain.value == pytest.approx(50)
    assert plain.detail["weighted_by"] == "readings"


def test_a_direction_weighs_only_its_own_speed() -> None:
    up = track("traffic.speed", [50] * 5, id="cam/up", tags={"dir": "up"})
    down = track("traffic.speed", [20] * 5, id="cam/down", tags={"dir": "down"})
    both = given(speed=[up, down], count=[counts("car", [2] * 5), counts("car", [1] * 5, "down")])
    assert FORMULAS["speed_mean"].compute(FIVE_MIN, both, Params()).value == pytest.approx(40)


def test_no_vehicles_have_no_speed() -> None:
    speed = track("traffic.speed", [0.0] * 5)
    result = FORMULAS["speed_mean"].compute(FIVE_MIN, given(speed=speed, count=counts("car", [0] * 5)), Params())
    assert (result.value, result.detail["why"]) == (None, "no_vehicles")
    silent = FORMULAS["speed_mean"].compute(FIVE_MIN, given(speed=track("traffic.speed", [None] * 5)), Params())
    assert silent.value is None
    assert "why" not in silent.detail


def test_the_longest_queue_of_all_approaches_is_told() -> None:
    one = track("traffic.queue", [10, 80, 20, 0, 0], id="cam/north")
    other = track("traffic.queue", [5] * 5, id="cam/south")
    result = FORMULAS["queue_max"].compute(FIVE_MIN, given(queue=[one, other]), Params())
    assert (result.value, result.detail["by_signal"]) == (80, {"cam/north": 80, "cam/south": 5})


def test_incidents_are_counted_by_type_and_none_counted_is_not_none_seen() -> None:
    formula = FORMULAS["incident_count"]
    wrong = track("traffic.incident", [0] * 59 + [2], kind=Kind.SUM, id="a", tags={"type": "wrong_way"})
    stop = track("traffic.incident", [1] + [0] * 59, kind=Kind.SUM, id="b", tags={"type": "stopped"})
    result = formula.compute(HOUR, given(incident=[wrong, stop]), Params())
    assert (result.value, result.detail["by_type"]) == (3, {"wrong_way": 2, "stopped": 1})
    silent = track("traffic.incident", [None] * 60, kind=Kind.SUM)
    assert formula.compute(HOUR, given(incident=silent), Params()).value is None


def test_minutes_of_signal_fault_add_up() -> None:
    fault = track("traffic.signal_fault", [False] * 40 + [True] * 20, kind=Kind.LAST)
    assert FORMULAS["fault_min"].compute(HOUR, given(fault=fault), Params()).value == 20
    words = track("traffic.signal_fault", ["dark"] * 60, kind=Kind.LAST)
    assert FORMULAS["fault_min"].compute(HOUR, given(fault=words), Params()).value is None


# 2026-10-01 is a Thursday
@pytest.mark.parametrize(
    ("hour", "weekdays", "closed"),
    [(18.5, (4,), True), (17.99, (4,), False), (23.99, (4,), True), (25, (4,), True), (26, (4,), False),
     (1, (4,), False), (1, (3,), True), (18.5, (5,), False), (25, (5,), False)],
)  # fmt: skip
def test_hours_over_midnight_belong_to_the_day_they_begin(hour: float, weekdays: tuple[int, ...], closed: bool) -> None:
    told = ClosedParams(closed=(("18:00", "02:00"),), weekdays=weekdays)
    assert is_closed(T0 + round(hour * 3_600_000), told) is closed


def test_vehicles_count_only_in_closed_hours_and_only_those_not_allowed() -> None:
    told = ClosedParams(closed=(("00:00", "00:30"),))
    cars = counts("car", [0] * 20 + [3] * 20)
    bicycles = counts("bicycle", [1] * 40)
    result = FORMULAS["veh_in_closed_min"].compute(DAY, given(count=[cars, bicycles]), told)
    assert result.value == 10
    assert result.detail == {"vehicles": {"car": 30}, "closed_min": 30, "known_min": 30}
    assert result.quality is Quality.GOOD


def test_an_unwatched_closed_street_was_not_empty() -> None:
    told, formula = ClosedParams(closed=(("00:00", "00:30"),)), FORMULAS["veh_in_closed_min"]
    assert formula.compute(DAY, given(count=counts("car", [None] * 40)), told).value is None
    part = formula.compute(DAY, given(count=counts("car", [0] * 10 + [None] * 30)), told)
    assert (part.value, part.quality) == (0, Quality.UNCERTAIN)
    assert formula.compute(DAY, given(count=counts("car", [1] * 40)), ClosedParams()).detail["why"] == "no_hours"


def test_a_time_of_day_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        ClosedParams(closed=(("25:00", "26:00"),))
