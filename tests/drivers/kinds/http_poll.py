from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.profiles import HttpProfile, parse
from drivers.settings import HttpPollWire
from tests.drivers.kit import TIMEOUT_S, free_port, point

WRITES = False
EVERY_S = 0.1
FAULTS = frozenset({"silent", "garbage", "delay"})
SHARED = "a web server decides itself how many connections it takes"
GOOD = {
    "left/t": 28.5,
    "left/on": True,
    "left/mode": "eco",
    "right/t": 28.5,
    "right/on": True,
    "right/mode": "eco",
}


def wire(base: Path, **more: Any) -> HttpPollWire:
    url = f"http://127.0.0.1:{free_port()}/api/"
    return HttpPollWire(kind="http_poll", **{"url": url, "timeout_s": TIMEOUT_S, **more})


def profiles() -> dict[str, HttpProfile]:
    return {"left": http_profile(), "right": http_profile()}


def apart(number: int) -> dict[str, Any]:
    return {"address": f"phòng-{number}"}


def http_profile(requests: dict[str, str] | None = None, points: dict[str, Any] | None = None) -> HttpProfile:
    constant = {"shape": "constant"}
    profile = parse(
        {
            "profile": "station",
            "title_en": "station",
            "title_vi": "trạm",
            "driver": "http_json",
            "source": "tests",
            "url": "https://example.invalid/api",
            "confirmed": True,
            "requests": requests or {"now": "/{address}/now?all=1", "setup": "/{address}/set-up", "unused": "/log"},
            "points": points
            or {
                "t": point(source="now", pointer="/air/0/t", scale=0.1, simulate={**constant, "value": 28.5}),
                "on": point(
                    source="now",
                    pointer="/on",
                    type="bool",
                    kind="last",
                    values={"ON": True, "OFF": False},
                    simulate={**constant, "value": True},
                ),
                "mode": point(
                    source="setup", pointer="/mode", type="text", kind="last", simulate={**constant, "value": "eco"}
                ),
            },
            "examples": [{"given": {}, "expect": {}}],
        }
    )
    assert isinstance(profile, HttpProfile)
    return profile
