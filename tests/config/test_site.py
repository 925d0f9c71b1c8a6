from __future__ import annotations

import shutil
from pathlib import Path
from typing import get_args

import pytest

from config.site import SiteInvalid, load_site
from drivers import KINDS
from drivers.profiles import AnyProfile, ModbusProfile

HERE = Path(__file__).parent


def sound(folder: Path) -> Path:
    shutil.copytree(HERE / "devices", folder / "devices")
    return Path(shutil.copy(HERE / "cases/a_sound_document_has_no_findings/site.yaml", folder))


def test_a_sound_document_loads_with_its_profiles(tmp_path: Path) -> None:
    site = load_site(sound(tmp_path))
    assert site.document.gateway == "38-test-01"
    assert site.document.place.commune == "14797"
    assert isinstance(site.profiles["meter"], ModbusProfile)
    assert site.warnings == ()


def test_paths_start_at_the_file_wherever_the_program_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sound(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    site = load_site(Path(tmp_path.name) / file.name)
    monkeypatch.chdir("/")
    assert site.state_dir == tmp_path / "run"
    assert site.located("/dev/ttyS0") == Path("/dev/ttyS0")


def test_an_unsound_document_raises_with_every_finding(tmp_path: Path) -> None:
    file = sound(tmp_path)
    file.write_text(
        file.read_text(encoding="utf-8").replace("unit: 1", "unti: 1").replace("9600", "1"), encoding="utf-8"
    )
    with pytest.raises(SiteInvalid) as caught:
        load_site(file)
    assert [str(f.code) for f in caught.value.findings] == ["out-of-range", "unknown-key"]
    assert caught.value.code == "config-invalid"
    assert f"gateway check {file}" in str(caught.value)


def test_every_kind_of_wire_has_a_kind_of_profile() -> None:
    assert set().union(*(profile.WIRES for profile in get_args(AnyProfile))) == set(KINDS)


def test_warnings_do_not_stop_a_start(tmp_path: Path) -> None:
    file = sound(tmp_path)
    file.write_text(file.read_text(encoding="utf-8").replace("every_s: 5", "every_s: 300"), encoding="utf-8")
    assert [str(f.code) for f in load_site(file).warnings] == ["short-window"]


def test_a_mistake_in_a_profile_stops_a_start(tmp_path: Path) -> None:
    file = sound(tmp_path)
    profile = tmp_path / "devices/test-meter.yaml"
    profile.write_text(profile.read_text(encoding="utf-8") + "colour: red\n", encoding="utf-8")
    with pytest.raises(SiteInvalid) as caught:
        load_site(file)
    assert [f.file for f in caught.value.findings] == [str(profile)]


def test_secrets_come_from_the_folder_given(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/mqtt").write_text("xyz\n", encoding="utf-8")
    (tmp_path / "secrets/mqtt").chmod(0o600)
    site = load_site(sound(tmp_path), secrets_folder=tmp_path / "secrets")
    assert site.secret("mqtt") == "xyz"


def test_a_profile_beside_the_site_file_comes_before_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    text = (HERE / "devices/test-meter.yaml").read_text(encoding="utf-8")
    (own / "test-meter.yaml").write_text(text.replace("A meter of these tests", "Ours"), encoding="utf-8")
    monkeypatch.setattr("config.profiles.own_folder", lambda: own)
    file = sound(tmp_path)
    assert load_site(file).profiles["meter"].title_en == "A meter of these tests"
    (tmp_path / "devices/test-meter.yaml").unlink()
    assert load_site(file).profiles["meter"].title_en == "Ours"
