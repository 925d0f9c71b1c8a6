"""Registers to values: the codec, the planner, and what random bytes may do."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.modbus.codec import RegisterDecoder, encode
from drivers.modbus.messages import read
from drivers.modbus.plan import Plan, blocks
from drivers.modbus.rtu import RtuLine, find
from drivers.modbus.tcp import TcpLine
from drivers.profiles import Limits, ModbusPoint, parse
from drivers.serial_lines.parse import parse as parse_line
from drivers.settings import ModbusRtuWire, ModbusTcpWire
from gateway.model.errors import BadFrame, DeviceRefused, DriverError
from gateway.model.measure import Reason
from tests.drivers.kinds.modbus import modbus_profile
from tests.drivers.kinds.text_lines import lines_profile
from tests.drivers.kit import by_signal, point, site, take


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
        ({"type": "bool"}, [2], True),
        ({"type": "bool", "bit": 0}, [2], False),
        ({"type": "bool", "bit": 1}, [2], True),
    ],
)
def test_words_become_values_and_values_words(how: dict[str, Any], words: list[int], value: Any) -> None:
    p = a_point(**how)
    assert value_of(p, *words) == value
    assert type(value_of(p, *words)) is type(value)
    if p.bit is None and p.type != "bool":
        assert encode(p, value, "d/p") == words


@pytest.mark.parametrize("words", [[0x7FC0, 0], [0x7F80, 0], [0xFF80, 0]])
def test_a_float_that_is_no_number_is_a_device_fault(words: list[int]) -> None:
    decoder = RegisterDecoder([("d/p", a_point(type="f32"))], 0)
    (reading,) = decoder.readings(b"\x04" + struct.pack(">2H", *words), 5)
    assert (reading.value, reading.reasons, reading.at_ms) == (None, (Reason.DEVICE_FAULT,), 5)


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
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_a_hint(how: dict[str, Any], value: Any) -> None:
    with pytest.raises(DeviceRefused) as refused:
        encode(a_point(**how), value, "d/p")
    assert refused.value.hint


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["u16", "i16", "u32", "i32", "u64", "i64"]),
    st.sampled_from(["abcd", "cdab", "badc", "dcba"]),
    st.sampled_from([1.0, 0.1, 0.01, 10.0]),
    st.integers(-(2**31), 2**31),
)
def test_what_is_written_is_what_is_read(kind: str, order: str, scale: float, raw: int) -> None:
    p = a_point(type=kind, order=order, scale=scale)
    try:
        words = encode(p, raw * scale, "d/p")
    except DeviceRefused:
        return
    assert value_of(p, *words) == pytest.approx(raw * scale)


def spans(points: dict[str, dict[str, Any]], **limits: Any) -> list[tuple[str, int, int]]:
    made = {name: a_point(**how) for name, how in points.items()}
    return [(block.table, block.start, block.count) for block in blocks(made, Limits(**limits))]


def test_points_near_one_another_share_a_request() -> None:
    points = {f"p{n}": {"at": at} for n, at in enumerate([0, 1, 2, 5, 20])}
    assert spans(points) == [("holding", 0, 3), ("holding", 5, 1), ("holding", 20, 1)]
    assert spans(points, gap=2) == [("holding", 0, 6), ("holding", 20, 1)]
    assert spans(points, gap=20, max_registers=10) == [("holding", 0, 6), ("holding", 20, 1)]
    assert spans({f"p{n}": {"at": n} for n in range(200)}) == [("holding", 0, 125), ("holding", 125, 75)]


def test_tables_are_never_mixed_and_overlaps_are_apart() -> None:
    assert spans({"a": {"at": 0}, "b": {"at": 1, "table": "input"}}) == [("input", 1, 1), ("holding", 0, 1)]
    assert spans({"a": {"at": 0, "type": "u32"}, "b": {"at": 1}}) == [("holding", 0, 2), ("holding", 1, 1)]
    bits = {f"b{n}": {"at": 3, "type": "bool", "bit": n} for n in range(16)}
    assert spans(bits) == [("holding", 3, 1)]


def test_a_refused_block_is_cut_at_its_holes_first() -> None:
    plan = Plan({f"p{at}": a_point(at=at) for at in (0, 1, 2, 5, 6)}, Limits(gap=4))
    (block,) = plan.blocks
    first, second = plan.split(block)
    assert [(b.start, b.count) for b in (first, second)] == [(0, 3), (5, 2)]
    for part in plan.split(second):
        assert plan.split(part) == []
    assert [(b.start, b.count) for b in plan.blocks] == [(0, 3), (5, 1), (6, 1)]


async def test_points_a_device_does_not_have_do_not_cost_the_others(tmp_path: Path) -> None:
    profile = modbus_profile(
        {
            f"p{at}": point(table="holding", at=at, type="u16", simulate={"shape": "constant", "value": at})
            for at in range(8)
        }
    )
    async with site("modbus_tcp", tmp_path, {"box": profile}) as made:
        unit = made.far.units["box"]
        plain = unit.answer

        def picky(pdu: bytes) -> bytes:
            start, count = struct.unpack(">HH", pdu[1:5])
            return b"\x83\x02" if start <= 5 < start + count else plain(pdu)

        unit.answer = picky  # type: ignore[method-assign]  # a device with a hole at register 5
        async with made.driver:
            batches = await take(made.driver, 0.5)
        readings = by_signal(batches)
        assert {r.value for at in (0, 1, 2, 3, 4, 6, 7) for r in readings[f"box/p{at}"]} == {0, 1, 2, 3, 4, 6, 7}
        assert {r.reasons for r in readings["box/p5"]} == {(Reason.DEVICE_REFUSED,)}
        assert made.driver.health()["box"].online


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 247), st.integers(1, 10))
def test_random_bytes_on_a_serial_line_are_never_an_answer_of_the_wrong_shape(
    data: bytes, unit: int, count: int
) -> None:
    request = read("holding", 7, count)
    pdu = find(data, unit, request)
    assert pdu is None or len(pdu) in {2, request.length}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=80), max_size=6), st.booleans())
def test_random_bytes_only_ever_raise_our_own_errors(chunks: list[bytes], asked: bool) -> None:
    tcp = TcpLine("w", ModbusTcpWire(kind="modbus_tcp", host="h"), {})
    failures: list[DriverError] = []
    tcp._fail = failures.append  # type: ignore[method-assign, assignment]  # only its errors matter here
    tcp._request = read("holding", 0, 2) if asked else None
    for chunk in chunks:
        tcp.data_received(chunk)
    assert all(isinstance(error, DriverError) for error in failures)


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


def test_no_loop_is_needed_to_make_a_line(tmp_path: Path) -> None:
    RtuLine("w", ModbusRtuWire(kind="modbus_rtu", port="x"), tmp_path / "x", {})
