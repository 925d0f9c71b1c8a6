from __future__ import annotations

from pathlib import Path

import pytest

from config import secrets
from config.secrets import SecretExposed, SecretMissing, secret


def put(folder: Path, name: str, text: str, mode: int = 0o600) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


def test_a_credential_of_the_service_comes_before_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "credentials", "mqtt", "from systemd")
    put(tmp_path / "etc", "mqtt", "from the folder")
    put(tmp_path / "etc", "camera", "only here")
    monkeypatch.setattr(secrets, "FOLDER", tmp_path / "etc")
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert secret("mqtt", environment=environment) == "from systemd"
    assert secret("camera", environment=environment) == "only here"
    assert secret("mqtt", environment={}) == "from the folder"


def test_a_given_folder_is_the_only_place(tmp_path: Path) -> None:
    put(tmp_path / "credentials", "mqtt", "x")
    with pytest.raises(SecretMissing, match="no secret 'mqtt'"):
        secret("mqtt", folder=tmp_path, environment={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})


def test_the_line_end_of_an_editor_is_no_part_of_a_secret_but_spaces_are(tmp_path: Path) -> None:
    put(tmp_path, "mqtt", " mật khẩu \r\n")
    assert secret("mqtt", folder=tmp_path) == " mật khẩu "


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_secret_that_everyone_can_touch_is_refused(tmp_path: Path, mode: int) -> None:
    file = put(tmp_path, "mqtt", "x", mode)
    with pytest.raises(SecretExposed, match=f"chmod 0600 {file}"):
        secret("mqtt", folder=tmp_path)


def test_a_group_may_read_a_secret(tmp_path: Path) -> None:
    put(tmp_path, "mqtt", "x", 0o640)
    assert secret("mqtt", folder=tmp_path) == "x"


@pytest.mark.parametrize("name", ["../mqtt", "/etc/passwd", "", "Tr0ub4dor&3", "a b", "x\0", "mqtt\n"])
def test_a_bad_name_is_refused_and_never_repeated(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecretMissing) as caught:
        secret(name, folder=tmp_path)
    assert not name.strip() or name.strip() not in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"\n", b"\xff\xfe\x00", b"x" * 5000])
def test_an_empty_or_unreadable_secret_says_so(tmp_path: Path, raw: bytes) -> None:
    put(tmp_path, "mqtt", "").write_bytes(raw)
    with pytest.raises(SecretMissing):
        secret("mqtt", folder=tmp_path)


def test_a_folder_in_place_of_a_secret_says_so(tmp_path: Path) -> None:
    (tmp_path / "mqtt").mkdir(mode=0o700)
    with pytest.raises(SecretMissing, match="cannot be read"):
        secret("mqtt", folder=tmp_path)
