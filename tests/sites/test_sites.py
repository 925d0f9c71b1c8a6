"""Every example site does what its scenario must bring: indicators, verdicts, alarms and violations, to the letter.

REWRITE_SITES=1 writes what came anew. Read it before it is kept: README.md says how.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sites.golden import golden
from tests.sites.played import play, read_scenario

HERE = Path(__file__).parent
SITES = HERE.parents[1] / "config" / "sites"
FOLDERS = sorted(file.parent.name for file in HERE.glob("*/scenario.yaml"))


def test_every_example_site_is_played() -> None:
    """But the demo, which tests/journeys runs as it stands."""
    assert sorted({file.stem for file in SITES.glob("*.yaml")} - {"demo"}) == FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_a_site_gives_what_its_scenario_must_bring(name: str, tmp_path: Path) -> None:
    played = read_scenario(HERE / name / "scenario.yaml")
    found = golden(play(SITES / f"{name}.yaml", played, tmp_path), played.show)
    expected = HERE / name / "expected.yaml"
    if os.environ.get("REWRITE_SITES"):
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")
