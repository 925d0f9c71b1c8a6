from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.profiles import ContactProfile, parse
from drivers.settings import GpioWire
from tests.drivers.kit import point

WRITES = False
EVERY_S = 0.1
FAULTS: frozenset[str] = frozenset()
"""An open contact and a dead one look the same: a pin always says something, and never nonsense."""
SHARED = ""
GOOD = {"door/it": True, "rain/it": 0.0}


def wire(base: Path, **more: Any) -> GpioWire:
    return GpioWire(kind="gpio", chip="run/chip", **more)


def profiles() -> dict[str, ContactProfile]:
    return {
        "door": contact_profile(mode="contact", kind="last", simulate={"shape": "constant", "value": True}),
        "rain": contact_profile(mode="pulses", kind="delta", per_pulse=0.2),
    }


def apart(number: int) -> dict[str, Any]:
    return {"pin": 17 + number}


def contact_profile(**more: Any) -> ContactProfile:
    profile = parse(
        {
            "profile": "contact",
            "title_en": "contact",
            "title_vi": "tiếp điểm",
            "driver": "contact",
            "source": "tests",
            "confirmed": False,
            "points": {"it": point(**{"debounce_ms": 5, **more})},
            "examples": [{"given": [1], "expect": {}}],
        }
    )
    assert isinstance(profile, ContactProfile)
    return profile
