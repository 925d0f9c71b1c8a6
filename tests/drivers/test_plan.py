"""Which requests read a device: as few as it stands, and no point for another's sake lost."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import decoded
from drivers.modbus.plan import Block, Plan, blocks
from drivers.profiles import Limits, ModbusPoint
from gateway.model.measure import Reason
from tests.drivers.kinds.modbus import modbus_profile
from tests.drivers.kit import by_signal, point, site, take


def a_point(**more: Any) -> ModbusPoint:
    return ModbusPoint(**point(**{"table": "holding", "at": 0, "type": "u16", **more}))


def spans(points: dict[str, dict[str, Any]], **limits: Any) -> list[tuple[str, int, int]]:
    made = {name: a_point(**how) for name, how in points.items()}
    return [(block.table, block.start, block.count) for block in blocks(made, Limits(**limits))]


def answer(block: Block, word_at: Any) -> dict[str, Any]:
    """What the block's points say of registers that say `word_at(address)`."""
    words = [word_at(block.start + n) for n in range(block.count)]
    body = struct.pack(f">B{len(words)}H", 2 * len(words) & 0xFF, *words)
    return {reading.signal: reading.value for reading in block.decoder.readings(body, 0)}


def test_points_near_one_another_share_a_request() -> None:
    points = {f"p{n}": {"at": at} for n, at in enumerate([0, 1, 2, 5, 20])}
    assert spans(points) == [("holding", 0, 3), ("holding", 5, 1), ("holding", 20, 1)]
    assert spans(points, gap=2) == [("holding", 0, 6), ("holding", 20, 1)]
    assert spans(points, gap=20, max_registers=10) == [("holding", 0, 6), ("holding", 20, 1)]
    assert spans({f"p{n}": {"at": n} for n in range(200)}) == [("holding", 0, 125), ("holding", 125, 75)]


def test_bits_have_their_own_limit() -> None:
    coils = {f"c{n}": {"table": "coil", "type": "bool", "at": n} for n in range(100)}
    assert spans(coils, max_registers=10) == [("coil", 0, 100)]
    assert spans(coils, max_bits=64) == [("coil", 0, 64), ("coil", 64, 36)]


def test_tables_are_never_mixed() -> None:
    assert spans({"a": {"at": 0}, "b": {"at": 1, "table": "input"}}) == [("input", 1, 1), ("holding", 0, 1)]


@pytest.mark.parametrize(
    ("points", "span"),
    [
        ({f"b{n}": {"at": 3, "type": "bool", "bit": n} for n in range(16)}, (3, 1)),
        ({"mode": {"bits": [0, 3]}, "level": {"bits": [4, 15]}, "raw": {}, "on": {"type": "bool", "bit": 0}}, (0, 1)),
        ({"sum": {"type": "u32"}, "high": {"at": 0}, "low": {"at": 1}}, (0, 2)),
        ({"a": {"type": "u64"}, "b": {"at": 2, "type": "f32"}, "c": {"at": 3, "type": "u32"}}, (0, 5)),
        ({"a": {"type": "u32"}, "b": {"type": "u32", "order": "cdab"}, "c": {"type": "i32"}}, (0, 2)),
    ],
)
def test_points_that_see_the_same_registers_share_a_request(points: dict[str, Any], span: tuple[int, int]) -> None:
    assert spans(points) == [("holding", *span)]
    made = {name: a_point(**how) for name, how in points.items()}
    (block,) = blocks(made, Limits())
    together = answer(block, lambda at: 0x4100 + 7 * at)
    alone = {n: answer(next(blocks({n: p}, Limits())), lambda at: 0x4100 + 7 * at)[n] for n, p in made.items()}
    assert together == alone


def test_a_request_is_never_longer_than_the_device_stands_for_the_sake_of_an_overlap() -> None:
    points: dict[str, dict[str, Any]] = {"a": {"at": 0, "type": "u64"}, "b": {"at": 2, "type": "u64"}, "c": {"at": 3}}
    assert spans(points, max_registers=4) == [("holding", 0, 4), ("holding", 2, 4)]


KINDS = st.sampled_from(["u16", "i16", "u32", "f32", "u64", "bool", "bcd16"])
POINTS = st.lists(st.tuples(st.integers(0, 60), KINDS, st.sampled_from(["abcd", "cdab", "badc"])), min_size=1)


@settings(max_examples=200, deadline=None)
@given(POINTS, st.integers(4, 40), st.integers(0, 8))
def test_every_point_is_read_once_within_the_limits_and_says_what_it_says_alone(
    chosen: list[tuple[int, str, str]], most: int, gap: int
) -> None:
    points = {f"p{n}": a_point(at=at, type=kind, order=order) for n, (at, kind, order) in enumerate(chosen)}
    words = [(31 * at + 0x3F80) & 0xFFFF for at in range(70)]
    plan = list(blocks(points, Limits(max_registers=most, gap=gap)))
    assert sorted(signal for block in plan for signal in block.signals) == sorted(points)
    assert all(block.count <= most for block in plan)
    found = {signal: value for block in plan for signal, value in answer(block, words.__getitem__).items()}
    profile = modbus_profile({name: p.model_dump() for name, p in points.items()})
    assert found == decoded(profile, {"holding": {0: words}})


def test_a_refused_block_is_cut_at_its_holes_first() -> None:
    plan = Plan({f"p{at}": a_point(at=at) for at in (0, 1, 2, 5, 6)}, Limits(gap=4))
    (block,) = plan.blocks
    first, second = plan.split(block)
    assert [(b.start, b.count) for b in (first, second)] == [(0, 3), (5, 2)]
    for part in plan.split(second):
        assert plan.split(part) == []
    assert [(b.start, b.count) for b in plan.blocks] == [(0, 3), (5, 1), (6, 1)]


def test_points_that_overlap_are_cut_apart_last() -> None:
    plan = Plan({"a": a_point(), "b": a_point(type="u32"), "c": a_point(at=1), "d": a_point(at=2)}, Limits())
    todo = list(plan.blocks)
    order = []
    while todo:
        block = todo.pop(0)
        order.append(block.signals)
        todo = plan.split(block) + todo
    assert order[:2] == [["a", "b", "c", "d"], ["a", "b", "c"]]
    assert [b.signals for b in plan.blocks] == [["a"], ["b"], ["c"], ["d"]]


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
