"""Whatever a person writes makes findings, never an exception."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import load
from config.site import findings

HERE = Path(__file__).parent
SITE = """
gateway: 38-test-01
site: x
place: {province: "38", commune: "14797", lat: 19.8, lon: 105.7}
state_dir: ./run
uplink: {host: a.example, tls: {ca: ./ca.pem}, password: mqtt}
wires:
  pair: {kind: modbus_rtu, port: ./tty}
  east: {kind: modbus_tcp, host: 127.0.0.1}
  mast: {kind: text_lines, port: ./mast}
devices:
  meter: {profile: test-meter, wire: pair, unit: 1, every_s: 5}
  lamps: {profile: test-lamps, wire: east, unit: 1, every_s: 5}
  mast: {profile: test-mast, wire: mast, every_s: 5}
cameras:
  eye: {source: ./a.mp4, lines: {l1: {from: [0, 0.5], to: [1, 0.5]}}}
points: {"*": {window_s: 10}}
commands: {allow: [{from: ioc, ops: [light.set], to: ["lamps/*"]}]}
"""
ODD: tuple[Any, ...] = (None, True, -1, 10**40, "\0", "x" * 5000, "[!", "../a b", {}, [], [[1]], {"a": {"kind": 1}})


def paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield (*path, key)
        yield from paths(data[key], (*path, key))


def mutated(base: Any, odd: Any) -> Iterator[str]:
    for path in paths(base):
        data = copy.deepcopy(base)
        place = data
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = odd
        yield json.dumps(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(HERE / "devices", tmp_path / "devices")
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def as_json(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder in JSON, read without the YAML parser, which is fifty times slower and not asked here."""
    for file in folder.rglob("*.yaml"):
        file.write_text(json.dumps(load.read(file).data), encoding="utf-8")
    monkeypatch.setattr(load, "read", lambda path: load.Tree(str(path), json.loads(path.read_text(encoding="utf-8"))))
    return folder


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
@pytest.mark.parametrize("name", ["site.yaml", "devices/test-lamps.yaml", "devices/test-mast.yaml"])
def test_no_odd_value_anywhere_makes_an_exception(as_json: Path, name: str, odd: Any) -> None:
    file = as_json / name
    for text in mutated(json.loads(file.read_text(encoding="utf-8")), odd):
        file.write_text(text, encoding="utf-8")
        assert all(finding.message for finding in findings(as_json / "site.yaml"))


def test_the_document_these_tests_start_from_has_no_errors(folder: Path) -> None:
    (folder / "site.yaml").write_text(SITE, encoding="utf-8")
    assert [str(finding) for finding in findings(folder / "site.yaml") if finding.severity == "error"] == []
