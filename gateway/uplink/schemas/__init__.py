"""The shapes of all messages as JSON Schema (draft 2020-12), for integrators and for tests."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

NAMES = ("tele", "state", "hb", "cat", "cmd", "out", "ack")


def load(name: str) -> dict[str, Any]:
    """The schema of `tele`, `state`, `hb`, `cat`, `cmd`, `out` or `ack`."""
    schema: dict[str, Any] = json.loads((files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
    return schema


def for_topic(topic: str) -> str | None:
    """Which schema a message on this topic follows; None for topics that are not ours."""
    levels = topic.split("/")
    if len(levels) < 4 or levels[1] != "v1":
        return None
    kinds = {"tele": "tele", "state": "state", "hb": "hb", "cat": "cat", "ack": "ack"}
    if levels[3] == "cmd" and len(levels) > 4:
        return {"req": "cmd", "res": "out"}.get(levels[4])
    return kinds.get(levels[3])
