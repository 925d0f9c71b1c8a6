"""What may happen to a site happens as written, and the gateway says the truth of it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import drivers
from config.profiles import own_folder as profiles_folder
from config.profiles import read_profile
from config.scenarios import load_scenario, own_folder, read_scenario
from drivers.settings import AnyWire, DeviceSettings, ModbusRtuWire, ModbusTcpWire
from drivers.simulate import Simulation, simulated
from drivers.simulate.performance import Cue, Performance, targets
from drivers.simulate.scenario import Effect, Scenario, Step, seconds
from drivers.simulate.values import World
from gateway.model.clock import SystemClock
from gateway.model.errors import BadArgument
from gateway.model.measure import Quality, Reading, Reason
from gateway.pipeline.overrides import override
from gateway.pipeline.pipeline import Pipeline
from gateway.pipeline.settings import PointSettings
from gateway.supervise import Supervisor
from tests.drivers.kit import free_port
from tests.kit.clock import ManualClock

SHIPPED = sorted(file.stem for file in own_folder().glob("*.yaml"))
EVERY_S = 0.1
DEVICES = {
    "lamps": ("light-cabinet-vn", "cabinet", 1),
    "meter": ("energy-meter-3p", "cabinet", 2),
    "level": ("water-level-radar", "field", 5),
    "air": ("air-station-modbus", "field", 9),
}
PROFILES: dict[str, Any] = {name: read_profile(profiles_folder() / f"{name}.yaml")[0] for name, *_ in DEVICES.values()}


def devices() -> dict[str, Any]:
    return {
        name: (DeviceSettings(profile=profile, wire=wire, unit=unit, every_s=EVERY_S), PROFILES[profile])
        for name, (profile, wire, unit) in DEVICES.items()
    }


class SteadyClock(SystemClock):
    """Real time that always begins at the same moment, so that the water always stands and moves alike."""

    def __init__(self) -> None:
        super().__init__(trusted=True)
        self._from = self.monotonic()

    def now_ms(self) -> int:
        return 1_795_322_220_000 + round(1000 * (self.monotonic() - self._from))


@dataclass
class Rehearsal:
    """A small site with its far ends, read and judged as the gateway does."""

    far: Simulation
    drivers: dict[str, drivers.FieldDriver]
    pipeline: Pipeline
    clock: SteadyClock
    heard: list[Reading] = field(default_factory=list)
    listen: Callable[[Reading], None] = lambda _: None

    async def sink(self, batch: Sequence[Reading]) -> None:
        self.pipeline.accept(batch)
        latest = self.pipeline.latest(self.clock.now_ms())
        for reading in batch:
            self.heard.append(latest[reading.signal])
            self.listen(reading)

    def performance(self, name: str, speed: float = 1.0) -> Performance:
        return Performance(load_scenario(name, Path()), self.far, self.clock, speed=speed)

    def newest(self, *names: str) -> dict[str, Reading]:
        latest = self.pipeline.latest(self.clock.now_ms())
        return {s: r for s, r in latest.items() if not names or s.partition("/")[0] in names}

    async def until(self, met: Callable[[], bool], bound_s: float = 8.0) -> None:
        try:
            async with asyncio.timeout(bound_s):
                while not met():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never so; the last was {self.newest()}") from None

    async def until_good(self, *names: str) -> None:
        expected = sum(
            len(PROFILES[p].points_by_name()) for name, (p, *_) in DEVICES.items() if name in (names or DEVICES)
        )
        await self.until(
            lambda: len(new := self.newest(*names)) == expected and {r.quality for r in new.values()} == {Quality.GOOD}
        )

    async def until_missing(self, reason: Reason, *names: str) -> None:
        await self.until(lambda: {(r.value, *r.reasons) for r in self.newest(*names).values()} == {(None, reason)})


@pytest.fixture
async def rehearsal(tmp_path: Path) -> AsyncIterator[Rehearsal]:
    wires: dict[str, AnyWire] = {
        "cabinet": ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port(), timeout_s=0.1),
        "field": ModbusRtuWire(kind="modbus_rtu", port="run/tty", baud=115200, timeout_s=0.1),
    }
    clock = SteadyClock()
    around = drivers.Surroundings(clock, tmp_path)
    async with simulated(wires, devices(), tmp_path, clock=clock) as far:
        built = {
            name: drivers.build(name, wire, {d: its for d, its in devices().items() if its[0].wire == name}, around)
            for name, wire in wires.items()
        }
        signals = [signal for driver in built.values() for signal in driver.signals]
        points = {"*/water_level": PointSettings(stuck_s=1)}
        made = Rehearsal(far, built, Pipeline(override(signals, points), clock), clock)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(Supervisor(driver, made.sink, clock).run()) for driver in built.values()]
            await made.until_good()
            made.heard.clear()
            yield made
            for task in tasks:
                task.cancel()


# --- every shipped scenario on a small site, and what the gateway says of it --------------------------------------


def test_every_shipped_scenario_has_its_test_here() -> None:
    tested = {name.removeprefix("test_").split("_says_")[0] for name in globals() if "_says_" in name}
    assert tested == {name.replace("-", "_") for name in SHIPPED if name != "demo"}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_has_work_at_a_site_that_has_everything(name: str) -> None:
    scenario, findings = read_scenario(own_folder() / f"{name}.yaml")
    assert (scenario and scenario.scenario, [str(f) for f in findings]) == (name, [])
    assert scenario is not None
    kinds = {"cabinet": "modbus_tcp", "field": "modbus_rtu"}
    found = [targets(step, kinds, devices()) for step in scenario.steps]
    assert any(found), "a rehearsal in which nothing happens"


async def test_rising_flood_says_good_levels_through_every_threshold_and_no_spike(rehearsal: Rehearsal) -> None:
    performance = rehearsal.performance("rising-flood", speed=5400 / 4)
    await performance.run(lambda _: None)
    await rehearsal.until(lambda: abs(levels(rehearsal)[-1] - levels(rehearsal)[0]) < 0.3)
    heard = [r for r in rehearsal.heard if r.signal == "level/water_level"]
    assert {(r.quality, r.reasons) for r in heard} == {(Quality.GOOD, ())}
    low, high = min(levels(rehearsal)), max(levels(rehearsal))
    assert high - low > 2.3
    for threshold in (low + 0.5, low + 1, low + 2):
        assert any(a < threshold <= b for a, b in itertools.pairwise(levels(rehearsal)))
    distances = [float(r.value or 0) for r in rehearsal.heard if r.signal == "level/distance"]
    assert min(distances) == pytest.approx(8 - high, abs=0.2), "what follows the level follows the flood"


def levels(rehearsal: Rehearsal) -> list[float]:
    return [float(r.value) for r in rehearsal.heard if r.signal == "level/water_level" and r.value is not None]


async def test_stuck_probe_says_stuck_and_then_moves_again(rehearsal: Rehearsal) -> None:
    begins, ends = cues_on(rehearsal.performance("stuck-probe"), "level/water_level")
    performance = rehearsal.performance("stuck-probe")
    assert Reason.STUCK not in reasons(rehearsal.heard)
    await performance.perform(begins)
    await rehearsal.until(lambda: rehearsal.newest()["level/water_level"].reasons == (Reason.STUCK,))
    stuck = rehearsal.newest()["level/water_level"]
    assert (stuck.quality, stuck.value is None) == (Quality.UNCERTAIN, False)
    assert rehearsal.newest()["level/distance"].value == pytest.approx(8 - float(stuck.value or 0), abs=0.002)
    await performance.perform(ends)
    await rehearsal.until(lambda: rehearsal.newest()["level/water_level"].quality is Quality.GOOD)


def cues_on(performance: Performance, target: str) -> list[Cue]:
    return [cue for cue in performance.cues if target in cue.targets]


def reasons(heard: Sequence[Reading]) -> set[Reason]:
    return {reason for reading in heard for reason in reading.reasons}


async def test_lamp_failure_says_not_verified_and_half_the_current(rehearsal: Rehearsal) -> None:
    performance, lamps = rehearsal.performance("lamp-failure"), rehearsal.drivers["cabinet"]
    fails, recovers, lamps_out, lamps_mended = performance.cues
    said = await lamps.apply("lamps/circuit_1", True)
    assert (said.reading.value, said.verified) == (True, True)
    await performance.perform(fails)
    said = await lamps.apply("lamps/circuit_1", False)
    assert (said.reading.signal, said.reading.value, said.verified) == ("lamps/contactor_1", True, False)
    assert (await lamps.read("lamps/circuit_1")).value is False, "the coil took the command; the contactor hangs"
    assert float((await lamps.read("lamps/current_1")).value or 0) > 15
    assert (await lamps.apply("lamps/circuit_2", True)).verified
    await performance.perform(recovers)
    assert (await lamps.read("lamps/contactor_1")).value is False, "mended, it does what was asked last"
    await lamps.apply("lamps/circuit_1", True)
    whole = float((await lamps.read("lamps/current_1")).value or 0)
    await performance.perform(lamps_out)
    assert float((await lamps.read("lamps/current_1")).value or 0) == pytest.approx(whole / 2, abs=0.02)
    await performance.perform(lamps_mended)
    assert (await lamps.read("lamps/current_1")).value == whole


async def test_broken_wire_says_no_answer_then_link_down_and_heals_by_itself(rehearsal: Rehearsal) -> None:
    performance = rehearsal.performance("broken-wire")
    cut, mended, pulled, back = performance.cues
    await performance.perform(cut)
    await rehearsal.until_missing(Reason.NO_ANSWER, "lamps", "meter")
    await performance.perform(mended)
    await rehearsal.until_good("lamps", "meter")
    await performance.perform(pulled)
    await rehearsal.until_missing(Reason.LINK_DOWN, "lamps", "meter")
    await performance.perform(back)
    await rehearsal.until_good("lamps", "meter")
    assert reasons([r for r in rehearsal.heard if r.signal.startswith("level/")]) == set(), "the other wire goes on"


async def test_bus_noise_says_bad_frame_and_never_a_wrong_value(rehearsal: Rehearsal) -> None:
    world = rehearsal.far.devices["level"].world
    step = {"water_level": 0.02, "distance": 0.02, "temperature": 0.1, "echo": 0.7}  # rounded, and moved on since
    off: list[float] = []

    def compare(reading: Reading) -> None:
        device, _, point = reading.signal.rpartition("/")
        if device == "level" and reading.value is not None:
            off.append(abs(float(reading.value) - float(world.value(point))) / step[point])

    rehearsal.listen = compare
    performance = rehearsal.performance("bus-noise")
    for begins, ends in (performance.cues[:2], performance.cues[2:]):
        rehearsal.heard.clear()
        await performance.perform(begins)
        await rehearsal.until(lambda: sum(r.reasons == (Reason.BAD_FRAME,) for r in rehearsal.heard) >= 60)
        await performance.perform(ends)
        assert reasons(rehearsal.heard) <= {Reason.BAD_FRAME, Reason.NO_ANSWER}, "a flipped unit number is no answer"
        await rehearsal.until_good()
    assert len(off) > 40
    assert max(off) < 1


async def test_silent_unit_says_no_answer_while_its_neighbour_goes_on(rehearsal: Rehearsal) -> None:
    performance = rehearsal.performance("silent-unit")
    falls_silent, speaks = performance.cues
    assert falls_silent.targets == ("lamps",)
    await performance.perform(falls_silent)
    await rehearsal.until_missing(Reason.NO_ANSWER, "lamps")
    heard = len(rehearsal.heard)
    await rehearsal.until(lambda: sum(r.signal == "meter/frequency" for r in rehearsal.heard[heard:]) >= 8, 4)
    assert {r.quality for r in rehearsal.heard if r.signal.startswith("meter/")} == {Quality.GOOD}
    await performance.perform(speaks)
    await rehearsal.until_good()


async def test_power_cut_says_link_down_everywhere_and_nothing_is_zero(rehearsal: Rehearsal) -> None:
    performance = rehearsal.performance("power-cut")
    gone, back = performance.cues
    assert gone.targets == ("cabinet", "field")
    await performance.perform(gone)
    rehearsal.heard.clear()
    await rehearsal.until_missing(Reason.LINK_DOWN)
    assert 0.0 not in {r.value for r in rehearsal.heard if r.signal == "level/water_level"}
    await performance.perform(back)
    await rehearsal.until_good()


# --- time ---------------------------------------------------------------------------------------------------------


async def test_steps_happen_in_order_at_their_time_and_faster_on_request(rehearsal: Rehearsal) -> None:
    scenario = scenario_of(
        {"at": "2s", "for": "4s", "on": {"devices": "air"}, "do": {"silent": True}},
        {"at": "0s", "for": "2s", "on": {"devices": "level"}, "do": {"silent": True}},
    )
    told: list[tuple[float, bool, tuple[str, ...], float]] = []
    began = rehearsal.clock.monotonic()

    def tell(cue: Cue) -> None:
        told.append((cue.at_s, cue.begins, cue.targets, rehearsal.clock.monotonic() - began))

    await Performance(scenario, rehearsal.far, rehearsal.clock, speed=10).run(tell)
    assert [entry[:3] for entry in told] == [
        (0, True, ("level",)), (2, False, ("level",)), (2, True, ("air",)), (6, False, ("air",)),
    ]  # fmt: skip
    for at_s, _, _, took_s in told:
        assert at_s / 10 <= took_s < at_s / 10 + 0.3


async def test_faults_add_up_and_end_one_by_one(rehearsal: Rehearsal) -> None:
    scenario = scenario_of(
        {"at": "0s", "for": "4s", "on": {"devices": "*"}, "do": {"delay": "20ms"}},
        {"at": "1s", "for": "1s", "on": {"devices": "air"}, "do": {"bit_errors": 0.5}},
        {"at": "1s", "for": "2s", "on": {"wires": "cabinet"}, "do": {"unplug": True}},
        {"at": "2s", "for": "2s", "on": {"wires": "*"}, "do": {"unplug": True}},
    )
    performance = Performance(scenario, rehearsal.far, rehearsal.clock)
    seen = []
    for cue in performance.cues:
        await performance.perform(cue)
        fault = rehearsal.far.devices["air"].fault
        seen.append((fault.delay_s, fault.noise, *(plugged(rehearsal, name) for name in ("cabinet", "field"))))
    assert seen == [
        (0.02, 0.0, True, True),
        (0.02, 0.5, True, True),
        (0.02, 0.5, False, True),
        (0.02, 0.0, False, True),
        (0.02, 0.0, False, False),
        (0.02, 0.0, False, False),
        (0.0, 0.0, False, False),
        (0.0, 0.0, True, True),
    ]


def plugged(rehearsal: Rehearsal, name: str) -> bool:
    end: Any = rehearsal.far.wires[name]
    return bool(end._server if name == "cabinet" else end._fds)


def scenario_of(*steps: Mapping[str, Any]) -> Scenario:
    said = {"say_en": "something", "say_vi": "việc gì đó"}
    titles = dict.fromkeys(("title_en", "title_vi", "teaches_en", "teaches_vi"), "x")
    return Scenario.model_validate({"scenario": "x", **titles, "steps": [{**said, **step} for step in steps]})


# --- values -------------------------------------------------------------------------------------------------------


def world(seed: int = 0) -> tuple[World, ManualClock]:
    clock = ManualClock()
    points = {**PROFILES["light-cabinet-vn"].points_by_name(), **PROFILES["water-level-radar"].points_by_name()}
    return World("box", points, clock, seed), clock


def course(point: str, effect: dict[str, Any], *at: float, seed: int = 0, speed: float = 1.0) -> Iterator[float]:
    """How far a point is from where it would be, at these times."""
    (bent, clock), (straight, same) = world(seed), world(seed)
    bent.change(point, Effect.model_validate(effect), speed=speed)
    now = 0.0
    for moment in at:
        clock.advance(moment - now)
        same.advance(moment - now)
        now = moment
        yield float(bent.value(point)) - float(straight.value(point))


def test_a_ramp_rises_evenly_and_stays() -> None:
    ramp = {"ramp": {"by": 2, "over": 100}}
    assert list(course("water_level", ramp, 0, 25, 50, 100, 300)) == pytest.approx([0, 0.5, 1, 2, 2])
    assert list(course("water_level", ramp, 0, 5, 10, speed=10)) == pytest.approx([0, 1, 2])
    assert list(course("distance", {"ramp": {"by": 1, "over": 0}}, 0, 10)) == pytest.approx([1, 1])


def test_a_ramp_to_a_value_ends_there_whatever_the_point_would_do() -> None:
    it, clock = world()
    begun = float(it.value("water_level"))
    it.change("water_level", Effect.model_validate({"ramp": {"to": 9, "over": 100}}))
    assert it.value("water_level") == pytest.approx(begun)
    clock.advance(50)
    assert it.value("water_level") == pytest.approx((begun + 9) / 2)
    clock.advance(500)
    assert it.value("water_level") == pytest.approx(9)
    assert it.value("distance") == pytest.approx(8 - 9), "who follows it follows there"


@pytest.mark.parametrize(
    ("effect", "expect"),
    [
        ({"spike": 5}, [5, 5]),
        ({"drift_per_hour": 3.6}, [0, 0.1]),
        ({"factor": 1}, [0, 0]),
        ({"ignore_writes": True}, [0, 0]),
    ],
)
def test_what_an_effect_adds(effect: dict[str, Any], expect: list[float]) -> None:
    assert list(course("voltage_l1", effect, 0, 100)) == pytest.approx(expect)


def test_noise_is_different_each_time_and_the_same_for_the_same_seed() -> None:
    noise = [list(course("voltage_l1", {"noise": 2}, *range(50), seed=seed)) for seed in (1, 1, 2)]
    assert noise[0] == noise[1] != noise[2]
    assert max(map(abs, noise[0])) <= 2
    assert max(noise[0]) > 1
    assert min(noise[0]) < -1


def test_changes_end_one_by_one_and_leave_nothing_behind() -> None:
    (it, clock), (straight, same) = world(), world()
    up = it.change("water_level", Effect(spike=1))
    held = it.change("water_level", Effect(hold=True))
    clock.advance(100)
    same.advance(100)
    assert it.value("water_level") != straight.value("water_level")
    it.restore("water_level", held)
    assert float(it.value("water_level")) - float(straight.value("water_level")) == pytest.approx(1)
    it.restore("water_level", up)
    assert it.value("water_level") == straight.value("water_level")


def test_contacts_and_texts_are_held_or_set_and_nothing_else() -> None:
    it, _ = world()
    it.change("door", Effect(set=True))
    it.change("photocell", Effect(spike=3))
    assert (it.value("door"), it.value("photocell")) == (True, False)
    held = it.change("contactor_1", Effect(hold=True))
    it.write("circuit_1", True)
    assert (it.value("circuit_1"), it.value("contactor_1"), it.value("current_1")) == (True, False, 0.08)
    it.restore("contactor_1", held)
    assert it.value("contactor_1") is True


def test_a_dimmer_that_ignores_writes_reads_back_its_old_level() -> None:
    it, _ = world()
    it.write("dim", 80)
    ignoring = it.change("dim", Effect(ignore_writes=True))
    it.write("dim", 30)
    assert (it.value("dim"), it.value("dim_state")) == (30, 80)
    it.restore("dim", ignoring)
    assert it.value("dim_state") == 30


# --- what a scenario may say --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "do", "expect"),
    [
        ({"indicator": "flood.level"}, {"hold": True}, ("level/water_level",)),
        ({"points": "*/current_?", "devices": "lamps", "at_most": 1}, {"factor": 2}, ("lamps/current_1",)),
        ({"indicator": "light.state", "at_most": 2}, {"ignore_writes": True}, ("lamps/circuit_1", "lamps/circuit_2")),
        ({"indicator": "light.door_open"}, {"set": True}, ("lamps/door",)),
        ({"indicator": "light.door_open"}, {"set": 1.5}, ()),
        ({"indicator": "light.door_open"}, {"spike": 1}, ()),
        ({"points": "*", "kinds": ["modbus_rtu"], "at_most": 1}, {"noise": 1}, ("level/water_level",)),
        ({"devices": "*", "wires": "field"}, {"refuse": 4}, ("level", "air")),
        ({"kinds": ["modbus_tcp"]}, {"garbage": True}, ("cabinet",)),
        ({"wires": "*"}, {"unplug": True}, ("cabinet", "field")),
        ({"wires": "west"}, {"unplug": True}, ()),
    ],
)  # fmt: skip
def test_targets_are_found_by_pattern_indicator_and_kind(on: Any, do: Any, expect: tuple[str, ...]) -> None:
    step = Step.model_validate({"at": "0s", "on": on, "do": do, "say_en": "x", "say_vi": "x"})
    assert targets(step, {"cabinet": "modbus_tcp", "field": "modbus_rtu"}, devices()) == expect


BROKEN = """\
scenario: other
title_en: x
title_vi: x
teaches_en: x
steps:
  - {at: 3 years, on: {indikator: x}, do: {silent: true, garbage: true}, say_en: a, say_vi: b}
  - {at: 3s, on: {indicator: x}, do: {silent: true}, say_en: a, say_vi: b}
  - {at: 3s, on: {kinds: [modbus]}, do: {unplug: false}, say_en: a, say_vi: b}
  - {at: 3s, on: {devices: "*"}, do: {ramp: {by: 1, to: 2, over: 1h}}, say_en: a, say_vi: b}
  - {at: 3s, on: {devices: "*"}, do: {unplug: true}, say_en: a, say_vi: b}
"""


def test_mistakes_in_a_scenario_are_findings_at_their_place(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(BROKEN, encoding="utf-8")
    scenario, findings = read_scenario(file)
    assert scenario is None
    assert {(f.line, f.column, str(f.code), f.path) for f in findings} == {
        (1, 1, "bad-value", "scenario"),
        (1, 1, "missing-key", "teaches_vi"),
        (6, 6, "bad-value", "steps[0].at"),
        (6, 24, "unknown-key", "steps[0].on.indikator"),
        (6, 39, "bad-value", "steps[0].do"),
        (7, 39, "bad-value", "steps[1].do.silent"),
        (8, 27, "bad-value", "steps[2].on.kinds[0]"),
        (8, 42, "bad-value", "steps[2].do.unplug"),
        (9, 39, "bad-value", "steps[3].do.ramp"),
        (10, 39, "bad-value", "steps[4].do.unplug"),
    }
    assert "did you mean 'indicator'?" in {f.hint for f in findings}


def test_a_scenario_beside_the_site_comes_before_our_own(tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    text = (own_folder() / "power-cut.yaml").read_text(encoding="utf-8").replace("Power cut in the cabinet", "Ours")
    (tmp_path / "scenarios" / "power-cut.yaml").write_text(text, encoding="utf-8")
    assert load_scenario("power-cut", tmp_path).title_en == "Ours"
    assert load_scenario(str(tmp_path / "scenarios" / "power-cut.yaml"), Path()).title_en == "Ours"
    with pytest.raises(BadArgument) as caught:
        load_scenario("power-cuts", tmp_path)
    assert "power-cut" in caught.value.hint


def test_durations_are_written_with_their_unit() -> None:
    assert [seconds(text) for text in ("90s", "2min", "1.5h", "250ms", "2 m")] == [90, 120, 5400, 0.25, 120]
    for text in ("90", "2 years", "-1s", "", "s"):
        with contextlib.suppress(ValueError):
            raise AssertionError(f"{text!r} is {seconds(text)} s")
