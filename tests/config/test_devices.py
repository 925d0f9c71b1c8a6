"""The shelf of device profiles as a whole: what it covers, and that units are UCUM. Examples: tests/drivers."""

from __future__ import annotations

import re

import pytest

from config.catalogue_of_devices import profiles
from config.profiles import own_folder
from drivers.profiles import AnyProfile

PROFILES = profiles()
NEEDED = (
    "flood.level", "flood.rain", "flood.float", "air.pm25", "air.pm10", "air.so2", "air.no2", "air.o3", "air.co",
    "air.h2s", "air.nh3", "air.temp", "air.rh", "air.wind_speed", "air.wind_dir", "sw.ph", "sw.do", "sw.ec",
    "sw.turbidity", "ww.tss", "ww.cod", "ww.nh4n", "ww.flow_out", "flood.velocity", "noise.laeq", "power.kwh",
    "power.kw", "light.state", "light.dim_level", "light.leak", "light.door_open", "light.schedule", "parking.occupied",
    "waste.fill", "fire.panel_alarm", "gw.power_backup_h",
)  # fmt: skip
ATOM = re.compile(
    r"(?:[kMGhcdmun]?(?:m|g|s|V|A|W|Hz|Pa|L|B|S|lx|h)|Cel|bar|t|deg|min|%|1|\[(?:pH|ppm|ppb)\])?[0-9]*(?:\{[^{}]+\})?"
)


def test_every_file_on_the_shelf_is_sound() -> None:
    assert {profile.profile for profile in PROFILES} == {file.stem for file in own_folder().glob("*.yaml")}


@pytest.mark.parametrize("indicator", NEEDED)
def test_what_the_field_measures_has_a_device(indicator: str) -> None:
    assert [p.profile for p in PROFILES if indicator in {point.indicator for point in p.points_by_name().values()}]


def test_every_kind_of_wire_has_a_device() -> None:
    from drivers import KINDS

    assert set().union(*(profile.WIRES for profile in PROFILES)) == set(KINDS)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.profile)
def test_units_are_ucum(profile: AnyProfile) -> None:
    """By the shape of the unit and the atoms used here; not the whole of UCUM."""
    for point in profile.points_by_name().values():
        assert all(ATOM.fullmatch(atom) for atom in re.split(r"[./]", point.unit)), point.unit
        assert point.unit.strip("./")
