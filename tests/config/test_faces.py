"""gateway check and gateway explain, as a technician meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.check import check
from gateway.cli.explain import explain
from gateway.model.codes import catalogue

HERE = Path(__file__).parent


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(check)
    app.command()(explain)
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "devices", tmp_path / "devices")
    return Path(shutil.copy(HERE / "cases/one_mistake_does_not_hide_the_next/site.yaml", tmp_path))


def test_check_prints_place_code_and_hint_and_says_how_many_in_both_languages(site: Path) -> None:
    result = run("check", str(site))
    assert result.exit_code == 1
    assert f"{site}:9:44 out-of-range devices.meter.unit: 400 is above 247\n    hint: " in result.output
    assert "4 error(s), 2 warning(s) / 4 lỗi, 2 cảnh báo" in result.output
    assert "out-of-range: Giá trị ngoài giới hạn" in result.output


def test_check_as_json_has_every_field_of_every_finding(site: Path) -> None:
    result = run("check", str(site), "--json")
    assert result.exit_code == 1
    findings = json.loads(result.stdout)["findings"]
    assert len(findings) == 6
    assert findings[0] == {
        "file": str(site),
        "line": 3,
        "column": 25,
        "code": "code-as-number",
        "path": "place.commune",
        "message": "the code is written as the number 14797; its zeros are lost",
        "hint": 'write commune: "14797"',
        "severity": "error",
    }


def test_warnings_alone_end_well(site: Path) -> None:
    shutil.copy(HERE / "cases/an_unconfirmed_profile_is_a_warning/site.yaml", site)
    assert run("check", str(site)).exit_code == 0


def test_a_sound_file_says_so(site: Path) -> None:
    shutil.copy(HERE / "cases/a_sound_document_has_no_findings/site.yaml", site)
    result = run("check", str(site))
    assert (result.exit_code, result.output) == (0, f"{site}: no findings / không có lỗi\n")


def test_check_of_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    result = run("check", str(tmp_path / "gone.yaml"))
    assert result.exit_code == 1
    assert "not-readable: cannot be read: No such file" in result.output


@pytest.mark.parametrize("code", ["no-answer", "[no-answer]", "NO-ANSWER"])
def test_explain_says_what_to_do_in_both_languages(code: str) -> None:
    result = run("explain", code)
    assert result.exit_code == 0
    entry = catalogue()["no-answer"]
    assert f"What to do: {entry.action_en}" in result.output
    assert f"Cách xử lý: {entry.action_vi}" in result.output


def test_explain_of_a_misspelt_code_offers_the_nearest() -> None:
    result = run("explain", "no-anser")
    assert result.exit_code == 1
    assert "did you mean / có phải: no-answer" in result.output


def test_explain_without_a_code_lists_all() -> None:
    lines = run("explain").output.splitlines()
    assert [line.split()[0] for line in lines] == list(catalogue())


def test_explain_as_json_has_both_languages() -> None:
    assert json.loads(run("explain", "stuck", "--json").stdout)["title_vi"] == "Không đổi quá lâu"
    assert len(json.loads(run("explain", "--json").stdout)["codes"]) == len(catalogue())
