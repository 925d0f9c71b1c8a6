"""Tables of passenger car units: those that ship are marked, and none judges a road unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

import config
from gateway.indicators.formulas.pcu import PcuParams, PcuTable, PcuTables, resolve, units

FILE = Path(str(config.__file__)).parent / "indicators/pcu.yaml"
TABLES = PcuTables.model_validate(YAML(typ="safe").load(FILE))


def test_no_table_that_ships_says_it_is_confirmed() -> None:
    assert not [table.name for table in TABLES.pcu_tables if table.confirmed]
    assert len({table.name for table in TABLES.pcu_tables}) == len(TABLES.pcu_tables)


def test_the_table_a_site_names_is_put_in_place_of_its_name() -> None:
    told = PcuParams.model_validate(resolve({"confirmed": True, "table": "tcxdvn-104-2007-30"}, TABLES))
    assert isinstance(told.table, PcuTable)
    assert told.table.factors["motorcycle"] == 0.25
    assert told.confirmed
    assert isinstance(PcuParams.model_validate(resolve({}, TABLES)).table, PcuTable)


def test_a_table_of_the_sites_own_and_an_unknown_name_stay_as_they_are() -> None:
    own = {"table": {"name": "own", "confirmed": True, "factors": {"car": 1}}}
    assert resolve(own, TABLES) == own
    assert PcuParams.model_validate(own).table == PcuTable(name="own", confirmed=True, factors={"car": 1})
    assert resolve({"table": "nowhere"}, TABLES) == {"table": "nowhere"}


def test_units_add_up_and_name_what_they_leave_out() -> None:
    assert units({"car": 2, "motorcycle": 10, "cart": 1, "other": 0}, {"car": 1, "motorcycle": 0.3}) == (5, {"cart": 1})


def test_a_factor_below_or_equal_to_zero_is_refused() -> None:
    with pytest.raises(ValidationError):
        PcuTable(name="own", factors={"car": 0})
