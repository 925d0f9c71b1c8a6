"""What is installed: five packages with their data, nothing of the tests, nobody else's names."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "drivers", "vision", "buffer", "config")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed here")
    folder = tmp_path_factory.mktemp("wheel")
    command = (sys.executable, "-P", "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (file,) = folder.glob("*.whl")
    return file


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_five_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_every_file_of_a_package_travels(wheel: Path) -> None:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*"))
    here = {str(file.relative_to(ROOT)) for file in files if file.is_file() and "__pycache__" not in file.parts}
    assert here - names(wheel) == set()
    assert {"config/sites/demo.yaml", "gateway/model/codes.toml", "buffer/schema.sql"} <= here
    assert any(name.startswith("config/devices/") for name in here)
    assert any(name.startswith("gateway/uplink/schemas/") for name in here)


def test_the_installed_program_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import config; from importlib.resources import files; from gateway.cli import main\n"
        f"assert config.__file__.startswith({str(tmp_path)!r})\n"
        "sys.argv = ['gateway', 'check', str(files('config') / 'sites/demo.yaml')]; main()\n"
    )
    result = subprocess.run(
        (sys.executable, "-P", "-c", code), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 error(s)" in result.stdout


def test_nobody_else_owns_our_names() -> None:
    # Two distributions with one name overwrite each other silently.
    owners = importlib.metadata.packages_distributions()
    others = {package: set(owners.get(package, ())) - {"ioc-edge-gateway"} for package in PACKAGES}
    assert others == {package: set() for package in PACKAGES}
