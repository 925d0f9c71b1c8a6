"""Contacts and pulse counters: what bounces means nothing, what is lost is said."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import drivers
from drivers.gpio.debounce import Contact, Debouncer, decoded
from drivers.settings import DeviceSettings
from drivers.simulate.gpio import GpioEnd
from gateway.model.clock import SystemClock
from gateway.model.errors import ConfigError, LinkDown
from gateway.model.measure import Quality, Reading, Reason
from tests.drivers.kinds.gpio import contact_profile
from tests.drivers.kit import Site, shipped_profiles, site, take

STILL_NS = 20
GAPS = st.lists(st.integers(0, 60), max_size=60)
"""Nanoseconds between edges; 20 and more are believed."""

DOOR = contact_profile(mode="contact", kind="last", simulate={"shape": "constant", "value": False})
RAIN = contact_profile(mode="pulses", kind="delta", per_pulse=0.2)


# The debouncer, alone.


def edges_of(gaps: list[int], level: int) -> list[tuple[int, int]]:
    """Alternating edges, beginning with the one away from `level`."""
    at_ns, edges = 1000, []
    for gap in gaps:
        at_ns += gap
        level = 1 - level
        edges.append((at_ns, level))
    return edges


def believed(edges: list[tuple[int, int]], level: int, looks: frozenset[int] = frozenset()) -> list[tuple[int, int]]:
    """What a debouncer believes of these edges in the end, when it is also looked at now and then."""
    debouncer = Debouncer(STILL_NS, level)
    found: list[tuple[int, int]] = []
    for at_ns, to in edges:
        for look in sorted(look for look in looks if look <= at_ns):
            found += debouncer.settle(look)
        looks = frozenset(look for look in looks if look > at_ns)
        found += debouncer.edge(at_ns, to)
    found += debouncer.settle(10**9)
    return found


@given(GAPS, st.integers(0, 1))
def test_exactly_the_levels_that_stood_are_believed_in_order(gaps: list[int], level: int) -> None:
    edges = edges_of(gaps, level)
    ends = [at_ns for at_ns, _ in edges[1:]] + [10**9]
    stood = [(at_ns, to) for (at_ns, to), end in zip(edges, ends, strict=False) if end - at_ns >= STILL_NS]
    wanted, now = [], level
    for at_ns, to in stood:
        if to != now:
            wanted.append((at_ns, to))
            now = to
    assert believed(edges, level) == wanted


@given(GAPS, st.integers(0, 1), st.frozensets(st.integers(900, 5000), max_size=20))
def test_when_somebody_looks_changes_nothing(gaps: list[int], level: int, looks: frozenset[int]) -> None:
    edges = edges_of(gaps, level)
    assert believed(edges, level, looks) == believed(edges, level)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1)), max_size=60), st.integers(0, 1), st.booleans())
def test_no_more_pulses_are_counted_than_edges_came_even_with_edges_lost(
    steps: list[tuple[int, int]], level: int, active_low: bool
) -> None:
    point = contact_profile(mode="pulses", kind="delta", active_low=active_low).points["it"]
    contact, at_ns, edges = Contact(point), 1000, []
    contact.begin(level)
    for gap, to in steps:
        at_ns += gap
        edges.append((at_ns, to))
    found = believed(edges, level)
    for _, to in found:
        contact.take(to)
    assert [to for _, to in found] == [(level + n + 1) % 2 for n in range(len(found))]
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    active = [to for _, to in edges].count(0 if active_low else 1)
    assert contact.value <= active


def test_without_a_time_to_stand_every_edge_is_believed_at_once() -> None:
    debouncer = Debouncer(0, 1)
    assert list(debouncer.edge(5, 0)) == [(5, 0)]
    assert list(debouncer.edge(5, 1)) == [(5, 1)]
    assert debouncer.due_ns is None


def test_a_level_told_twice_begins_to_stand_anew() -> None:
    debouncer = Debouncer(20, 1)
    assert list(debouncer.edge(100, 0)) == []
    assert list(debouncer.edge(110, 0)) == []  # the edge in between was lost
    assert debouncer.due_ns == 130
    assert list(debouncer.settle(129)) == []
    assert list(debouncer.settle(130)) == [(110, 0)]


def test_many_small_pulses_add_up_without_crumbs() -> None:
    assert decoded(RAIN, [1] + [0, 1] * 3) == {"it": 0.6}
    assert decoded(RAIN, [1] + [0, 1] * 1000) == {"it": 200.0}


# The driver, at the far end of a rehearsal.


@contextlib.asynccontextmanager
async def rig(base: Path, every_s: float = 0.1) -> AsyncIterator[tuple[Site, GpioEnd]]:
    async with site("gpio", base, {"door": DOOR, "rain": RAIN}, every_s=every_s) as made:
        end = made.far.wires["w"]
        assert isinstance(end, GpioEnd)
        yield made, end


def pulse(end: GpioEnd, start_ns: int, times: int) -> None:
    """Pulses of 6 ms, 6 ms apart, as the chip would have stamped them."""
    for n in range(times):
        end.set(18, 0, start_ns + n * 12_000_000)
        end.set(18, 1, start_ns + n * 12_000_000 + 6_000_000)


def now_ns() -> int:
    return round(SystemClock().monotonic() * 1e9)


async def readings_until(made: Site, signal: str, enough: Callable[[Any], bool], seconds: float = 2.0) -> list[Reading]:
    batches = await take(made.driver, seconds, lambda newest: enough(newest.get(signal)))
    return [reading for batch in batches for reading in batch if reading.signal == signal]


async def test_a_contact_that_changes_is_told_at_once_with_the_time_of_the_change(tmp_path: Path) -> None:
    async with rig(tmp_path, every_s=60) as (made, end), made.driver:
        clock = SystemClock()
        changed_ms: list[int] = []

        def change() -> None:
            changed_ms.append(clock.now_ms())
            end.set(17, 0)

        asyncio.get_running_loop().call_later(0.1, change)
        (reading,) = await readings_until(made, "door/it", lambda value: value is True)
        took_ms = clock.now_ms() - changed_ms[0]
    assert reading.value is True
    assert reading.quality is Quality.GOOD
    assert abs(reading.at_ms - changed_ms[0]) <= 5
    assert took_ms < 500


async def test_every_change_of_a_contact_is_told_in_order(tmp_path: Path) -> None:
    async with rig(tmp_path, every_s=60) as (made, end), made.driver:
        start = now_ns() - 1_000_000_000
        for n in range(6):
            end.set(17, n % 2, start + n * 10_000_000)
        await asyncio.sleep(0.1)  # nobody takes the batches yet
        batches = await take(made.driver, 0.2)
    doors = [r for batch in batches for r in batch if r.signal == "door/it"]
    assert [r.value for r in doors[:6]] == [True, False, True, False, True, False]
    apart_ms = [after.at_ms - before.at_ms for before, after in pairwise(doors[:6])]
    assert all(8 <= ms <= 12 for ms in apart_ms)


async def test_pulses_are_counted_while_nobody_takes_the_batches_and_never_twice(tmp_path: Path) -> None:
    async with rig(tmp_path) as (made, end), made.driver:
        pulse(end, now_ns() - 2_000_000_000, 40)
        await asyncio.sleep(0.05)
        readings = await readings_until(made, "rain/it", lambda value: value == 8.0)
        assert readings[-1].value == 8.0
        later = await readings_until(made, "rain/it", lambda value: value not in {None, 8.0}, seconds=0.3)
        assert {r.value for r in later} == {8.0}


async def test_bounces_of_a_pulse_count_once(tmp_path: Path) -> None:
    async with rig(tmp_path) as (made, end), made.driver:
        start = now_ns() - 1_000_000_000
        for n in range(11):  # ten edges within 1 ms, the last one stays
            end.set(18, n % 2, start + n * 100_000)
        end.set(18, 1, start + 100_000_000)
        assert (await readings_until(made, "rain/it", lambda value: value == 0.2))[-1].value == 0.2
        later = await readings_until(made, "rain/it", lambda value: value not in {None, 0.2}, seconds=0.3)
        assert {r.value for r in later} == {0.2}


async def test_the_counter_goes_on_after_the_chip_came_back(tmp_path: Path) -> None:
    async with rig(tmp_path) as (made, end):
        async with made.driver:
            pulse(end, now_ns() - 1_000_000_000, 3)
            assert (await readings_until(made, "rain/it", lambda value: value == 0.6))[-1].value == 0.6
        async with made.driver:
            pulse(end, now_ns() - 1_000_000_000, 1)
            readings = await readings_until(made, "rain/it", lambda value: value == 0.8)
    assert readings[-1].value == 0.8
    assert {r.value for r in readings} <= {0.6, 0.8}


async def test_lost_edges_make_one_reading_uncertain_and_are_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig(tmp_path) as (made, end), made.driver:
        end.lose(18, 7)
        with caplog.at_level(logging.WARNING):
            pulse(end, now_ns() - 1_000_000_000, 2)
            readings = await readings_until(made, "rain/it", lambda value: value == 0.4)
        later = await readings_until(made, "rain/it", lambda value: value not in {None, 0.4}, seconds=0.3)
    unsure = [r for r in [*readings, *later] if r.quality is not Quality.GOOD]
    assert [(r.quality, r.reasons) for r in unsure] == [(Quality.UNCERTAIN, (Reason.PARTIAL,))]
    assert [record.getMessage() for record in caplog.records] == ["pin 18: 7 edges came too fast and were lost"]
    assert made.driver.health()["rain"].failures == 1


async def test_a_pin_that_loses_edges_all_day_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(tmp_path) as (made, end), made.driver:
        for n in range(5):
            end.lose(18, 3)
            pulse(end, now_ns() - 1_000_000_000, 1)
            readings = await readings_until(made, "rain/it", lambda value, n=n: value == round(0.2 * (n + 1), 9))
            assert any(r.reasons == (Reason.PARTIAL,) for r in readings), "each loss is told by a reading"
    assert caplog.text.count("were lost") == 1


async def test_a_contact_that_nobody_asks_about_fills_no_memory(tmp_path: Path) -> None:
    async with rig(tmp_path, every_s=60) as (made, end), made.driver:
        start = now_ns() - 60_000_000_000
        for n in range(2500):
            end.set(17, n % 2, start + n * 10_000_000)
            if n % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        batches = await take(made.driver, 0.3)
    doors = [r for batch in batches for r in batch if r.signal == "door/it"]
    assert 900 <= len(doors) <= 1001
    assert Quality.UNCERTAIN in {r.quality for r in doors}


async def test_the_simulated_rain_falls_as_its_profile_says(tmp_path: Path) -> None:
    rain = contact_profile(
        mode="pulses", kind="delta", per_pulse=0.2, simulate={"shape": "counter", "per_s": 4.0, "start": 100.0}
    )
    async with site("gpio", tmp_path, {"rain": rain}, every_s=0.1) as made, made.driver:
        readings = await readings_until(made, "rain/it", lambda value: value is not None and value >= 2.0)
    values = [float(r.value or 0) for r in readings]
    assert values == sorted(values)
    assert values[-1] >= 2.0


@pytest.mark.parametrize(
    ("settings", "profile"), [({}, DOOR), ({"pin": 3}, shipped_profiles()["energy-meter-3p"])], ids=["no pin", "modbus"]
)
def test_devices_that_do_not_fit_are_config_errors(settings: dict[str, Any], profile: Any, tmp_path: Path) -> None:
    wire = drivers.settings.GpioWire(kind="gpio", chip="chip")
    devices = {"it": (DeviceSettings(profile="p", wire="w", every_s=1, **settings), profile)}
    with pytest.raises(ConfigError):
        drivers.build("w", wire, devices, drivers.Surroundings(SystemClock(), tmp_path))


def test_two_devices_on_one_pin_are_a_config_error(tmp_path: Path) -> None:
    settings = DeviceSettings(profile="p", wire="w", every_s=1, pin=3)
    devices = {"a": (settings, DOOR), "b": (settings, RAIN)}
    with pytest.raises(ConfigError, match="pin 3"):
        drivers.build(
            "w",
            drivers.settings.GpioWire(kind="gpio", chip="chip"),
            devices,
            drivers.Surroundings(SystemClock(), tmp_path),
        )


async def test_a_rehearsal_takes_no_place_where_something_stands(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "chip").write_text("mine")
    with pytest.raises(LinkDown, match="something else"):
        async with site("gpio", tmp_path):
            pass
    assert (tmp_path / "run" / "chip").read_text() == "mine"
