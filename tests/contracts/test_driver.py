"""What every driver promises, run on every kind of wire with real bytes. See gateway.model.ports.Driver."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import drivers
from gateway.model.errors import LinkDown, Unsupported
from gateway.model.measure import Quality, Reason
from tests.drivers.kit import KINDS, TIMEOUT_S, Site, by_signal, kind_of, site, take


async def comes_good(rig: Site, seconds: float) -> bool:
    """True once every signal of the wire has its value; False if that takes longer."""
    batches = await take(rig.driver, seconds * rig.every_s / 0.1, lambda newest: newest == rig.good)
    return {r.signal: r.value for batch in batches for r in batch} == rig.good


@pytest.fixture(params=KINDS)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with site(request.param, tmp_path) as made:
        yield made


def kinds_that(*faults: str) -> list[str]:
    """Kinds of wires on which these things can happen."""
    return [kind for kind in KINDS if set(faults) <= kind_of(kind).FAULTS]


@pytest.fixture(params=kinds_that("silent"))
async def quiet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Wires whose devices can fall silent."""
    async with site(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=kinds_that("garbage"))
async def noisy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Wires on which bytes can come that are no answer."""
    async with site(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=kinds_that("delay"))
async def asked(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Wires whose devices only speak when spoken to, and may take their time. There are two of them."""
    async with site(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=[kind for kind in KINDS if kind_of(kind).WRITES])
async def written(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Wires whose devices take commands."""
    async with site(request.param, tmp_path) as made:
        yield made


def test_every_kind_of_wire_is_held_to_this() -> None:
    assert set(KINDS) == set(drivers.KINDS)


async def test_signals_are_known_before_entering(rig: Site) -> None:
    names = {f"{device}/{point}" for device, (_, p) in rig.devices.items() for point in p.points_by_name()}
    assert {signal.id for signal in rig.driver.signals} == names


async def test_every_signal_comes_exactly_once_a_turn_with_its_value(rig: Site) -> None:
    async with rig.driver:
        batches = await take(rig.driver, 5.5 * rig.every_s)
    for batch in batches:
        signals = [reading.signal for reading in batch]
        assert len(signals) == len(set(signals))
    readings = by_signal(batches)
    assert set(readings) == {signal.id for signal in rig.driver.signals}
    for signal, values in readings.items():
        assert 4 <= len(values) <= 7
        good = [r for r in values if r.value is not None]
        assert len(good) >= len(values) - 1, "a machine that stalls for 50 ms may cost one"
        assert {(r.value, r.quality) for r in good} == {(rig.good[signal], Quality.GOOD)}
    assert all(health.online for health in rig.driver.health().values())


async def test_silence_gives_missing_readings_each_period_and_ends_when_the_device_speaks(quiet: Site) -> None:
    async with quiet.driver:
        quiet.break_(silent=True)
        silent = by_signal(await take(quiet.driver, 0.8))
        assert set(silent) == {signal.id for signal in quiet.driver.signals}
        for readings in silent.values():
            assert len(readings) >= 3
            assert {(r.value, r.reasons) for r in readings} == {(None, (Reason.NO_ANSWER,))}
        assert not any(health.online for health in quiet.driver.health().values())


async def test_a_device_that_fell_silent_is_read_again_soon(quiet: Site) -> None:
    async with quiet.driver:
        await take(quiet.driver, 2.5 * quiet.every_s)
        quiet.break_(silent=True)
        await take(quiet.driver, 3 * quiet.every_s)
        quiet.break_(silent=False)
        # At these short periods it is the budget for asking in vain that decides, see drivers.watch.
        assert await comes_good(quiet, 3)


async def test_garbage_is_a_missing_reading_and_never_a_value(noisy: Site) -> None:
    async with noisy.driver:
        noisy.break_(garbage=True)
        with contextlib.suppress(LinkDown):  # a TCP stream out of step is closed
            batches = await take(noisy.driver, 4 * noisy.every_s)
            assert Reason.BAD_FRAME in {reason for batch in batches for r in batch for reason in r.reasons}
            assert {reading.value for batch in batches for reading in batch} == {None}
    noisy.break_(garbage=False)
    await asyncio.sleep(TIMEOUT_S)
    async with noisy.driver:
        assert await comes_good(noisy, 3)


async def test_unplugging_raises_link_down_and_plugging_in_heals(rig: Site) -> None:
    async with rig.driver:
        assert await take(rig.driver, 2 * rig.every_s)
        await rig.far.wires["w"].unplug()
        with pytest.raises(LinkDown):
            await take(rig.driver, 3)
    with pytest.raises(LinkDown):
        await rig.driver.__aenter__()
    await rig.far.wires["w"].plug()
    async with rig.driver:
        assert await comes_good(rig, 2)


async def test_the_port_is_free_after_leaving_and_after_a_failed_entry(rig: Site) -> None:
    other = rig.another_driver()
    for driver in (rig.driver, other, rig.driver):
        async with driver:
            assert await take(driver, 2 * rig.every_s)
    await rig.far.wires["w"].unplug()
    for _ in range(3):
        with pytest.raises(LinkDown) as caught:
            await other.__aenter__()
        assert caught.value.hint
        assert caught.value.where == "w"
    await rig.far.wires["w"].plug()
    async with rig.driver:
        assert await take(rig.driver, 2 * rig.every_s)


async def test_leaving_never_raises_even_when_not_entered(rig: Site) -> None:
    await rig.driver.__aexit__(None, None, None)
    async with rig.driver:
        pass
    await rig.driver.__aexit__(None, None, None)


async def test_a_port_in_use_is_link_down_and_its_user_is_not_disturbed(rig: Site) -> None:
    if reason := kind_of(rig.kind).SHARED:
        pytest.skip(reason)
    async with rig.driver:
        with pytest.raises(LinkDown, match=r"exclusively lock|unavailable"):
            await rig.another_driver().__aenter__()
        readings = by_signal(await take(rig.driver, 3 * rig.every_s))
    assert all(values[-1].value == rig.good[signal] for signal, values in readings.items())


async def test_reading_once_gives_raw_and_value(rig: Site) -> None:
    device = next(iter(rig.devices))
    async with rig.driver:
        rows = await rig.driver.read_once(device)
        assert {f"{device}/{row.point}": row.reading.value for row in rows} == {
            signal: value for signal, value in rig.good.items() if signal.startswith(f"{device}/")
        }
        assert all(row.raw and not row.error for row in rows)
        (row,) = await rig.driver.read_once(device, rows[-1].point)
        assert row.point == rows[-1].point
        with pytest.raises(Unsupported):
            await rig.driver.read_once(device, "nothing")
        with pytest.raises(Unsupported):
            await rig.driver.read_once("nobody")


async def test_reading_once_says_what_is_wrong(quiet: Site) -> None:
    async with quiet.driver:
        quiet.break_(silent=True)
        await asyncio.sleep(quiet.every_s)  # a line that was already under way
        rows = await quiet.driver.read_once(next(iter(quiet.devices)))
    assert {row.reading.reasons for row in rows[-1:]} == {(Reason.NO_ANSWER,)}
    assert rows[-1].error


async def test_slow_answers_are_good_answers(asked: Site) -> None:
    async with asked.driver:
        asked.break_(delay_s=0.01)
        readings = by_signal(await take(asked.driver, 6 * asked.every_s))
    assert {(s, r.value) for s, values in readings.items() for r in values} == {(s, asked.good[s]) for s in readings}


async def test_late_answers_are_never_readings(asked: Site) -> None:
    async with asked.driver:
        asked.break_(delay_s=1.4 * TIMEOUT_S)
        late = by_signal(await take(asked.driver, 0.6))
        assert {r.value for values in late.values() for r in values} <= {None}
        asked.break_(delay_s=0.0)
        readings = by_signal(await take(asked.driver, 6 * asked.every_s + 2 * TIMEOUT_S))
    assert all({r.value for r in values} <= {None, asked.good[signal]} for signal, values in readings.items())


async def test_a_cancelled_request_leaves_the_wire_in_order(asked: Site) -> None:
    device, point = asked.driver.signals[0].id.split("/")
    other, good = asked.driver.signals[1].id.split("/")[1], asked.good[asked.driver.signals[1].id]
    async with asked.driver:
        asked.break_(delay_s=0.4 * TIMEOUT_S)
        for _ in range(3):
            reading = asyncio.create_task(asked.driver.read_once(device, point))
            await asyncio.sleep(0.2 * TIMEOUT_S)
            reading.cancel()
            (row,) = await asked.driver.read_once(device, other)
            assert row.reading.value in {good, None}
            with pytest.raises(asyncio.CancelledError):
                await reading
        asked.break_(delay_s=0.0)
        (row,) = await asked.driver.read_once(device, other)
        assert row.reading.value == good


@pytest.mark.parametrize("kind", kinds_that("delay"))
async def test_users_of_one_wire_take_turns(kind: str, tmp_path: Path) -> None:
    async with site(kind, tmp_path, timeout_s=5.0) as asked:  # patient: this is about turns, not about stalls
        signals = [signal.id for signal in asked.driver.signals]
        async with asked.driver:
            all_at_once = [asked.driver.read_once(*signal.split("/")) for _ in range(4) for signal in signals]
            rows = [row for rows in await asyncio.gather(*all_at_once) for row in rows]
    assert {(row.reading.signal, row.reading.value) for row in rows} == set(asked.good.items())


async def test_a_write_is_read_back_while_polls_go_on(written: Site) -> None:
    async with written.driver:
        polling = asyncio.create_task(take(written.driver, 6 * written.every_s))
        await asyncio.sleep(written.every_s)
        for on in (True, False, True):
            said = await written.driver.apply("right/lamp", on)
            assert (said.reading.signal, said.reading.value, said.verified) == ("right/lit", on, True)
        said = await written.driver.apply("left/set", 12.5)
        assert (said.reading.signal, said.reading.value, said.verified) == ("left/set", 12.5, True)
        assert (await written.driver.read("left/set")).value == 12.5
        readings = by_signal(await polling)
    assert written.far.units["right"].writes == [("coil", 3, [1]), ("coil", 3, [0]), ("coil", 3, [1])]
    assert written.far.units["left"].writes == [("holding", 20, [25])]
    assert readings["right/lit"][-1].value is True
    assert readings["left/lit"][-1].value is False


async def test_a_device_that_ignores_a_write_is_not_verified(written: Site) -> None:
    async with written.driver:
        written.far.units["right"].load("discrete", 3, [0])
        said = await written.driver.apply("right/lamp", True)
    assert (said.reading.value, said.verified) == (False, False)


async def test_a_signal_that_cannot_be_written_is_unsupported(rig: Site) -> None:
    async with rig.driver:
        for signal in (rig.driver.signals[0].id, "nobody/nothing"):
            with pytest.raises(Unsupported):
                await rig.driver.apply(signal, 1)
