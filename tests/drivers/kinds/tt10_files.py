from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.profiles import Tt10Profile, parse
from drivers.settings import Tt10FilesWire
from tests.drivers.kit import point

WRITES = False
EVERY_S = 0.2
FAULTS = frozenset({"silent", "garbage"})
SHARED = "any number of readers may look into a folder"
GOOD = {"out/ph": 7.12, "out/tss": 18.5, "air/ph": 7.12, "air/tss": 18.5}


def wire(base: Path, **more: Any) -> Tt10FilesWire:
    return Tt10FilesWire(kind="tt10_files", folder="run/tt10", **more)


def profiles() -> dict[str, Tt10Profile]:
    return {"out": station_profile(), "air": station_profile()}


def apart(number: int) -> dict[str, Any]:
    return {"address": f"HN_ABCD_NUO{1 + number:03}"}


def station_profile(**points: Any) -> Tt10Profile:
    profile = parse(
        {
            "profile": "station",
            "title_en": "station",
            "title_vi": "trạm",
            "driver": "tt10",
            "source": "tests",
            "url": "https://example.invalid/map",
            "confirmed": True,
            "points": points
            or {
                "ph": point(symbol="pH", simulate={"shape": "constant", "value": 7.12}),
                "tss": point(symbol="TSS", file_unit="mg/L", simulate={"shape": "constant", "value": 18.5}),
            },
            "examples": [{"given": "", "expect": {}}],
        }
    )
    assert isinstance(profile, Tt10Profile)
    return profile
