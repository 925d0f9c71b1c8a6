"""One folder is one promise. profile_new: table.csv goes in, expected.yaml and expected.txt come out. profile_check:
own-meter.yaml goes in, expected.txt comes out.

After a change that is meant, read what it does to every case:  REWRITE_CASES=1 pytest tests/cli/test_profile_cases.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.findings import has_errors
from config.profiles import check_profile
from gateway.cli import app

HERE = Path(__file__).parent / "cases"


def names(kind: str) -> list[str]:
    return sorted(case.name for case in (HERE / kind).iterdir())


def held_against(said: str, expected: Path) -> None:
    if os.environ.get("REWRITE_CASES"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", names("profile_new"))
def test_a_profile_from_a_register_table(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = HERE / "profile_new" / case
    options = folder / "options.txt"
    words = options.read_text(encoding="utf-8").split() if options.exists() else []
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["profile", "new", "table.csv", "--name", "new-device", *words])
    held_against(result.stdout, folder / "expected.yaml")
    held_against(result.stderr + f"exit code {result.exit_code}\n", folder / "expected.txt")
    if result.stdout:
        file = tmp_path / "new-device.yaml"
        file.write_text(result.stdout, encoding="utf-8")
        profile, findings = check_profile(file)
        assert findings == []  # sound, each point with an example, and each example decodes as it says
        assert profile is not None
        assert not profile.confirmed


@pytest.mark.parametrize("case", names("profile_check"))
def test_a_profile_is_checked_with_its_examples(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = HERE / "profile_check" / case
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["profile", "check", "own-meter.yaml"])
    held_against(result.stdout + f"exit code {result.exit_code}\n", folder / "expected.txt")
    assert result.exit_code == int(has_errors(check_profile(Path("own-meter.yaml"))[1]))
