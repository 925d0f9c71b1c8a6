"""One folder is one promise: site.yaml goes in, expected.txt comes out.

After a change that is meant, read what it does to every case:  REWRITE_CASES=1 pytest tests/config/test_cases.py
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from config import places
from config.site import findings

HERE = Path(__file__).parent
CASES = sorted(case.name for case in (HERE / "cases").iterdir())


@pytest.mark.parametrize("case", CASES)
def test_case(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(HERE / "devices", tmp_path / "devices")
    shutil.copytree(HERE / "cases" / case, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)

    said = "".join(f"{finding}\n" for finding in findings(Path("site.yaml"))).replace(str(tmp_path), "HERE")
    said = said.replace(places.version(), "LIST")  # which list it is depends on what is installed

    expected = HERE / "cases" / case / "expected.txt"
    if os.environ.get("REWRITE_CASES"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")
