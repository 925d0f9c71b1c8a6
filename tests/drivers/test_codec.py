"""Registers to values and back, and profiles that cannot be right."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.modbus.codec import RegisterDecoder
from drivers.modbus.encode import encode
from drivers.modbus.rtu import RtuLine
from drivers.profiles import ModbusPoint, ModbusProfile, parse
from drivers.serial_lines.parse import parse as parse_line
from drivers.settings import ModbusRtuWire
from gateway.model.errors import BadFrame, DeviceRefused
from gateway.model.measure import Reason
from tests.drivers.kinds.modbus import modbus_profile
from tests.drivers.kinds.text_lines import lines_profile
from tests.drivers.kit import point

SIGN = {"table": "holding", "at": 0, "equals": [7]}
MAP = modbus_profile({"p": point(table="holding", at=1, type="u16")}).model_dump()


def a_point(**more: Any) -> ModbusPoint:
    return ModbusPoint(**point(**{"table": "holding", "at": 0, "type": "u16", **more}))


def value_of(p: ModbusPoint, *words: int) -> Any:
    decoder = RegisterDecoder([("d/p", p)], p.at)
    return decoder.readings(bytes((2 * len(words),)) + struct.pack(f">{len(words)}H", *words), 0)[0].value


@pytest.mark.parametrize(
    ("how", "words", "value"),
    [
        ({"type": "u16"}, [65535], 65535),
        ({"type": "i16"}, [65535], -1),
        ({"type": "i16", "scale": 0.1}, [3], 0.3),
        ({"type": "u16", "scale": 0.1, "offset": -40}, [653], 25.3),
        ({"type": "u16", "scale": 10}, [7], 70),
        ({"type": "u32"}, [1, 2], 65538),
        ({"type": "u32", "order": "cdab"}, [2, 1], 65538),
        ({"type": "u32", "order": "badc"}, [0x0100, 0x0200], 65538),
        ({"type": "u32", "order": "dcba"}, [0x0200, 0x0100], 65538),
        ({"type": "i32", "scale": 0.01}, [0xFFFF, 0xFF38], -2.0),
        ({"type": "u64", "scale": 0.01}, [0, 0, 1, 0], 655.36),
        ({"type": "i64", "order": "cdab"}, [0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF], -2),
        ({"type": "f32"}, [0x4366, 0x6666], 230.4),
        ({"type": "f32", "order": "cdab"}, [0x6666, 0x4366], 230.4),
        ({"type": "f64"}, [0x4070, 0x0AE1, 0x47AE, 0x147B], 256.68),
        ({"type": "f64", "order": "dcba", "scale": 0.001}, [0x7B14, 0xAE47, 0xE10A, 0x7040], 0.25668),
        ({"type": "f64", "order": "cdab"}, [0, 0, 0, 0x4008], 3.0),
        ({"type": "bcd16"}, [0x0427], 427),
        ({"type": "bcd16", "scale": 0.1, "order": "badc"}, [0x2704], 42.7),
        ({"type": "bcd32"}, [0x1234, 0x5678], 12345678),
        ({"type": "bcd32", "order": "cdab", "scale": 0.01}, [0x5678, 0x1234], 123456.78),
        ({"type": "text", "length": 4}, [0x4831, 0x322D, 0x4100, 0], "H12-A"),
        ({"type": "text", "length": 2, "order": "badc"}, [0x4241, 0x0043], "ABC"),
        ({"type": "text", "length": 2}, [0, 0], ""),
        ({"type": "u16", "bits": [4, 7]}, [0x0050], 5),
        ({"type": "u32", "bits": [15, 16]}, [0x0001, 0x8000], 3),
        ({"type": "u64", "bits": [60, 63], "order": "cdab"}, [0, 0, 0, 0xA000], 10),
        ({"type": "u16", "values": {0: "closed", 1: "open"}}, [1], "open"),
        ({"type": "u16", "values": {0: "closed", 1: "open"}}, [7], "7"),
        ({"type": "i16", "values": {-1: "fault"}}, [0xFFFF], "fault"),
        ({"type": "u32", "bits": [0, 3], "values": {2: "night"}}, [0, 2], "night"),
        ({"type": "u64"}, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF], 2**64 - 1),
        ({"type": "bool", "bit": 9, "order": "badc"}, [2], True),
        ({"type": "bool"}, [2], True),
        ({"type": "bool", "bit": 0}, [2], False),
        ({"type": "bool", "bit": 1}, [2], True),
    ],
)
def test_words_become_values_and_values_words(how: dict[str, Any], words: list[int], value: Any) -> None:
    p = a_point(**how)
    assert value_of(p, *words) == value
    assert type(value_of(p, *words)) is type(value)
    if p.type != "bool" or p.order != "abcd":
        assert encode(p, value, "d/p") == words


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"type": "f32"}, [0x7FC0, 0]),
        ({"type": "f32"}, [0x7F80, 0]),
        ({"type": "f32"}, [0xFF80, 0]),
        ({"type": "f64"}, [0x7FF8, 0, 0, 0]),
        ({"type": "f64"}, [0xFFF0, 0, 0, 0]),
        ({"type": "f64", "scale": 1000}, [0x7FEF, 0xFFFF, 0xFFFF, 0xFFFF]),  # more than a float holds
        ({"type": "bcd16"}, [0x10A0]),
        ({"type": "bcd16"}, [0xFFFF]),
        ({"type": "bcd32"}, [0x1234, 0x567F]),
        ({"type": "bcd16", "not_available": [0x9999]}, [0x9999]),
        ({"type": "u16", "bits": [12, 15], "not_available": [15]}, [0xF123]),
        ({"type": "u16", "not_available": [9], "values": {0: "closed"}}, [9]),
        ({"type": "text", "length": 2}, [0xFFFF, 0xFFFF]),
        ({"type": "text", "length": 2}, [0x4101, 0]),
    ],
)
def test_what_is_no_value_is_a_device_fault(how: dict[str, Any], words: list[int]) -> None:
    decoder = RegisterDecoder([("d/p", a_point(**how))], 0)
    (reading,) = decoder.readings(bytes((2 * len(words),)) + struct.pack(f">{len(words)}H", *words), 5)
    assert (reading.value, reading.reasons, reading.at_ms) == (None, (Reason.DEVICE_FAULT,), 5)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([0x2020, 0x4142, 0x4320, 0x2000], "ABC"),  # blanks around it
        ([0x4142, 0x0043, 0x4445, 0x4647], "AB"),  # what stood there before the text was shorter
        ([0x4142, 0xFFFF, 0xFFFF, 0xFFFF], "AB"),  # never written
        ([0x4142, 0x0D0A, 0, 0], "AB"),
        ([0x32B0, 0x4300, 0, 0], "2\u00b0C"),
    ],
)
def test_a_text_is_what_a_person_would_read(words: list[int], value: str) -> None:
    assert value_of(a_point(type="text", length=4), *words) == value


@pytest.mark.parametrize(
    ("how", "value"),
    [
        ({}, 65536),
        ({}, -1),
        ({"scale": 0.1}, 6553.7),
        ({"type": "i16"}, 40000),
        ({}, "on"),
        ({}, True),
        ({}, math.nan),
        ({"type": "f32"}, 1e40),
        ({"table": "coil", "type": "bool"}, 2),
        ({"table": "coil", "type": "bool"}, "on"),
        ({"type": "f64"}, 10**400),
        ({"type": "f64", "scale": 1e-9}, 1e308),
        ({"type": "u64"}, 2**64),
        ({"type": "i64"}, -(2**63) - 1),
        ({"type": "bcd16"}, 10000),
        ({"type": "bcd16"}, -1),
        ({"type": "bcd32", "scale": 0.1}, 1e7),
        ({"bits": [3, 4]}, 4),
        ({"type": "text", "length": 1}, "ABC"),
        ({"type": "text", "length": 4}, "Đèn"),
        ({"type": "text", "length": 4}, " A"),
        ({"type": "text", "length": 4}, 5),
        ({"values": {0: "closed"}}, "ajar"),
        ({"values": {0: "closed"}}, 70000),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_a_hint(how: dict[str, Any], value: Any) -> None:
    with pytest.raises(DeviceRefused) as refused:
        encode(a_point(**how), value, "d/p")
    assert refused.value.hint


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=60).map(lambda t: b"$A," + t.encode())))
def test_random_lines_are_unknown_or_bad_lines(line: bytes) -> None:
    try:
        found = parse_line(lines_profile(), line)
    except BadFrame:
        return
    assert found is None or found[0] == "air"


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("a coil is bool", {"table": "coil", "type": "u16"}),
        ("bit in a coil", {"table": "coil", "type": "bool", "bit": 1}),
        ("no scale 0", {"scale": 0}),
        ("past the end", {"at": 65535, "type": "u32"}),
        ("inputs are read only", {"table": "input", "write": {}}),
        ("range in order", {"range": [5, 5]}),
        ("a text has a length", {"type": "text"}),
        ("only a text has a length", {"length": 2}),
        ("a text has no scale", {"type": "text", "length": 2, "scale": 10}),
        ("bits end within the value", {"type": "u16", "bits": [8, 16]}),
        ("bits go upwards", {"type": "u32", "bits": [8, 7]}),
        ("bits of whole numbers only", {"type": "f32", "bits": [0, 1]}),
        ("names of whole numbers only", {"type": "bcd16", "values": {1: "on"}}),
        ("names are not written", {"values": {1: "on"}, "write": {}}),
        ("bits are not written", {"bits": [0, 3], "write": {}}),
        ("a scale is a number", {"scale": math.inf}),
        ("unknown key", {"adress": 4}),
    ],
)
def test_a_profile_that_cannot_be_right_is_refused(where: str, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_point(**change)


def test_names_in_a_profile_must_exist() -> None:
    for broken in ({"write": {"read_back": "nowhere"}}, {"simulate": {"shape": "follow", "follows": {"nowhere": 1}}}):
        with pytest.raises(ValidationError, match="nowhere"):
            modbus_profile({"p": point(table="coil", at=0, type="bool", **broken)})
    with pytest.raises(ValidationError):
        parse({"driver": "carrier pigeon"})


def test_a_counter_rolls_over_at_its_width() -> None:
    profile = modbus_profile({"e": point(table="input", at=0, type="u32", scale=0.01, kind="delta")})
    assert profile.signals("m", 1)[0].rollover == pytest.approx(2**32 * 0.01)


@pytest.mark.parametrize(
    ("how", "at"),
    [
        ({"type": "bcd16"}, 10_000),
        ({"type": "bcd32", "scale": 0.1}, 10_000_000),
        ({"type": "u16"}, 65_536),
        ({"type": "u16", "rollover": 10_000}, 10_000),
        ({"type": "i32"}, None),  # it counts down as well
        ({"type": "u32", "bits": [0, 9]}, None),
    ],
)
def test_what_a_counter_counts_to_is_known(how: dict[str, Any], at: float | None) -> None:
    assert a_point(kind="delta", **how).rolls_at == (None if at is None else pytest.approx(at))


def test_a_map_that_counts_from_one_has_no_address_zero() -> None:
    for broken in ({"points": {"p": point(table="holding", at=0, type="u16")}}, {"fingerprint": [SIGN]}):
        with pytest.raises(ValidationError, match="counts from 1"):
            ModbusProfile(**{**MAP, "first_address": 1, **broken})


def test_a_value_longer_than_a_request_is_refused() -> None:
    for points in ({"p": {"type": "u32"}}, {"p": {"type": "text", "length": 2}}):
        with pytest.raises(ValidationError, match="max_registers"):
            modbus_profile({name: point(table="holding", at=0, **how) for name, how in points.items()}, max_registers=1)


def test_no_loop_is_needed_to_make_a_line(tmp_path: Path) -> None:
    RtuLine("w", ModbusRtuWire(kind="modbus_rtu", port="x"), tmp_path / "x", {})
