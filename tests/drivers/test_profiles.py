"""Every example of every profile that ships, through the codec and through simulator and driver."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

import pytest

from drivers.modbus.codec import BitDecoder
from drivers.modbus.plan import make_block
from drivers.profiles import LineExample, LinesProfile, ModbusExample, ModbusProfile
from drivers.serial_lines.parse import parse as parse_line
from drivers.simulate.values import World
from gateway.model.measure import Kind
from tests.drivers.kit import by_signal, shipped_profiles, site, take
from tests.kit.clock import ManualClock

PROFILES = shipped_profiles()
EXAMPLES = [(name, n) for name, profile in PROFILES.items() for n in range(len(profile.examples))]


def test_profiles_are_named_after_their_files_and_say_what_is_confirmed() -> None:
    assert len(PROFILES) >= 5
    for name, profile in PROFILES.items():
        assert profile.profile == name
        assert profile.source
        for point in profile.points_by_name().values():
            assert point.name_vi
            assert point.kind in Kind


@pytest.mark.parametrize("name", PROFILES)
def test_every_point_has_an_example(name: str) -> None:
    shown = {point for example in PROFILES[name].examples for point in example.expect}
    assert shown == set(PROFILES[name].points_by_name())


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
def test_examples_decode_as_they_say(name: str, number: int) -> None:
    profile = PROFILES[name]
    example = profile.examples[number]
    if isinstance(profile, LinesProfile):
        assert isinstance(example, LineExample)
        found = parse_line(profile, example.given.encode())
        assert found is not None
        assert {key: value for key, (_, value) in found[1].items()} == pytest.approx(example.expect)
        return
    assert isinstance(profile, ModbusProfile)
    assert isinstance(example, ModbusExample)
    for point_name, value in example.expect.items():
        point = profile.points[point_name]
        block = make_block([(point_name, point)])
        words = _given(example.given[point.table], point.at, point.words)
        bits = isinstance(block.decoder, BitDecoder)
        body = bytes((1, words[0])) if bits else bytes((2 * len(words),)) + struct.pack(f">{len(words)}H", *words)
        assert block.decoder.readings(body, 0)[0].value == (value if value is None else pytest.approx(value))


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
async def test_examples_arrive_through_simulator_and_driver(name: str, number: int, tmp_path: Path) -> None:
    profile = PROFILES[name]
    example = profile.examples[number]
    kind = "text_lines" if isinstance(profile, LinesProfile) else "modbus_rtu" if number else "modbus_tcp"
    async with site(kind, tmp_path, {"it": profile}, every_s=0.3) as made:
        made.break_(silent=kind == "text_lines")
        async with made.driver:
            if isinstance(example, LineExample):
                taking = asyncio.create_task(take(made.driver, 0.25))
                await asyncio.sleep(0.1)
                made.far.instrument("w").say(example.given.encode())
                readings = by_signal(await taking)
            else:
                for table, runs in example.given.items():
                    for at, words in runs.items():
                        made.far.units["it"].load(table, at, words)
                readings = by_signal(await take(made.driver, 0.5))
    for point, value in example.expect.items():
        said = readings[f"it/{point}"][-1].value
        assert said == (value if value is None or isinstance(value, str) else pytest.approx(value))


def _given(runs: dict[int, list[int]], at: int, words: int) -> list[int]:
    for start, run in runs.items():
        if start <= at and at + words <= start + len(run):
            return run[at - start : at - start + words]
    raise AssertionError(f"the example gives nothing at {at}")


@pytest.mark.parametrize("name", PROFILES)
def test_simulated_values_move_deterministically_and_stay_in_their_range(name: str) -> None:
    points = PROFILES[name].points_by_name()
    clock, other = ManualClock(), ManualClock()
    worlds = World(name, points, clock, seed=1), World(name, points, other, seed=1)
    for _ in range(50):
        for point_name, point in points.items():
            value = worlds[0].value(point_name)
            assert value == worlds[1].value(point_name)
            if point.range is not None:
                assert point.range[0] <= float(value) <= point.range[1]
        clock.advance(37)
        other.advance(37)


def test_the_load_of_a_circuit_follows_its_contactor() -> None:
    world = World("lamps", PROFILES["light-cabinet-vn"].points_by_name(), ManualClock(), seed=0)
    dark = world.value("current_1"), world.value("power")
    world.write("circuit_1", True)
    assert world.value("contactor_1") is True
    assert float(world.value("current_1")) > float(dark[0]) + 10
    assert float(world.value("power")) > float(dark[1]) + 3
