"""The catalogue that comes with the gateway holds together, and says enough to be grouped and explained by."""

from __future__ import annotations

import pytest

from config.indicators_of import agencies, catalogue, findings
from gateway.indicators.book import FORMULAS
from gateway.indicators.catalogue import Entry

# Provinces whose plans name agencies: Hà Nội, Thanh Hóa.
PRESETS = {"01", "38"}


def test_nothing_in_the_catalogue_is_wrong() -> None:
    assert [str(finding) for finding in findings()] == []


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.code)
def test_an_indicator_has_names_in_both_languages_and_somebody_who_answers_for_it(entry: Entry) -> None:
    assert entry.name_en != entry.name_vi
    assert entry.definition_en != entry.definition_vi
    assert not entry.agency or set(agencies()[entry.agency]) >= PRESETS


def test_every_formula_is_used() -> None:
    used = {entry.formula for entry in catalogue().values()}
    unused = {name for name in FORMULAS if not name.startswith("fold_")} - used
    assert unused == set()


def test_every_scenario_of_the_plans_with_a_part_for_the_edge_has_indicators() -> None:
    """Rows 1 to 20 of the scenario table; 21 is not an edge matter."""
    named = {scenario for entry in catalogue().values() for scenario in entry.scenarios}
    assert named >= set(range(1, 21)) - {21}
