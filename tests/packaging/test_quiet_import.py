"""A gateway without cameras, HTTP, files or pins stays small: what it must never load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FORBIDDEN = (
    "numpy", "cv2", "onnxruntime", "sqlite_utils", "amqtt", "jinja2", "vietnam_provinces",
    "httpx", "asyncssh", "aioftp", "gpiod", "cryptography", "ftplib",  # of wires that this site does not have
)  # fmt: skip

SITE = """
gateway: 38-quiet-01
site: quiet
place: {province: "38", commune: "14797", lat: 19.8, lon: 105.7}
state_dir: ./run
uplink: {host: 127.0.0.1}
wires:
  cabinet: {kind: modbus_tcp, host: 127.0.0.1, port: 15020}
  field: {kind: modbus_rtu, port: ./tty-field}
  mast: {kind: text_lines, port: ./tty-mast}
devices:
  lamps: {profile: light-cabinet-vn, wire: cabinet, unit: 1, every_s: 1}
  level: {profile: water-level-radar, wire: field, unit: 5, every_s: 1}
  mast: {profile: weather-lines, wire: mast, every_s: 1}
"""


def loaded(code: str) -> set[str]:
    """Names of the forbidden modules that are loaded after `code` ran in a fresh interpreter."""
    code += f"\nimport sys; print(*[name for name in {FORBIDDEN} if name in sys.modules])"
    result = subprocess.run((sys.executable, "-P", "-c", code), capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_this_test_would_notice() -> None:
    assert "sqlite_utils" in loaded("import sqlite_utils")


@pytest.mark.parametrize("module", ["gateway", "gateway.cli", "gateway.app", "config.site", "drivers", "buffer.store"])
def test_importing_a_room_is_quiet(module: str) -> None:
    assert loaded(f"import {module}") == set()


def test_a_gateway_without_cameras_is_built_without_pixels(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    code = (
        "import pathlib\nfrom config.site import load_site\nfrom gateway.app import Gateway\n"
        f"Gateway(load_site(pathlib.Path({str(tmp_path / 'site.yaml')!r})))"
    )
    assert loaded(code) == set()
