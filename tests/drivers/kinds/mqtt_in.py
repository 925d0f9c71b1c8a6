from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.profiles import MqttProfile, parse
from drivers.settings import MqttInWire
from tests.drivers.kit import free_port, point

WRITES = False
EVERY_S = 0.1
FAULTS = frozenset({"silent", "garbage"})
SHARED = "a broker takes many"
GOOD = {
    f"{device}/{point}": value
    for device in ("left", "right")
    for point, value in {"level": 1250.0, "leak": True, "state": "tilted", "rssi": -71.0}.items()
}


def wire(base: Path, **more: Any) -> MqttInWire:
    return MqttInWire(kind="mqtt_in", host="127.0.0.1", port=free_port(), **more)


def profiles() -> dict[str, MqttProfile]:
    return {"left": mqtt_profile(), "right": mqtt_profile()}


def apart(number: int) -> dict[str, Any]:
    return {"address": f"a8404{number}"}


def mqtt_profile(**more: Any) -> MqttProfile:
    profile = parse(
        {
            "profile": "bin",
            "title_en": "bin",
            "title_vi": "thùng rác",
            "driver": "mqtt_json",
            "source": "tests",
            "url": "https://example.invalid/map",
            "confirmed": True,
            "topics": {"up": "application/+/device/{address}/event/up", "state": "bins/{address}"},
            "points": {
                "level": point(
                    source="up", pointer="/object/level", scale=10, simulate={"shape": "constant", "value": 1250.0}
                ),
                "rssi": point(source="up", pointer="/rxInfo/0/rssi", simulate={"shape": "constant", "value": -71.0}),
                "leak": point(
                    source="state", pointer="/leak", type="bool", values={"ON": True, "OFF": False}, kind="last",
                    simulate={"shape": "constant", "value": True},
                ),
                "state": point(
                    source="state", pointer="/a~1b", type="text", values={"tilt": "tilted"}, kind="last",
                    simulate={"shape": "constant", "value": "tilted"},
                ),
            },
            "examples": [{"given": {"up": {}}, "expect": {}}],
            **more,
        }
    )  # fmt: skip
    assert isinstance(profile, MqttProfile)
    return profile
