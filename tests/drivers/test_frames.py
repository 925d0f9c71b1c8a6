"""Frames of bytes: found again behind noise, never believed when damaged, asked for where they must be."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.profiles import FramesProfile, parse
from drivers.profiles.lines import Checksum, FrameShape
from drivers.serial_frames.cut import FrameCutter
from drivers.serial_frames.parse import checksum, decoded
from drivers.serial_frames.parse import parse as parse_frame
from drivers.simulate.frames import FramesEnd
from drivers.turns import Spoilt
from gateway.model.errors import BadFrame
from gateway.model.measure import Reason
from tests.drivers.kinds.binary_frames import FRAME, frames_profile
from tests.drivers.kinds.text_lines import lines_profile
from tests.drivers.kit import by_signal, point, site, take

PROFILE = frames_profile()
GOOD = bytes.fromhex("42 4d 00 23 83 ff 00 02 34 0d")


def good_frames(cutter: FrameCutter, chunks: list[bytes], profile: FramesProfile = PROFILE) -> list[bytes]:
    """What is believed of these chunks; anything but the driver's own error for the rest fails the test."""
    found = []
    for piece in [piece for chunk in chunks for piece in cutter.cut(chunk)]:
        with contextlib.suppress(Spoilt):
            if parse_frame(profile, piece) is not None:
                found.append(piece)
    return found


def cut_at(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


def test_a_frame_means_what_its_profile_says() -> None:
    assert decoded(PROFILE, GOOD.hex()) == {"pm25": 35, "t": -12.5}
    with pytest.raises(BadFrame):
        decoded(PROFILE, "00 01")


@settings(max_examples=300)
@given(st.binary(max_size=80), st.binary(max_size=80), st.lists(st.integers(0, 10_000), max_size=12))
def test_a_good_frame_is_found_behind_any_noise(before: bytes, between: bytes, places: list[int]) -> None:
    chunks = cut_at(before + GOOD + between + GOOD, places)
    assert good_frames(FrameCutter(PROFILE.frames.values()), chunks).count(GOOD) == 2


@settings(max_examples=300)
@given(st.lists(st.sampled_from([GOOD, GOOD[:5], b"\x42", b"\x42\x4d", GOOD[:-1], b"\xa5" * 7]), max_size=40))
def test_half_frames_and_false_headers_cost_nothing_but_themselves(pieces: list[bytes]) -> None:
    found = good_frames(FrameCutter(PROFILE.frames.values()), pieces)
    assert found == [piece for piece in pieces if piece == GOOD]


@settings(max_examples=300)
@given(st.binary(max_size=600), st.lists(st.integers(0, 10_000), max_size=12))
def test_random_bytes_are_never_believed_and_never_pile_up(noise: bytes, places: list[int]) -> None:
    cutter = FrameCutter(PROFILE.frames.values())
    assert good_frames(cutter, cut_at(noise, places)) == []
    assert len(cutter._rest) < 10
    assert not cutter.pause()


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_damaged_byte_gets_through(place: int, change: int) -> None:
    damaged = bytearray(GOOD)
    damaged[place] ^= change
    assert good_frames(FrameCutter(PROFILE.frames.values()), [bytes(damaged)]) == []


def test_a_damaged_frame_spoils_only_what_it_would_have_carried() -> None:
    shapes = {
        "air": FRAME,
        "gas": {"header": "ff 86", "length": 4, "checksum": {"kind": "neg8", "over": [1, 3], "at": 3}},
    }
    points = {"pm25": point(frame="air", at=2), "co": point(frame="gas", at=2, type="u8")}
    profile = frames_profile(frames=shapes, points=points)
    with pytest.raises(Spoilt) as caught:
        parse_frame(profile, bytes.fromhex("ff 86 05 00"))
    assert caught.value.points == ("co",)
    assert parse_frame(profile, bytes.fromhex("ff 86 05 75")) == ("gas", {"co": ("05", 5)})
    assert parse_frame(profile, b"\x00\x01") is None


def test_a_short_frame_does_not_wait_for_a_long_one_that_never_comes() -> None:
    shapes = [FrameShape(header="aa", length=200), PROFILE.frames["air"]]
    cutter = FrameCutter(shapes)
    assert cutter.cut(b"\xaa\x01" + GOOD + GOOD + b"\x42") == []
    assert cutter.pause() == [GOOD, GOOD]
    assert cutter.cut(GOOD[1:]) == [GOOD]


def test_what_came_in_a_pause_may_still_be_finished() -> None:
    cutter = FrameCutter(PROFILE.frames.values())
    assert cutter.cut(GOOD[:6]) == []
    assert cutter.pause() == []
    assert cutter.cut(GOOD[6:]) == [GOOD]


@pytest.mark.parametrize(
    ("rule", "frame", "expected"),
    [
        # Each from a public document: Nova SDS011 V1.3, Plantower PMS5003 V2.3, Winsen MH-Z19, NMEA-like xor, Modbus.
        ({"kind": "sum8", "over": [2, 8], "at": 8}, "aa c0 d4 04 3a 0a a1 60 00 ab", "1d"),
        ({"kind": "sum16", "over": [0, 4], "at": 4}, "42 4d 00 1c 00 00", "00 ab"),
        ({"kind": "neg8", "over": [1, 8], "at": 8}, "ff 01 86 00 00 00 00 00 00", "79"),
        ({"kind": "xor8", "over": [0, 3], "at": 3}, "0f f0 01 00", "fe"),
        ({"kind": "crc16", "over": [0, 6], "at": 6, "order": "little"}, "01 03 00 00 00 01 00 00", "84 0a"),
    ],
)
def test_checksums_are_those_of_the_documents(rule: dict[str, Any], frame: str, expected: str) -> None:
    assert checksum(Checksum.model_validate(rule), bytes.fromhex(frame)) == bytes.fromhex(expected)


def test_marked_values_and_numbers_that_are_none_are_no_readings() -> None:
    points = {
        "pm25": point(frame="air", at=2, not_available=[0xFFFF]),
        "t": point(frame="air", at=2, type="f32"),
    }
    profile = frames_profile(frames={"air": {"header": "42 4d", "length": 6}}, points=points)
    assert decoded(profile, "42 4d ff ff ff ff") == {"pm25": None, "t": None}


@pytest.mark.parametrize(
    "broken",
    [
        {"frames": {"air": {**FRAME, "header": "4"}}},
        {"frames": {"air": {**FRAME, "length": 2}}},
        {"frames": {"air": {"header": "42 4d", "length": 3, "tail": "0d 0a"}}},
        {"points": {"p": point(frame="air", at=9)}},
        {"points": {"p": point(frame="gas", at=0)}},
        {"ask": "hello"},
    ],
)
def test_a_profile_that_cannot_be_right_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        frames_profile(**broken)


async def test_noise_and_half_frames_on_the_line_lose_no_good_frame(tmp_path: Path) -> None:
    async with site("binary_frames", tmp_path, every_s=0.05) as made:
        end = made.far.wires["w"]
        assert isinstance(end, FramesEnd)
        usual = end.pieces

        def disturbed() -> list[bytes]:
            (frame,) = usual()
            return [os.urandom(7), frame[:4], frame, b"\x42"]

        end.pieces = disturbed  # type: ignore[method-assign]
        async with made.driver:
            readings = by_signal(await take(made.driver, 0.6))["dust/pm25"]
        assert len(readings) >= 8
        assert [r.value for r in readings].count(35.0) >= len(readings) - 1


async def test_bit_errors_cost_readings_and_never_make_one(tmp_path: Path) -> None:
    async with site("binary_frames", tmp_path, every_s=0.05) as made:
        made.break_(noise=0.5)
        async with made.driver:
            readings = by_signal(await take(made.driver, 0.8))["dust/pm25"]
    assert {r.value for r in readings} == {35.0, None}
    assert {r.reasons for r in readings if r.value is None} == {(Reason.BAD_FRAME,)}


async def test_an_instrument_that_must_be_asked_is_asked_each_period(tmp_path: Path) -> None:
    profile = frames_profile(ask="42 4d e2 00 00 01 71")
    async with site("binary_frames", tmp_path, {"dust": profile}) as made:
        await asyncio.sleep(0.25)
        assert made.far.devices["dust"].requests == 0
        async with made.driver:
            readings = by_signal(await take(made.driver, 0.55))["dust/pm25"]
            assert 5 <= len(readings) <= 6
            assert {r.value for r in readings} == {35.0}
            assert 5 <= made.far.devices["dust"].requests <= 7
            (row,) = await made.driver.read_once("dust", "t")
    assert (row.raw, row.reading.value) == ("83 ff", -12.5)


async def test_a_line_can_be_asked_for_too(tmp_path: Path) -> None:
    profile = parse({**lines_profile().model_dump(), "ask": "?T\r\n"})
    async with site("text_lines", tmp_path, {"mast": profile}) as made, made.driver:
        readings = by_signal(await take(made.driver, 0.35))["mast/t"]
    assert {r.value for r in readings} == {28.5}
    assert len(readings) >= 3
