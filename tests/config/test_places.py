"""Codes and names of provinces and communes, the boxes round them, and the verbs that look them up."""

from __future__ import annotations

import json
import unicodedata

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from config import places
from gateway.cli import place_verbs
from gateway.model.errors import BadArgument

LIST = places.gazetteer()
COMMUNES = sorted(LIST.communes.values())


def test_the_list_is_that_of_two_tiers() -> None:
    assert len(LIST.provinces) == 34
    assert len(LIST.communes) == 3321
    assert {commune.province for commune in COMMUNES} == set(LIST.provinces)
    assert all(len(commune.code) == 5 and commune.code.isdecimal() for commune in COMMUNES)


def test_a_code_keeps_its_zeros() -> None:
    assert places.commune("00004") == places.Commune("00004", "Phường Ba Đình", "01")
    assert places.commune("4") is None
    assert places.province("38") == places.Province("38", "Thanh Hóa")
    assert places.province("36") is None  # Nam Định, joined to Ninh Bình


def test_many_codes_are_asked_at_once() -> None:
    assert set(places.communes(["14797", "99999", "00004"])) == {"14797", "00004"}


def test_the_list_says_which_day_it_is_of() -> None:
    name, day = places.version().split()
    assert name == "vietnam-provinces"
    assert day >= "2025-10-18"


@pytest.mark.parametrize(
    "text", ["hac thanh", "Hạc Thành", "HẠC THÀNH", "hacthanh", "thanh hac", "phường hạc thành", "hac tha", "14797",
             unicodedata.normalize("NFD", "Hạc Thành"), " hac   thanh ", "hạc thành thanh hóa"],
)  # fmt: skip
def test_writing_does_not_matter(text: str) -> None:
    assert [unit.code for unit in LIST.search(text)] == ["14797"]


def test_two_that_are_one_word_without_accents_are_both_shown_the_exact_one_first() -> None:
    assert {unit.code for unit in LIST.search("dong tien", "38")} == {"15853", "15724"}
    assert LIST.search("Đông Tiến", "38")[0].code == "15853"
    assert LIST.search("Đồng Tiến", "38")[0].code == "15724"


def test_a_province_is_found_by_its_name() -> None:
    assert LIST.search("thanh hoa")[0] == places.Province("38", "Thanh Hóa")
    assert LIST.search("ha noi")[0].code == "01"


@settings(max_examples=25)
@given(st.sampled_from(COMMUNES))
def test_every_commune_is_found_by_its_name_without_accents(commune: places.Commune) -> None:
    assert commune in places.Gazetteer(LIST.provinces, LIST.communes).search(places.plain(commune.name))


def test_nothing_is_found_for_nothing_and_near_names_help() -> None:
    assert LIST.search("") == []
    assert LIST.search("--") == []
    assert LIST.search("hac thnah") == []
    assert LIST.near("hac thnah")[0].code == "14797"


# --- boxes ----------------------------------------------------------------------------------------------------------


def test_every_province_has_a_box_and_no_other() -> None:
    for code in LIST.provinces:
        found = places.bounds(code)
        assert found is not None
        for west, south, east, north in found.boxes:
            assert 102 < west < east < 110  # the mainland and what lies before it
            assert 8 < south < north < 24
    assert places.bounds("36") is None
    assert places.scattered() <= set(LIST.communes)


@pytest.mark.parametrize(
    ("province", "lat", "lon"),
    [("01", 21.0285, 105.8542), ("38", 19.8075, 105.7764), ("38", 20.45, 104.75), ("48", 16.0544, 108.2022),
     ("79", 10.7769, 106.7009), ("79", 8.6833, 106.6), ("91", 10.22, 103.96), ("31", 20.7, 107.05), ("96", 8.6, 104.7),
     ("22", 21.53, 107.97), ("08", 23.36, 105.31), ("11", 22.4, 102.17), ("56", 12.65, 109.4), ("68", 10.52, 108.94)],
)  # fmt: skip
def test_known_places_are_inside(province: str, lat: float, lon: float) -> None:
    """Capitals, islands and the four ends of the country, from any map."""
    found = places.bounds(province)
    assert found is not None
    assert found.hold(lat, lon)
    assert not found.hold(lon, lat)
    assert province in places.holding(lat, lon)


def test_a_neighbour_and_the_open_sea_are_outside() -> None:
    found = places.bounds("38")
    assert found is not None
    assert not found.hold(18.67, 105.69)  # Vinh
    assert not found.hold(19.5, 106.6)
    assert places.holding(19.5, 108.0) == []


# --- the verbs ------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(place_verbs.find)
    app.command()(place_verbs.show)
    return CliRunner().invoke(app, arguments)


def test_find_names_the_code_and_the_province() -> None:
    result = run("find", "hac thanh")
    assert result.exit_code == 0
    assert "14797  Phường Hạc Thành, Thanh Hóa\n" in result.stdout
    assert places.version() in result.stdout


def test_find_within_a_province_by_code_or_name() -> None:
    by_name, by_code = run("find", "dong tien", "-p", "thanh hoa"), run("find", "dong tien", "-p", "38")
    assert by_name.stdout == by_code.stdout
    assert "2 found" in by_name.stdout
    assert "Hà Tĩnh" not in by_name.stdout


def test_find_helps_when_nothing_is_found() -> None:
    result = run("find", "hac thnah")
    assert result.exit_code == 1
    assert "14797" in result.stderr
    assert "cấp huyện" in result.stderr


def test_find_as_json_carries_the_list() -> None:
    content = json.loads(run("find", "hạc thành", "--json").stdout)
    assert content["list"] == places.version()
    assert content["found"] == [
        {"code": "14797", "name": "Phường Hạc Thành", "province": "38", "province_name": "Thanh Hóa"}
    ]


def test_find_in_a_province_there_is_not() -> None:
    assert isinstance(run("find", "x", "-p", "atlantis").exception, BadArgument)


def test_show_gives_the_line_for_a_site_file() -> None:
    result = run("show", "00004")
    assert "Phường Ba Đình, Thành phố Hà Nội" in result.stdout
    assert 'place: {province: "01", commune: "00004"' in result.stdout
    assert "166 communes" in run("show", "38").stdout


def test_show_of_a_dissolved_code_says_so_and_of_a_short_one_asks_for_zeros() -> None:
    result = run("show", "14794")
    assert result.exit_code == 1
    assert "đã giải thể năm 2025" in result.stderr
    assert isinstance(run("show", "4").exception, BadArgument)
