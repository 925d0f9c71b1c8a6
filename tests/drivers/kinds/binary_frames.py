from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.profiles import FramesProfile, parse
from drivers.settings import BinaryFramesWire
from tests.drivers.kit import point

WRITES = False
EVERY_S = 0.1
FAULTS = frozenset({"silent", "garbage"})
SHARED = ""
GOOD = {"dust/pm25": 35.0, "dust/t": -12.5}


def wire(base: Path, **more: Any) -> BinaryFramesWire:
    return BinaryFramesWire(kind="binary_frames", port="run/tty", baud=115200, **more)


def profiles() -> dict[str, FramesProfile]:
    return {"dust": frames_profile()}


def apart(number: int) -> dict[str, Any]:
    return {}


FRAME = {
    "header": "42 4d",
    "length": 10,
    "tail": "0d",
    "checksum": {"kind": "sum16", "over": [0, 7], "at": 7},
}


def frames_profile(**more: Any) -> FramesProfile:
    profile = parse(
        {
            "profile": "dust",
            "title_en": "dust",
            "title_vi": "bụi",
            "driver": "binary_frames",
            "source": "tests",
            "url": "https://example.invalid/map",
            "confirmed": True,
            "frames": {"air": FRAME},
            "points": {
                "pm25": point(frame="air", at=2, simulate={"shape": "constant", "value": 35.0}),
                "t": point(
                    frame="air", at=4, type="i16", order="little", scale=0.1,
                    simulate={"shape": "constant", "value": -12.5},
                ),
            },
            "examples": [{"given": "00", "expect": {}}],
            **more,
        }
    )  # fmt: skip
    assert isinstance(profile, FramesProfile)
    return profile
