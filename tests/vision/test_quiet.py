"""The daemon loads no pixels."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "cv2", "onnxruntime")


def loaded_by(module: str) -> set[str]:
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=30, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    "module", ["vision.driver", "vision.settings", "vision.wire", "vision.process", "vision.offline", "vision.child"]
)
def test_the_parent_side_and_even_starting_the_child_load_no_pixels(module: str) -> None:
    assert loaded_by(module) == set()


def test_the_check_would_notice() -> None:
    assert "numpy" in loaded_by("vision.boxes")
