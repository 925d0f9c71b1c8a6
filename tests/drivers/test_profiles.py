"""Every example of every profile that ships, through the codec and through simulator and driver."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers import decoded
from drivers.simulate.values import World
from gateway.model.measure import Kind
from tests.drivers.kit import shipped_profiles, site, take
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
    example = PROFILES[name].examples[number]
    found = decoded(PROFILES[name], example.given)
    assert {point: found.get(point, "not given") for point in example.expect} == near(example.expect)


@pytest.mark.parametrize(("name", "number"), EXAMPLES)
async def test_examples_arrive_through_simulator_and_driver(name: str, number: int, tmp_path: Path) -> None:
    profile = PROFILES[name]
    example = profile.examples[number]
    kind = sorted(profile.WIRES)[number % len(profile.WIRES)]
    async with site(kind, tmp_path, {"it": profile}, every_s=0.3) as made:
        made.far.wires["w"].play("it", example.given)
        async with made.driver:
            wanted = {f"it/{point}": value for point, value in example.expect.items()}
            batches = await take(made.driver, 3, lambda newest: near(wanted).items() <= newest.items())
    newest = {r.signal: r.value for batch in batches for r in batch}
    assert {signal: newest.get(signal, "nothing came") for signal in wanted} == near(wanted)


def near(expect: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers may differ by rounding, nothing else may."""
    return {
        k: pytest.approx(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for k, v in expect.items()
    }


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
