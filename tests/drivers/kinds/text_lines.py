from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.profiles import LinesProfile, parse
from drivers.settings import TextLinesWire
from tests.drivers.kit import point

WRITES = False
EVERY_S = 0.1
FAULTS = frozenset({"silent", "garbage"})
SHARED = ""
GOOD = {"mast/t": 28.5, "mast/rh": 71.0}


def wire(base: Path, **more: Any) -> TextLinesWire:
    return TextLinesWire(kind="text_lines", port="run/tty", baud=115200, **more)


def profiles() -> dict[str, LinesProfile]:
    return {"mast": lines_profile()}


def apart(number: int) -> dict[str, Any]:
    return {}


def lines_profile() -> LinesProfile:
    profile = parse(
        {
            "profile": "mast",
            "title_en": "mast",
            "title_vi": "cột",
            "driver": "text_lines",
            "source": "tests",
            "url": "https://example.invalid/map",
            "confirmed": True,
            "lines": {"air": {"prefix": "$A,", "fields": 2, "checksum": "nmea"}},
            "points": {
                "t": point(line="air", field=0, simulate={"shape": "constant", "value": 28.5}),
                "rh": point(line="air", field=1, simulate={"shape": "constant", "value": 71.0}),
            },
            "examples": [{"given": "", "expect": {}}],
        }
    )
    assert isinstance(profile, LinesProfile)
    return profile
