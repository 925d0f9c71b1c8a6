"""VN_AQI, the mathematics: the decision's examples, the edges of its table, and what must hold of every number."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.indicators.formulas import aqi
from tests.indicators.vectors import vectors

VECTORS: Final = vectors("vn_aqi")
_POINTS = [
    (column, c, i) for column, points in aqi.BREAKPOINTS.items() for c, i in zip(points, aqi.INDEX, strict=False)
]
_HOURS = st.lists(st.none() | st.floats(0, 500), max_size=12)


@pytest.mark.parametrize(("column", "concentration", "exact", "rounded"), VECTORS["sub_indices"])
def test_the_decisions_examples_come_out(column: str, concentration: float, exact: float, rounded: int) -> None:
    index = aqi.sub_index(column, concentration)
    assert index == pytest.approx(exact)
    assert index is not None
    assert aqi.half_up(index) == rounded


@pytest.mark.parametrize(("column", "concentration", "index"), _POINTS)
def test_every_breakpoint_has_its_index(column: str, concentration: float, index: float) -> None:
    assert aqi.sub_index(column, concentration) == pytest.approx(index)
    assert not aqi.beyond(column, concentration)


@pytest.mark.parametrize(("column", "concentration"), VECTORS["beyond"])
def test_above_the_table_it_stays_500_and_says_so(column: str, concentration: float) -> None:
    assert aqi.sub_index(column, concentration) == 500
    assert aqi.beyond(column, concentration)


def test_the_8_hour_column_of_ozone_says_nothing_above_400() -> None:
    assert aqi.sub_index("o3_8h", 400.01) is None


@pytest.mark.parametrize("value", [-0.001, float("nan"), float("inf"), float("-inf")])
def test_what_is_no_concentration_has_no_index(value: float) -> None:
    assert aqi.sub_index("pm25", value) is None


@pytest.mark.parametrize("case", VECTORS["nowcast"])
def test_nowcast_with_and_without_gaps(case: dict[str, Any]) -> None:
    found = aqi.nowcast(case["hours"])
    if case["value"] is None:
        assert found is None
    else:
        assert found is not None
        assert found.value == pytest.approx(case["value"], abs=5e-4)
        assert found.weight == pytest.approx(case["weight"], abs=5e-4)


@pytest.mark.parametrize(("index", "name", "rgb"), VECTORS["levels"])
def test_levels_have_the_decisions_names_and_colours(index: int, name: str, rgb: str) -> None:
    assert (aqi.level(index).name_vi, aqi.level(index).rgb) == (name, rgb)


@settings(max_examples=200)
@given(column=st.sampled_from(sorted(aqi.BREAKPOINTS)), one=st.floats(0, 200_000), other=st.floats(0, 200_000))
def test_more_is_never_a_lower_index(column: str, one: float, other: float) -> None:
    low, high = (aqi.sub_index(column, c) for c in sorted((one, other)))
    assert high is None or (low is not None and 0 <= low <= high <= 500)


@settings(max_examples=200)
@given(column=st.sampled_from(sorted(aqi.BREAKPOINTS)), share=st.floats(0, 0.999))
def test_the_index_makes_no_jump(column: str, share: float) -> None:
    points = aqi.BREAKPOINTS[column]
    steepest = max(
        (i1 - i0) / (c1 - c0) for (c0, c1), (i0, i1) in zip(pairwise(points), pairwise(aqi.INDEX), strict=False)
    )
    at, step = share * points[-1], points[-1] * 1e-4
    here, there = aqi.sub_index(column, at), aqi.sub_index(column, min(at + step, points[-1]))
    assert here is not None
    assert there is not None
    assert there - here <= steepest * step * 1.001


@settings(max_examples=200)
@given(hours=_HOURS)
def test_nowcast_lies_between_the_lowest_and_the_highest_hour(hours: list[float | None]) -> None:
    found = aqi.nowcast(hours)
    known = [value for value in hours if value is not None]
    if sum(value is not None for value in hours[:3]) < 2:
        assert found is None
    else:
        assert found is not None
        assert min(known) - 1e-9 <= found.value <= max(known) + 1e-9
        assert 0.5 <= found.weight <= 1
