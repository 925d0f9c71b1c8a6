"""When a device that speaks by itself is believed, and when it is missed."""

from __future__ import annotations

import logging

from hypothesis import given
from hypothesis import strategies as st

from drivers.turns import Turns
from drivers.watch import Silence, Watch
from gateway.model.errors import NoAnswer
from gateway.model.measure import Reason, Value

SILENCE = NoAnswer("silence")


class Rig:
    def __init__(self, *signals: str, every_s: float = 10.0, rest_s: float | None = None) -> None:
        log = logging.getLogger("tests")
        self.watch = Watch("d", timeout_s=every_s, every_s=every_s, silence=Silence(), log=log)
        self.turns = Turns(signals, every_s, self.watch, 0.0, rest_s=rest_s)

    def heard(self, now: float, **values: Value | None) -> dict[str, Value | None]:
        return {r.signal: r.value for r in self.turns.heard(values, now, round(now * 1000))}

    def over(self, now: float) -> dict[str, Reason]:
        return {r.signal: r.reasons[0] for r in self.turns.over(now, round(now * 1000), SILENCE)}


def test_a_value_counts_once_a_turn_and_is_missed_after_one_and_a_half() -> None:
    rig = Rig("a")
    assert rig.heard(3, a=1.0) == {"a": 1.0}
    assert rig.heard(11.9, a=2.0) == {}
    assert rig.heard(12, a=3.0) == {"a": 3.0}
    assert rig.over(26.9) == {}
    assert rig.over(27) == {"a": Reason.NO_ANSWER}
    assert rig.over(36.9) == {}
    assert rig.over(37) == {"a": Reason.NO_ANSWER}
    assert rig.heard(37.1, a=4.0) == {"a": 4.0}
    assert rig.turns.ends == 37.1 + 15


def test_a_door_does_not_wait_for_its_turn() -> None:
    rig = Rig("door", "t")
    assert rig.heard(1, door=False, t=20.0) == {"door": False, "t": 20.0}
    assert rig.heard(2, door=False, t=21.0) == {}
    assert rig.heard(3, door=True, t=22.0) == {"door": True}
    assert rig.heard(4, door=True) == {}
    assert rig.heard(5, door=False) == {"door": False}


def test_devices_that_speak_of_what_happens_may_speak_between_their_turns() -> None:
    rig = Rig("level", every_s=600, rest_s=1)
    assert rig.heard(1, level=1.0) == {"level": 1.0}
    assert rig.heard(1.5, level=1.1) == {}
    assert rig.heard(2, level=1.2) == {"level": 1.2}


def test_rubbish_never_takes_the_turn_of_the_good_value_behind_it() -> None:
    rig = Rig("a", "b")
    rig.turns.spoil(["a"])
    assert rig.heard(1, a=1.0) == {"a": 1.0}
    rig.turns.spoil()
    assert rig.over(15) == {"b": Reason.BAD_FRAME}
    assert rig.over(16) == {"a": Reason.BAD_FRAME}
    assert rig.over(25) == {"b": Reason.NO_ANSWER}


def test_a_device_is_alive_while_it_speaks_of_anything() -> None:
    rig = Rig("often", "never")
    for now in range(1, 100, 10):
        rig.heard(now, often=float(now))
        rig.over(now)
    assert rig.watch.health.online
    assert rig.watch.health.failures == 0
    for now in range(100, 200, 5):
        rig.over(now)
    assert not rig.watch.health.online
    assert rig.watch.health.why == "no-answer"


def test_no_value_of_the_device_is_word_of_it_all_the_same() -> None:
    rig = Rig("a")
    (reading,) = rig.turns.heard({"a": None}, 1, 1000)
    assert (reading.value, reading.reasons) == (None, (Reason.DEVICE_FAULT,))
    assert rig.watch.health.online


@given(st.lists(st.tuples(st.floats(0.01, 30), st.booleans()), max_size=60))
def test_every_period_says_something_of_every_signal(steps: list[tuple[float, bool]]) -> None:
    rig, now, last = Rig("a"), 0.0, 0.0
    for pause, speaks in steps:
        while rig.turns.ends < now + pause:  # as a driver does: it wakes when a turn ends
            end = rig.turns.ends
            assert rig.over(end) == {"a": Reason.NO_ANSWER}
            assert end - last <= 15.000001
            last = end
        now += pause
        if speaks and rig.heard(now, a=now):
            last = now
