"""The unit is sound, tight, and every line of it is explained."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "gateway.service"


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on this machine")
    return path


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def directives(file: Path) -> list[tuple[str, str]]:
    lines = (line.partition("=") for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return [(key, value) for key, equals, value in lines if equals]


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine, for tools that look."""
    copy = tmp_path / "gateway.service"
    copy.write_text(
        re.sub(r"/opt/gateway/bin/gateway", tool("true"), UNIT.read_text(encoding="utf-8")), encoding="utf-8"
    )
    return copy


def test_systemd_understands_every_line(unit: Path) -> None:
    result = run(tool("systemd-analyze"), "verify", str(unit))
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_verify_would_notice_a_misspelt_line(unit: Path) -> None:
    unit.write_text(unit.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHouse="), encoding="utf-8")
    assert "ProtectHouse" in run(tool("systemd-analyze"), "verify", str(unit)).stderr


def test_the_service_is_tight(unit: Path) -> None:
    result = run(tool("systemd-analyze"), "security", "--offline=yes", "--no-pager", "--threshold=20", str(unit))
    assert result.returncode == 0, result.stdout[-200:]


def test_every_line_is_explained_and_every_explanation_has_its_line() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    explained = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert explained == {key for key, _ in directives(UNIT)}


def test_every_line_on_the_journal_is_explained() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [key for key, _ in directives(FOLDER / "gateway.journald.conf") if f"`{key}`" not in text] == []


def test_the_gateway_may_ask_whether_the_clock_is_right() -> None:
    # ProtectClock= and @privileged both forbid adjtimex(2), also when it only reads.
    lines = directives(UNIT)
    assert ("ProtectClock", "yes") not in lines
    filters = [value for key, value in lines if key == "SystemCallFilter"]
    assert filters[-1] == "adjtimex"


# What strace shows of a gateway with wires and a camera, beyond what every program does.
NEEDED = ("adjtimex", "prctl", "prlimit64", "fdatasync", "flock", "ftruncate", "kill", "setsid", "vfork", "clone3")
NOT_NEEDED = (
    "clock_settime",
    "settimeofday",
    "setuid",
    "mount",
    "ptrace",
    "bpf",
    "reboot",
    "kexec_load",
    "init_module",
)


def test_the_filter_lets_through_what_the_gateway_does_and_not_what_it_never_does() -> None:
    allowed = expanded("@default")
    for key, value in directives(UNIT):
        if key == "SystemCallFilter":
            calls = set().union(*map(expanded, value.removeprefix("~").split()))
            allowed = allowed - calls if value.startswith("~") else allowed | calls
    assert set(NEEDED) - allowed == set()
    assert allowed & set(NOT_NEEDED) == set()


def expanded(name: str) -> set[str]:
    """The system calls behind a name such as @process."""
    if not name.startswith("@"):
        return {name}
    lines = run(tool("systemd-analyze"), "syscall-filter", name).stdout.splitlines()[1:]
    members = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return set().union(*map(expanded, members))


def test_secrets_stay_with_root_and_the_gateway_finds_them(tmp_path: Path) -> None:
    from config.secrets import secret

    assert ("LoadCredential", "secrets:/etc/gateway/secrets") in directives(UNIT)
    # systemd names the files of a folder ID_NAME.
    (tmp_path / "secrets_mqtt").write_text("xyz", encoding="utf-8")
    (tmp_path / "secrets_mqtt").chmod(0o400)
    assert secret("mqtt", environment={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "xyz"


def test_the_unit_starts_verbs_that_exist() -> None:
    from typer.main import get_command

    from gateway.cli import app

    verbs = set(getattr(get_command(app), "commands", {}))
    started = {value.split()[1] for key, value in directives(UNIT) if key.startswith("ExecStart")}
    assert started == {"check", "run"}
    assert started <= verbs


def test_the_user_can_be_made(tmp_path: Path) -> None:
    result = run(tool("systemd-sysusers"), "--dry-run", f"--root={tmp_path}", str(FOLDER / "gateway.sysusers"))
    assert result.returncode == 0, result.stderr
    assert "gateway" in result.stdout + result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders for root")
def test_the_folders_are_made_and_open_secrets_are_closed(tmp_path: Path) -> None:
    secret = tmp_path / "etc/gateway/secrets/mqtt"
    secret.parent.mkdir(parents=True)
    secret.write_text("xyz", encoding="utf-8")
    secret.chmod(0o644)
    result = run(tool("systemd-tmpfiles"), "--create", f"--root={tmp_path}", str(FOLDER / "gateway.tmpfiles"))
    assert result.returncode == 0, result.stderr
    assert secret.parent.stat().st_mode & 0o777 == 0o700
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "etc/gateway/devices").is_dir()
