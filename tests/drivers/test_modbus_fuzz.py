"""Whatever bytes come: our own errors or nothing, and never a value that was not sent."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from drivers.modbus.codec import BitDecoder, RegisterDecoder, decode
from drivers.modbus.encode import encode
from drivers.modbus.line import Line
from drivers.modbus.messages import Request, check, read, write_coil, write_registers
from drivers.modbus.rtu import RtuLine, crc, find
from drivers.modbus.tcp import TcpLine
from drivers.profiles import ModbusPoint
from drivers.settings import ModbusRtuWire, ModbusTcpWire
from gateway.model.errors import BadFrame, DeviceRefused, DriverError
from tests.drivers.kit import point

ORDERS = st.sampled_from(["abcd", "cdab", "badc", "dcba"])
WORDS = {"u16": 1, "i16": 1, "bcd16": 1, "u32": 2, "i32": 2, "f32": 2, "bcd32": 2, "u64": 4, "i64": 4, "f64": 4}
SCALES = st.sampled_from([(1.0, 0.0), (0.1, 0.0), (0.01, -40.0), (10.0, 5.0), (0.7, 0.3)])


def a_point(**more: Any) -> ModbusPoint:
    return ModbusPoint(**point(**{"table": "holding", "at": 0, "type": "u16", **more}))


@st.composite
def points(draw: Any) -> ModbusPoint:
    kind = draw(st.sampled_from([*WORDS, "bool", "text", "bits", "named"]))
    how: dict[str, Any] = {"order": draw(ORDERS), "at": draw(st.integers(0, 6))}
    if kind == "bool":
        how["bit"] = draw(st.none() | st.integers(0, 15))
    elif kind == "text":
        how["length"] = draw(st.integers(1, 6))
    elif kind == "bits":
        kind = draw(st.sampled_from(["u16", "u32", "u64"]))
        how["bits"] = sorted(draw(st.tuples(*[st.integers(0, 16 * WORDS[kind] - 1)] * 2)))
    elif kind == "named":
        kind = draw(st.sampled_from(["u16", "i16", "u32", "i32"]))
        how["values"] = {0: "closed", 1: "open"}
    else:
        how["scale"], how["offset"] = draw(SCALES)
    return a_point(type=kind, **how)


@settings(max_examples=200, deadline=None)
@given(st.lists(points(), min_size=1, max_size=6), st.binary(max_size=40))
def test_any_registers_are_values_or_missing(chosen: list[ModbusPoint], body: bytes) -> None:
    named = [(f"p{n}", p) for n, p in enumerate(sorted(chosen, key=lambda p: (p.at, p.words)))]
    decoder = RegisterDecoder(named, named[0][1].at)
    try:
        readings = decoder.readings(body, 5)
    except BadFrame:
        assert len(body) < 1 + 2 * (max(p.at + p.words for _, p in named) - named[0][1].at)
        return
    assert [r.signal for r in readings] == [name for name, _ in named]
    for reading in readings:
        assert (reading.value is None) == bool(reading.reasons)
        assert not isinstance(reading.value, float) or math.isfinite(reading.value)


@given(st.binary(max_size=5), st.integers(0, 40))
def test_any_bits_are_values_or_a_bad_frame(body: bytes, at: int) -> None:
    decoder = BitDecoder([("c", a_point(table="coil", type="bool", at=at))], 0)
    try:
        (reading,) = decoder.readings(body, 5)
    except BadFrame:
        assert at // 8 + 1 >= len(body)
        return
    assert reading.value is bool(body[1 + at // 8] & 1 << at % 8)


@settings(max_examples=250, deadline=None)
@given(points(), st.data())
def test_registers_that_are_read_are_what_is_written(p: ModbusPoint, data: Any) -> None:
    """Registers, value, registers: nothing is lost but what a value does not say (other bits, a NaN's payload)."""
    words = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=p.words, max_size=p.words))
    value = decode(p, words)
    plain = (p.scale, p.offset) == (1, 0)  # else it goes through a float, which holds 53 bits
    assume(value is not None and (plain or abs(float(value)) < 2**53))
    assert value is not None
    again = decode(p, encode(p, value, "d/p"))
    if isinstance(value, float) or not plain:
        assert again == pytest.approx(value, rel=1e-6 if p.type == "f32" else 1e-12, abs=1e-12)
    else:
        assert (again, type(again)) == (value, type(value))


NUMBERS = st.floats() | st.integers(-(2**70), 2**70)


@settings(max_examples=250, deadline=None)
@given(points(), NUMBERS | st.booleans() | st.text(max_size=8))
def test_whatever_is_to_be_written_is_written_so_or_refused(p: ModbusPoint, value: Any) -> None:
    try:
        words = encode(p, value, "d/p")
    except DeviceRefused:
        return
    assert len(words) == p.words
    assert all(0 <= word <= 0xFFFF for word in words)
    said = decode(p, words)
    if p.is_text:
        assert said == value or p.values
    elif p.type == "f32":
        assert said == pytest.approx(float(value), rel=1e-6, abs=1e-37 * max(p.scale, 1) + 1e-6 * abs(p.offset))
    elif p.type == "f64":
        assert said == pytest.approx(float(value), rel=1e-12, abs=1e-12)
    else:
        assert said == pytest.approx(value, abs=0.5 * p.scale + 1e-9 * abs(value))


REQUESTS: list[Request] = [
    read("holding", 7, 3),
    read("coil", 0, 9),
    write_coil(3, [1]),
    write_coil(3, [1], single=False),
    write_registers(3, [7]),
    write_registers(3, [7], single=False),
    write_registers(3, [7, 8]),
]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(REQUESTS))
def test_any_answer_fits_the_request_or_is_an_error_of_ours(pdu: bytes, request: Request) -> None:
    error = check(request, pdu, "w")
    assert isinstance(error, DriverError) or request.is_answered_by(pdu)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 247), st.sampled_from(REQUESTS))
def test_what_is_found_on_a_serial_line_has_the_shape_of_an_answer(data: bytes, unit: int, request: Request) -> None:
    pdu = find(data, unit, request)
    assert pdu is None or len(pdu) in {2, request.length}


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60), st.binary(max_size=20), st.integers(1, 247), st.lists(st.integers(0, 0xFFFF), min_size=3)
)
def test_a_sound_answer_is_found_whatever_is_around_it(
    before: bytes, after: bytes, unit: int, words: list[int]
) -> None:
    request = read("holding", 7, 3)
    pdu = request.expect + struct.pack(">3H", *words[:3])
    frame = bytes((unit,)) + pdu
    assume(find(before, unit, request) is None)
    assert find(before + frame + crc(frame) + after, unit, request) == pdu


def asking(line: Line, request: Request | None) -> list[Any]:
    """Makes the line wait for an answer from unit 1; what comes of it."""
    came: list[Any] = []

    def ended(what: Any) -> None:
        line._request = None
        came.append(what)

    line._unit, line._request = 1, request
    line._succeed = ended  # type: ignore[method-assign, assignment]
    line._fail = ended  # type: ignore[method-assign, assignment]
    return came


@st.composite
def answers(draw: Any, wrap: Callable[[bytes], bytes]) -> list[bytes]:
    """Pieces of a stream: random bytes, and sound, cut or disturbed answers to the first request."""
    sound = wrap(REQUESTS[0].expect + bytes(range(6)))
    pieces = []
    for _ in range(draw(st.integers(0, 5))):
        piece = bytearray(draw(st.sampled_from([sound, sound, b""])) or draw(st.binary(min_size=1, max_size=40)))
        if draw(st.booleans()):
            piece[draw(st.integers(0, len(piece) - 1))] ^= 1 << draw(st.integers(0, 7))
        pieces.append(bytes(piece[: draw(st.integers(1, len(piece)))]))
    return pieces


def sealed(pdu: bytes) -> bytes:
    return b"\1" + pdu + crc(b"\1" + pdu)


@settings(max_examples=150, deadline=None)
@given(answers(lambda pdu: struct.pack(">HHHB", 1, 0, len(pdu) + 1, 1) + pdu), st.booleans())
def test_any_stream_of_a_tcp_host_is_an_answer_or_an_error_of_ours(pieces: list[bytes], asked: bool) -> None:
    line = TcpLine("w", ModbusTcpWire(kind="modbus_tcp", host="h"), {})
    came = asking(line, REQUESTS[0] if asked else None)
    line._number = 1
    for piece in pieces:
        line.data_received(piece)
    assert len(came) <= asked
    assert all(isinstance(what, DriverError) or REQUESTS[0].is_answered_by(what) for what in came)


@settings(max_examples=150, deadline=None)
@given(answers(sealed), st.booleans(), st.booleans())
def test_any_stream_of_a_serial_line_is_an_answer_or_an_error_of_ours(
    pieces: list[bytes], asked: bool, echo: bool
) -> None:
    async def receive() -> list[Any]:
        wire = ModbusRtuWire(kind="modbus_rtu", port="x", echo=echo)
        line = RtuLine("w", wire, Path("x"), {})
        came = asking(line, REQUESTS[0] if asked else None)
        line._sent = sealed(REQUESTS[0].pdu)
        line._owe(1, REQUESTS[0], 0.0)
        for piece in pieces:
            line._receive(piece)
        if line._giving_up is not None:
            line._giving_up.cancel()
            if not came:
                line._expire()
        return came

    came = asyncio.run(receive())
    assert len(came) <= asked
    # The checksum lets nothing through that was disturbed.
    assert all(isinstance(what, DriverError) or what == REQUESTS[0].expect + bytes(range(6)) for what in came)
