"""Surface water: an index that is never called publishable, and a class that says what decided it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from gateway.indicators.book import FORMULAS
from gateway.indicators.formula import Params, Result
from gateway.indicators.formulas import aqi, wqi
from gateway.indicators.formulas.water import ClassParams, WqiParams
from gateway.model.measure import Quality, Reason
from tests.indicators.tracks import given, span, track
from tests.indicators.vectors import vectors

VECTORS: Final = vectors("vn_wqi")


def compute(name: str, params: Params, /, **values: Any) -> Result:
    tracks = {role: track(f"sw.{role}", [value] * 60) for role, value in values.items()}
    return FORMULAS[name].compute(span(3600), given(**tracks), params)


@pytest.mark.parametrize(("parameter", "value", "q"), VECTORS["sub_indices"])
def test_sub_indices_are_those_of_both_programs(parameter: str, value: float, q: float) -> None:
    assert wqi.sub_index(parameter, value) == pytest.approx(q)


@pytest.mark.parametrize(("temperature", "oxygen"), VECTORS["saturation"])
def test_saturation_of_fresh_water(temperature: float, oxygen: float) -> None:
    assert wqi.saturated_oxygen(temperature) == pytest.approx(oxygen, abs=0.005)


@pytest.mark.parametrize(("index", "name"), VECTORS["levels"])
def test_levels_of_water(index: int, name: str) -> None:
    assert wqi.level(index).name_vi == name


def test_kem_is_milder_than_xau_in_air_and_worse_in_water() -> None:
    air = [level.name_vi for level in aqi.LEVELS]
    water = [level.name_vi for level in wqi.LEVELS]
    assert air.index("Kém") < air.index("Xấu")
    assert water.index("Kém") > water.index("Xấu")


@settings(max_examples=200)
@examples(parameter=st.sampled_from(sorted({*wqi.FALLING, "no2n"})), one=st.floats(0, 300), other=st.floats(0, 300))
def test_more_pollution_is_never_a_better_index(parameter: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    better, worse = wqi.sub_index(parameter, low), wqi.sub_index(parameter, high)
    assert better is not None
    assert worse is not None
    assert 10 <= worse <= better <= 100


def test_a_reference_index_says_what_it_lacks_and_is_never_publishable() -> None:
    found = compute("vn_wqi_ref", WqiParams(), ph=7, do=8.18, temp=25, nh4n=0.45)
    assert (found.value, found.quality) == (81, Quality.GOOD)
    assert found.detail["exact"] == pytest.approx(81.25, abs=0.01)
    assert found.detail["publishable"] is False
    assert found.detail["groups"] == {"I": ["ph"], "IV": ["do", "nh4n"]}
    assert len(found.detail["missing_for_publication"]) == 2
    assert found.detail["level_vi"] == "Tốt"


def test_the_measured_saturation_goes_before_the_computed_one() -> None:
    found = compute("vn_wqi_ref", WqiParams(), do_sat=50, do=8.18, temp=25)
    assert found.detail["values"]["do"] == 50


def test_acid_water_takes_from_the_whole_index() -> None:
    assert compute("vn_wqi_ref", WqiParams(), ph=5.5, cod=10).value == 50


def test_nitrate_counts_only_where_a_site_says_so_and_then_as_unsure() -> None:
    assert "no3n" not in compute("vn_wqi_ref", WqiParams(), cod=10, no3n=12).detail["sub_indices"]
    told = compute("vn_wqi_ref", WqiParams(include_no3n=True), cod=10, no3n=12.5)
    assert (told.value, told.detail["unsure"]) == (69, ["no3n"])


def test_an_index_without_a_parameter_that_gave_nothing_is_uncertain() -> None:
    """Without a silent pH the index would look better than it is."""
    values = dict.fromkeys(("bod5", "cod", "toc", "no2n", "po4p"), 1.0)
    silent = compute("vn_wqi_ref", WqiParams(), ph=None, **values)
    assert (silent.quality, silent.detail["lacking"]) == (Quality.UNCERTAIN, ["ph"])
    assert compute("vn_wqi_ref", WqiParams(), ph=7, **values).quality is Quality.GOOD


def test_ph_alone_is_no_index() -> None:
    found = compute("vn_wqi_ref", WqiParams(), ph=7)
    assert (found.value, found.quality, found.detail["publishable"]) == (None, Quality.MISSING, False)


def test_oxygen_without_temperature_is_left_out() -> None:
    assert "do" not in compute("vn_wqi_ref", WqiParams(), do=8, cod=10).detail["sub_indices"]


@pytest.mark.parametrize(("parameter", "value", "alone", "confirmed"), VECTORS["classes"])
def test_classes_of_rivers(parameter: str, value: float, alone: str | None, confirmed: str) -> None:
    assert wqi.class_of(parameter, value) == alone
    assert wqi.class_of(parameter, value, memory=True) == confirmed


def test_the_worst_parameter_decides_and_is_named() -> None:
    found = compute("class_qcvn08", ClassParams(), ph=7, cod=12, tss=20)
    assert (found.value, found.detail["decided_by"], found.detail["name_vi"]) == ("B", ["cod"], "Trung bình")
    assert "do" in found.detail["not_measured"]


def test_a_cell_from_memory_decides_nothing_until_it_is_confirmed() -> None:
    alone = compute("class_qcvn08", ClassParams(), do=6.5)
    assert (alone.value, alone.quality, alone.detail["undecided"]) == (None, Quality.MISSING, ["do"])
    assert compute("class_qcvn08", ClassParams(confirm_memory=True), do=6.5).value == "A"


def test_a_class_is_uncertain_where_a_parameter_was_not_decided_or_gave_nothing() -> None:
    whole = compute("class_qcvn08", ClassParams(), ph=7, cod=8)
    undecided = compute("class_qcvn08", ClassParams(), ph=7, cod=8, do=5.5)
    silent = compute("class_qcvn08", ClassParams(), ph=7, cod=8, bod5=3, tp=0.05, tn=0.3, tss=None)
    assert (whole.value, whole.quality) == ("A", Quality.GOOD)
    assert (undecided.value, undecided.quality) == ("A", Quality.UNCERTAIN)
    assert Reason.PARTIAL in undecided.reasons
    assert (silent.value, silent.quality, silent.detail["not_measured"][0]) == ("A", Quality.UNCERTAIN, "toc")


def test_a_name_from_memory_is_not_said_until_it_is_confirmed() -> None:
    assert "name_vi" not in compute("class_qcvn08", ClassParams(), cod=18).detail
    assert compute("class_qcvn08", ClassParams(confirm_memory=True), cod=18).detail["name_vi"] == "Xấu"


def test_nothing_measured_is_no_class() -> None:
    found = compute("class_qcvn08", ClassParams(), ph=None, cod=None)
    assert (found.value, found.quality) == (None, Quality.MISSING)
