"""What every driver promises, run on every kind of wire with real bytes. See gateway.model.ports.Driver."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.model.errors import LinkDown, Unsupported
from gateway.model.measure import Quality, Reason
from tests.drivers.kit import EVERY_S, KINDS, TIMEOUT_S, Site, by_signal, site, take

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
    "mast/t": 28.5,
    "mast/rh": 71.0,
}


async def comes_good(rig: Site, seconds: float) -> bool:
    """True once every signal of the wire has its value; False if that takes longer."""
    good = {signal.id: GOOD[signal.id] for signal in rig.driver.signals}
    batches = await take(rig.driver, seconds, lambda newest: newest == good)
    return {r.signal: r.value for batch in batches for r in batch} == good


@pytest.fixture(params=KINDS)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with site(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=["modbus_tcp", "modbus_rtu"])
async def asked(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """Wires whose devices only speak when spoken to."""
    async with site(request.param, tmp_path) as made:
        yield made


async def test_signals_are_known_before_entering(rig: Site) -> None:
    names = {f"{device}/{point}" for device, (_, p) in rig.devices.items() for point in p.points_by_name()}
    assert {signal.id for signal in rig.driver.signals} == names


async def test_every_signal_comes_exactly_once_a_turn_with_its_value(rig: Site) -> None:
    async with rig.driver:
        batches = await take(rig.driver, 5.5 * EVERY_S)
    for batch in batches:
        signals = [reading.signal for reading in batch]
        assert len(signals) == len(set(signals))
    readings = by_signal(batches)
    assert set(readings) == {signal.id for signal in rig.driver.signals}
    for signal, values in readings.items():
        assert 4 <= len(values) <= 7
        good = [r for r in values if r.value is not None]
        assert len(good) >= len(values) - 1, "a machine that stalls for 50 ms may cost one"
        assert {(r.value, r.quality) for r in good} == {(GOOD[signal], Quality.GOOD)}
    assert all(health.online for health in rig.driver.health().values())


async def test_silence_gives_missing_readings_each_period_and_ends_when_the_device_speaks(rig: Site) -> None:
    async with rig.driver:
        rig.break_(silent=True)
        silent = by_signal(await take(rig.driver, 0.8))
        assert set(silent) == {signal.id for signal in rig.driver.signals}
        for readings in silent.values():
            assert len(readings) >= 3
            assert {(r.value, r.reasons) for r in readings} == {(None, (Reason.NO_ANSWER,))}
        assert not any(health.online for health in rig.driver.health().values())


async def test_a_device_that_fell_silent_is_read_again_soon(rig: Site) -> None:
    async with rig.driver:
        await take(rig.driver, 2.5 * EVERY_S)
        rig.break_(silent=True)
        await take(rig.driver, 3 * EVERY_S)
        rig.break_(silent=False)
        # At these short periods it is the budget for asking in vain that decides, see drivers.watch.
        assert await comes_good(rig, 3)


async def test_garbage_is_a_missing_reading_and_never_a_value(rig: Site) -> None:
    async with rig.driver:
        rig.break_(garbage=True)
        with contextlib.suppress(LinkDown):  # a TCP stream out of step is closed
            batches = await take(rig.driver, 4 * EVERY_S)
            assert Reason.BAD_FRAME in {reason for batch in batches for r in batch for reason in r.reasons}
            assert {reading.value for batch in batches for reading in batch} == {None}
    rig.break_(garbage=False)
    await asyncio.sleep(TIMEOUT_S)
    async with rig.driver:
        assert await comes_good(rig, 3)


async def test_unplugging_raises_link_down_and_plugging_in_heals(rig: Site) -> None:
    async with rig.driver:
        assert await take(rig.driver, 2 * EVERY_S)
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
            assert await take(driver, 2 * EVERY_S)
    await rig.far.wires["w"].unplug()
    for _ in range(3):
        with pytest.raises(LinkDown) as caught:
            await other.__aenter__()
        assert caught.value.hint
        assert caught.value.where == "w"
    await rig.far.wires["w"].plug()
    async with rig.driver:
        assert await take(rig.driver, 2 * EVERY_S)


async def test_leaving_never_raises_even_when_not_entered(rig: Site) -> None:
    await rig.driver.__aexit__(None, None, None)
    async with rig.driver:
        pass
    await rig.driver.__aexit__(None, None, None)


async def test_a_port_in_use_is_link_down_and_its_user_is_not_disturbed(rig: Site) -> None:
    if rig.kind == "modbus_tcp":
        pytest.skip("a TCP host decides itself how many connections it takes")
    async with rig.driver:
        with pytest.raises(LinkDown, match=r"exclusively lock|unavailable"):
            await rig.another_driver().__aenter__()
        readings = by_signal(await take(rig.driver, 3 * EVERY_S))
    assert all(values[-1].value == GOOD[signal] for signal, values in readings.items())


async def test_reading_once_gives_raw_and_value(rig: Site) -> None:
    device = next(iter(rig.devices))
    async with rig.driver:
        rows = await rig.driver.read_once(device)
        assert {f"{device}/{row.point}": row.reading.value for row in rows} == {
            signal: value for signal, value in GOOD.items() if signal.startswith(f"{device}/")
        }
        assert all(row.raw and not row.error for row in rows)
        (row,) = await rig.driver.read_once(device, rows[-1].point)
        assert row.point == rows[-1].point
        with pytest.raises(Unsupported):
            await rig.driver.read_once(device, "nothing")
        with pytest.raises(Unsupported):
            await rig.driver.read_once("nobody")


async def test_reading_once_says_what_is_wrong(rig: Site) -> None:
    async with rig.driver:
        rig.break_(silent=True)
        await asyncio.sleep(EVERY_S)  # a line that was already under way
        rows = await rig.driver.read_once(next(iter(rig.devices)))
    assert {row.reading.reasons for row in rows[-1:]} == {(Reason.NO_ANSWER,)}
    assert rows[-1].error


async def test_slow_answers_are_good_answers(asked: Site) -> None:
    async with asked.driver:
        asked.break_(delay_s=0.01)
        readings = by_signal(await take(asked.driver, 6 * EVERY_S))
    assert {(s, r.value) for s, values in readings.items() for r in values} == {(s, GOOD[s]) for s in readings}


async def test_late_answers_are_never_readings(asked: Site) -> None:
    async with asked.driver:
        asked.break_(delay_s=1.4 * TIMEOUT_S)
        late = by_signal(await take(asked.driver, 0.6))
        assert {r.value for values in late.values() for r in values} <= {None}
        asked.break_(delay_s=0.0)
        readings = by_signal(await take(asked.driver, 6 * EVERY_S + 2 * TIMEOUT_S))
    assert all({r.value for r in values} <= {None, GOOD[signal]} for signal, values in readings.items())


async def test_a_cancelled_request_leaves_the_wire_in_order(asked: Site) -> None:
    async with asked.driver:
        asked.break_(delay_s=0.4 * TIMEOUT_S)
        for _ in range(3):
            reading = asyncio.create_task(asked.driver.read_once("left", "a"))
            await asyncio.sleep(0.2 * TIMEOUT_S)
            reading.cancel()
            (row,) = await asked.driver.read_once("left", "b")
            assert row.reading.value in {-2.5, None}
            with pytest.raises(asyncio.CancelledError):
                await reading
        asked.break_(delay_s=0.0)
        (row,) = await asked.driver.read_once("left", "b")
        assert row.reading.value == -2.5


async def test_users_of_one_wire_take_turns(asked: Site) -> None:
    async with asked.driver:
        both = [asked.driver.read_once(d, p) for _ in range(4) for d in ("left", "right") for p in ("a", "b", "c")]
        rows = [row for rows in await asyncio.gather(*both) for row in rows]
    assert {(row.reading.signal, row.reading.value) for row in rows} == {
        (signal, GOOD[signal]) for signal in ("left/a", "left/b", "left/c", "right/a", "right/b", "right/c")
    }


async def test_a_write_is_read_back_while_polls_go_on(asked: Site) -> None:
    async with asked.driver:
        polling = asyncio.create_task(take(asked.driver, 6 * EVERY_S))
        await asyncio.sleep(EVERY_S)
        for on in (True, False, True):
            said = await asked.driver.apply("right/lamp", on)
            assert (said.reading.signal, said.reading.value, said.verified) == ("right/lit", on, True)
        said = await asked.driver.apply("left/set", 12.5)
        assert (said.reading.signal, said.reading.value, said.verified) == ("left/set", 12.5, True)
        assert (await asked.driver.read("left/set")).value == 12.5
        readings = by_signal(await polling)
    assert asked.far.units["right"].writes == [("coil", 3, [1]), ("coil", 3, [0]), ("coil", 3, [1])]
    assert asked.far.units["left"].writes == [("holding", 20, [25])]
    assert readings["right/lit"][-1].value is True
    assert readings["left/lit"][-1].value is False


async def test_a_device_that_ignores_a_write_is_not_verified(asked: Site) -> None:
    async with asked.driver:
        asked.far.units["right"].load("discrete", 3, [0])
        said = await asked.driver.apply("right/lamp", True)
    assert (said.reading.value, said.verified) == (False, False)


async def test_a_signal_that_cannot_be_written_is_unsupported(rig: Site) -> None:
    async with rig.driver:
        for signal in (rig.driver.signals[0].id, "nobody/nothing"):
            with pytest.raises(Unsupported):
                await rig.driver.apply(signal, 1)
