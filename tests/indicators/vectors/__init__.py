"""Golden vectors, as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML


def vectors(name: str) -> Any:
    """The content of one file of this folder."""
    return YAML(typ="safe").load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))
