"""gateway limits show: which numbers are not certain, and how to confirm them, on a screen of 80 columns."""

from __future__ import annotations

import pytest

from gateway.cli.limit_verbs import show


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show(name)
    return capsys.readouterr().out.splitlines()


def test_a_station_with_levels_from_memory_is_not_called_sourced(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {line.partition(":")[0]: line for line in shown("flood-thanh-hoa", capsys)}
    assert "[computed / tính từ nguồn]" in rows["● flood.level/ly-nhan"]
    assert "4 / 5.5? / 6.5 m [partly FROM MEMORY / một phần TỪ TRÍ NHỚ]" in rows["○ flood.level/giang"]
    assert "[FROM MEMORY / TỪ TRÍ NHỚ]" in rows["○ flood.level/cam-thuy"]


def test_it_is_said_how_to_confirm_a_number_where_one_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\n".join(shown("flood-thanh-hoa", capsys))
    assert "station: giang" in text
    assert 'rows: ["giang"]' in text
    assert "confirmed:" not in "\n".join(shown("flood-ha-noi", capsys))


def test_factors_that_are_needed_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown("qcvn-40-2011-b", capsys)
    assert any(line.startswith("○ ww.bod5/24h: <= 50? x Kq x Kf mg/L") for line in lines)
    assert any("`factors:`" in line for line in lines)


@pytest.mark.parametrize("name", ["flood-thanh-hoa", "qcvn-40-2011-a", "qcvn-08-2023", "qcvn-26-2010"])
def test_notes_fit_a_screen(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    notes = [line for line in shown(name, capsys) if line.startswith("  ") and "confirmed:" not in line]
    assert notes
    assert max(map(len, notes)) <= 80
