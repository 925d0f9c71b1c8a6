"""What the tests of the vision room share: the recorded clips, and a child that does as it is told."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from vision.settings import CameraSettings

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("stand_in.py")


def data() -> Path:
    """The folder of recorded clips, models and their truth; skips the test if it is not on this machine."""
    folder = Path(os.environ.get("GATEWAY_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "truth.json").is_file():
        pytest.skip("no recorded clips here: set GATEWAY_TEST_DATA to the folder that holds truth.json")
    return folder


def truth(name: str) -> dict[str, Any]:
    entries: list[dict[str, Any]] = json.loads((data() / "truth.json").read_text(encoding="utf-8"))
    return next(entry for entry in entries if entry["id"] == name)


def stand_in(mode: str, *more: str) -> tuple[str, ...]:
    """The command of a child that behaves as `mode` says, see stand_in.py."""
    return (sys.executable, "-P", str(STAND_IN), mode, *more)


def settings(**changes: Any) -> CameraSettings:
    """A file camera with one line l1 that reports five times a second and is given up after a second."""
    lines = {"l1": {"from": [0.1, 0.5], "to": [0.9, 0.5]}}
    return CameraSettings.model_validate(
        {"source": "clip.avi", "every_s": 0.2, "fps": 10, "stall_s": 1, "lines": lines} | changes
    )


def no_secret(name: str) -> str:
    raise AssertionError(f"nobody should ask for the secret {name}")
