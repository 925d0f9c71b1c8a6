from __future__ import annotations

from typing import Any

from drivers.profiles import ModbusProfile, parse
from tests.drivers.kit import point

WRITES = True
EVERY_S = 0.1
FAULTS = frozenset({"silent", "garbage", "delay"})
GOOD = {
    "left/a": 1000,
    "left/b": -2.5,
    "left/c": 0.25,
    "left/set": 50.0,
    "left/lamp": False,
    "left/lit": False,
    "right/a": 1000,
    "right/b": -2.5,
    "right/c": 0.25,
    "right/set": 50.0,
    "right/lamp": False,
    "right/lit": False,
}


def profiles() -> dict[str, ModbusProfile]:
    return {"left": modbus_profile(), "right": modbus_profile()}


def apart(number: int) -> dict[str, Any]:
    return {"unit": 1 + number}


def modbus_profile(points: dict[str, Any] | None = None, **limits: Any) -> ModbusProfile:
    profile = parse(
        {
            "profile": "box",
            "title_en": "box",
            "title_vi": "hộp",
            "driver": "modbus",
            "source": "tests",
            "url": "https://example.invalid/map",
            "confirmed": True,
            "limits": limits,
            "points": points
            or {
                "a": point(table="holding", at=10, type="u16", simulate={"shape": "constant", "value": 1000}),
                "b": point(
                    table="holding", at=11, type="i32", scale=0.1, simulate={"shape": "constant", "value": -2.5}
                ),
                "c": point(table="input", at=10, type="f32", simulate={"shape": "constant", "value": 0.25}),
                "set": point(table="holding", at=20, type="u16", scale=0.5, range=[0, 100], write={}),
                "lamp": point(
                    table="coil", at=3, type="bool", kind="last", write={"read_back": "lit", "within_s": 0.4}
                ),
                "lit": point(table="discrete", at=3, type="bool", kind="last"),
            },
            "examples": [{"given": {}, "expect": {}}],
        }
    )
    assert isinstance(profile, ModbusProfile)
    return profile
