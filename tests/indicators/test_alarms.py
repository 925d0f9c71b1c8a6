"""Promises of alarms: raised once it holds, cleared once it is over, never twice, never by silence."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.indicators.alarms import Alarms
from gateway.model.alarm import Alarm, AlarmState
from gateway.model.errors import BadArgument
from gateway.model.limit import Limit, Threshold
from gateway.model.measure import Kind, Signal

NOW = 1_795_322_220_000
HOUR_MS = 3_600_000
LEVEL = Signal(
    id="bridge/level", point="bridge/level", indicator="water.level", unit="m", kind=Kind.MEAN, every_s=10,
    name_en="Level at the bridge", name_vi="Mực nước tại cầu",
)  # fmt: skip
LIMIT = Limit(op="<", value=2.5, over_s=0, basis="QĐ 05/2020/QĐ-TTg", clause="", profile="flood")
RULE = Threshold(id="flood/bridge", limit=LIMIT, levels=(2.5, 3.5), hysteresis=0.1, hold_s=30, clear_s=60)


def alarms_of(*rules: Threshold, signal: Signal = LEVEL) -> Alarms:
    return Alarms({signal.id: rules}, {signal.id: signal})


def fed(alarms: Alarms, values: Iterable[float | None], *, from_ms: int = NOW, every_s: int = 10) -> list[Alarm]:
    return [
        message
        for n, value in enumerate(values)
        for message in alarms.look(LEVEL.id, value, from_ms + n * every_s * 1000)
    ]


def told(messages: Iterable[Alarm]) -> list[tuple[str, int, int]]:
    """State, level, seconds since the first value."""
    return [(message.state.value, message.level, (message.at_ms - NOW) // 1000) for message in messages]


def test_it_is_raised_after_its_hold_and_cleared_after_its_own_delay() -> None:
    messages = fed(alarms_of(RULE), [2.0] + [2.6] * 5 + [2.0] * 10)
    assert told(messages) == [("raised", 1, 40), ("cleared", 1, 120)]
    raised, cleared = messages
    assert raised.id == cleared.id
    assert raised.opened_ms == NOW + 10_000, "it began when the value went beyond, not when it had held"
    assert (cleared.cleared_ms, cleared.value, cleared.peak) == (NOW + 120_000, 2.0, 2.6)


def test_a_value_that_does_not_stay_raises_nothing() -> None:
    assert fed(alarms_of(RULE), [2.6, 2.6, 2.6, 2.4] * 20) == []


def test_a_higher_level_comes_after_its_own_hold_and_a_lower_one_past_the_hysteresis() -> None:
    messages = fed(alarms_of(RULE), [2.6] * 5 + [3.6] * 4 + [3.4] * 9 + [3.39] * 7 + [2.39] * 7)
    assert told(messages) == [("raised", 1, 30), ("level", 2, 80), ("level", 1, 240), ("cleared", 1, 310)]
    assert len({message.id for message in messages}) == 1
    assert messages[-1].peak == 3.6


def test_what_is_high_at_once_is_raised_at_its_level_with_one_message() -> None:
    assert told(fed(alarms_of(RULE), [9.0] * 10)) == [("raised", 2, 30)]


def test_inside_the_hysteresis_it_stays_open() -> None:
    alarms = alarms_of(RULE)
    fed(alarms, [2.6] * 4 + [2.45] * 100)
    assert [alarm.value for alarm in alarms.open()] == [2.45]


def test_a_limit_from_below_counts_downwards() -> None:
    oxygen = replace(RULE, limit=replace(LIMIT, op=">=", value=4.0), levels=(4.0, 2.0))
    messages = fed(alarms_of(oxygen), [5.0, 4.0] + [3.0] * 4 + [1.0] * 4 + [4.05] * 7 + [4.1] * 7)
    assert told(messages) == [("raised", 1, 50), ("level", 2, 90), ("level", 1, 160), ("cleared", 1, 230)]
    assert messages[-1].peak == 1.0


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf")])
def test_no_value_neither_raises_nor_clears(nothing: float | None) -> None:
    alarms = alarms_of(RULE)
    assert fed(alarms, [2.6, *[nothing] * 1000]) == []
    assert told(fed(alarms, [2.6] * 4, from_ms=NOW + HOUR_MS * 3)) == [("raised", 1, 10_800)]
    assert fed(alarms, [nothing] * 1000, from_ms=NOW + HOUR_MS * 4) == []
    assert len(alarms.open()) == 1


def test_a_silence_counts_for_a_hold_no_longer_than_three_readings() -> None:
    patient = replace(RULE, hold_s=120)
    assert fed(alarms_of(patient), [2.6, *[None] * 11, 2.6]) == [], "30 s of the 120 s are believed"
    assert told(fed(alarms_of(patient), [2.6, None, 2.6, 2.6, None, None, *[2.6] * 8])) == [("raised", 1, 120)]


def test_an_unknown_value_is_no_value() -> None:
    alarms = alarms_of(replace(RULE, hold_s=0))
    assert alarms.look(LEVEL.id, 9.0, NOW, unknown=True) == []
    alarms.look(LEVEL.id, 9.0, NOW + 1)
    assert alarms.look(LEVEL.id, 0.0, NOW + HOUR_MS, unknown=True) == []


def test_what_ended_in_an_outage_is_cleared_by_the_first_good_value() -> None:
    alarms = alarms_of(RULE)
    fed(alarms, [2.6] * 4)
    again = restarted(alarms, RULE)
    assert again.look(LEVEL.id, None, NOW + HOUR_MS) == []
    assert told(again.look(LEVEL.id, 1.0, NOW + HOUR_MS)) == [("cleared", 1, 3600)]


def test_what_is_still_so_after_an_outage_is_not_raised_again() -> None:
    alarms = alarms_of(RULE)
    (raised,) = fed(alarms, [2.6] * 4)
    again = restarted(alarms, RULE)
    assert fed(again, [2.7] * 20, from_ms=NOW + HOUR_MS) == []
    assert [(alarm.id, alarm.value) for alarm in again.open()] == [(raised.id, 2.7)]


def restarted(alarms: Alarms, *rules: Threshold) -> Alarms:
    """Another start with these rules; what was kept went through a file."""
    again = alarms_of(*rules)
    assert again.restore(json.loads(json.dumps(alarms.state(), allow_nan=False)), NOW + HOUR_MS) == []
    return again


@pytest.mark.parametrize(
    ("change", "word"),
    [({"confirmed": False}, "not confirmed"), ({"to_ms": NOW + HOUR_MS}, "not in force")],
)
def test_a_rule_that_does_not_judge_raises_nothing_and_ends_what_it_raised(change: dict[str, Any], word: str) -> None:
    alarms = alarms_of(RULE)
    fed(alarms, [2.6] * 4)
    silent = replace(RULE, **change)
    again = restarted(alarms, silent)
    (cleared,) = again.look(LEVEL.id, None, NOW + HOUR_MS)
    assert cleared.state is AlarmState.CLEARED
    assert word in cleared.text_en
    assert cleared.text_vi.startswith("Kết thúc")
    assert fed(again, [9.0] * 50, from_ms=NOW + 2 * HOUR_MS) == []


def test_an_alarm_whose_rule_is_gone_is_ended_at_the_start_and_says_so() -> None:
    alarms = alarms_of(RULE)
    (raised,) = fed(alarms, [2.6] * 4)
    for others in (alarms_of(replace(RULE, id="another")), alarms_of(replace(RULE, alarm=False)), Alarms({}, {})):
        (cleared,) = others.restore(alarms.state(), NOW + HOUR_MS)
        assert (cleared.id, cleared.state, cleared.cleared_ms) == (raised.id, AlarmState.CLEARED, NOW + HOUR_MS)
        assert "rule is not there" in cleared.text_en
        assert "quy tắc không còn" in cleared.text_vi
        assert (others.open(), others.state()["rules"]) == ([], [])


@pytest.mark.parametrize(
    "kept",
    [{}, {"rules": 5}, {"rules": [5, None, {}, {"signal": "bridge/level"}]},
     {"v": 99, "rules": [{"signal": [], "rule": 1}]},
     {"rules": [{"signal": "bridge/level", "rule": "flood/bridge", "alarm": {"id": "x"}}]}],
)  # fmt: skip
def test_what_cannot_be_read_is_left_out_and_nothing_fails(kept: dict[str, Any]) -> None:
    alarms = alarms_of(RULE)
    assert alarms.restore(kept, NOW) == []
    assert told(fed(alarms, [2.6] * 4)) == [("raised", 1, 30)]


def test_an_alarm_survives_timers_that_cannot_be_read_and_levels_that_became_fewer() -> None:
    alarms = alarms_of(RULE)
    (raised,) = fed(alarms, [9.0] * 4)
    kept = alarms.state()
    kept["rules"][0] = {key: kept["rules"][0][key] for key in ("signal", "rule", "alarm")}
    again = alarms_of(replace(RULE, levels=(2.5,)))
    assert again.restore(kept, NOW) == []
    assert [(alarm.id, alarm.level) for alarm in again.open()] == [(raised.id, 1)]
    assert told(fed(again, [1.0] * 7, from_ms=NOW + HOUR_MS)) == [("cleared", 1, 3600)]


def test_acknowledging_says_who_and_leaves_it_open_until_the_value_is_back() -> None:
    alarms = alarms_of(RULE)
    (raised,) = fed(alarms, [2.6] * 4)
    (seen,) = alarms.acknowledge(raised.id, "Lê Văn A", NOW + 35_000)
    assert (seen.id, seen.state, seen.by, seen.acknowledged_ms) == (raised.id, "acknowledged", "Lê Văn A", NOW + 35_000)
    assert alarms.acknowledge(raised.id, "B", NOW + 36_000) == [], "once is enough"
    (worse,) = fed(alarms, [3.6] * 4, from_ms=NOW + 40_000)
    assert (worse.level, worse.by) == (2, ""), "what became worse is to be seen anew"
    alarms.acknowledge(raised.id, "B", NOW + 80_000)
    *_, cleared = fed(alarms, [1.0] * 10, from_ms=NOW + 90_000)
    assert (cleared.state, cleared.by) == (AlarmState.CLEARED, "B")
    with pytest.raises(BadArgument, match="no open alarm"):
        alarms.acknowledge(raised.id, "B", NOW + HOUR_MS)


def test_a_rule_that_flaps_stays_open_longer_and_longer_until_it_is_calm() -> None:
    nervous = replace(RULE, hysteresis=0, hold_s=0, clear_s=0)
    alarms = alarms_of(nervous)
    messages = fed(alarms, [2.6, 2.4] * 180)
    assert len(messages) < 20, f"{len(messages)} of 360 in an hour"
    fed(alarms, [2.4] * 800, from_ms=NOW + HOUR_MS)
    assert alarms.open() == []
    calm = fed(alarms, [2.6, 2.4], from_ms=NOW + 5 * HOUR_MS)
    assert [message.state for message in calm] == ["raised", "cleared"], "it is calm again"


def test_two_rules_of_one_signal_and_one_rule_of_two_signals_have_ids_of_their_own() -> None:
    other = replace(LEVEL, id="weir/level")
    quick = replace(RULE, hold_s=0)
    alarms = Alarms({LEVEL.id: [quick, replace(quick, id="b")], other.id: [quick]}, {LEVEL.id: LEVEL, other.id: other})
    messages = alarms.look(LEVEL.id, 9.0, NOW) + alarms.look(other.id, 9.0, NOW) + alarms.look("unknown", 9.0, NOW)
    assert len({message.id for message in messages}) == 3
    assert [alarm.id for alarm in alarms.open()] == sorted(message.id for message in messages)


def test_a_signal_is_hot_from_the_first_value_beyond_to_the_clearing() -> None:
    alarms = alarms_of(RULE)
    hot = [bool(fed(alarms, [value], from_ms=NOW + n * 10_000)) or alarms.hot() for n, value in enumerate([2.0, 2.6])]
    assert hot == [frozenset(), {LEVEL.id}]
    assert restarted(alarms, RULE).hot() == {LEVEL.id}
    fed(alarms, [1.0] * 7, from_ms=NOW + 30_000)
    assert alarms.hot() == frozenset()


def test_a_late_value_says_nothing_and_a_clock_that_was_set_back_does_not_silence() -> None:
    alarms = alarms_of(RULE)
    fed(alarms, [2.6] * 3)
    assert alarms.look(LEVEL.id, 2.0, NOW + 15_000) == []
    assert told(alarms.look(LEVEL.id, 2.6, NOW + 30_000)) == [("raised", 1, 30)]
    back = fed(alarms, [1.0] * 8, from_ms=NOW - 24 * HOUR_MS)
    assert [message.state for message in back] == ["cleared"]
    assert back[0].at_ms >= NOW + 30_000, "the messages of one alarm never go back in time"


def test_texts_are_in_both_languages_with_the_decimal_mark_of_each() -> None:
    (raised,) = fed(alarms_of(replace(RULE, hold_s=0)), [2.61])
    assert raised.text_en == "Level 1: Level at the bridge (bridge/level) 2.61 m, limit < 2.5 m (QĐ 05/2020/QĐ-TTg)"
    assert raised.text_vi == "Cấp 1: Mực nước tại cầu (bridge/level) 2,61 m, giới hạn < 2,5 m (QĐ 05/2020/QĐ-TTg)"
    own = replace(RULE, hold_s=0, clear_s=0, text_en="Flood {roman}: {value}", text_vi="Báo động {roman}, {x}: {value}")
    raised, cleared = fed(alarms_of(own), [3.6, 2.0])
    assert (raised.text_en, raised.text_vi) == ("Flood II: 3.6 m", "Báo động II, {x}: 3,6 m")
    assert (cleared.text_en, cleared.text_vi) == ("Over: Flood II: 2 m", "Đã hết: Báo động II, {x}: 2 m")


@given(st.text(max_size=300), st.text(max_size=300), st.floats(allow_nan=False, allow_infinity=False))
def test_no_text_is_longer_than_a_short_message(name: str, basis: str, value: float) -> None:
    signal = replace(LEVEL, name_en=name, name_vi=name)
    rule = replace(RULE, hold_s=0, clear_s=0, hysteresis=0, limit=replace(LIMIT, basis=basis), levels=(-1e308,))
    alarms = alarms_of(rule, signal=signal)
    for message in alarms.look(LEVEL.id, value, NOW) + alarms.look(LEVEL.id, -1.7e308, NOW + 1):
        assert 0 < len(message.text_en) <= 160
        assert 0 < len(message.text_vi) <= 160


# --- for any sequence -------------------------------------------------------------------------------------------------

sequences = st.lists(
    st.tuples(
        st.sampled_from([1, 1000, 10_000, 10_000, 10_000, 45_000, 600_000, 2 * HOUR_MS]),
        st.none() | st.sampled_from([2.0, 2.39, 2.4, 2.45, 2.5, 2.6, 3.39, 3.45, 3.6, 9.0]) | st.floats(),
    ),
    max_size=60,
)
rules = st.builds(
    replace,
    st.just(RULE),
    limit=st.sampled_from([LIMIT, replace(LIMIT, op="<=")]),
    hysteresis=st.sampled_from([0.0, 0.1]),
    hold_s=st.sampled_from([0.0, 0.001, 30.0]),
    clear_s=st.sampled_from([0.0, 20.0]),
    to_ms=st.sampled_from([None, None, NOW + 60_000]),
)


def looks(sequence: list[tuple[int, float | None]]) -> list[tuple[int, float | None]]:
    at_ms, found = NOW, []
    for step_ms, value in sequence:
        at_ms += step_ms
        found.append((at_ms, value))
    return found


@given(rules, sequences)
def test_every_alarm_has_one_beginning_and_one_end(rule: Threshold, sequence: list[tuple[int, float | None]]) -> None:
    alarms, open_id, ids, before_ms = alarms_of(rule), "", [], 0
    for at_ms, value in looks(sequence):
        for message in alarms.look(LEVEL.id, value, at_ms):
            assert (message.state is AlarmState.RAISED) == (open_id == "")
            if message.state is AlarmState.RAISED:
                ids.append(message.id)
            open_id = "" if message.state is AlarmState.CLEARED else message.id
            assert message.id == ids[-1]
            assert 1 <= message.level <= len(rule.levels)
            assert before_ms <= message.at_ms == at_ms >= message.peak_ms >= message.opened_ms
            assert message.peak >= rule.levels[0]
            before_ms = message.at_ms
        assert [alarm.id for alarm in alarms.open()] == ([open_id] if open_id else [])
    assert ids == sorted(set(ids))


@settings(max_examples=150)
@given(rules, sequences, st.sets(st.integers(0, 60)))
def test_restarts_anywhere_change_nothing_that_is_said(
    rule: Threshold, sequence: list[tuple[int, float | None]], stops: set[int]
) -> None:
    steady, restarting = alarms_of(rule), alarms_of(rule)
    for n, (at_ms, value) in enumerate(looks(sequence)):
        if n in stops:
            kept = json.loads(json.dumps(restarting.state(), allow_nan=False))
            restarting = alarms_of(rule)
            assert restarting.restore(kept, at_ms) == []
        assert restarting.look(LEVEL.id, value, at_ms) == steady.look(LEVEL.id, value, at_ms)
        assert (restarting.open(), restarting.hot()) == (steady.open(), steady.hot())


wrecks: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.sampled_from([[], {}, [1, "x"]])
)


@given(st.data(), st.booleans())
def test_whatever_became_of_what_was_kept_alarms_go_on(data: st.DataObject, is_open: bool) -> None:
    alarms = alarms_of(RULE)
    fed(alarms, [2.6] * (4 if is_open else 2))
    kept = json.loads(json.dumps(alarms.state()))
    (rule,) = kept["rules"]
    for target in (rule, rule["alarm"] or {}):
        for key in data.draw(st.sets(st.sampled_from(sorted(target)))) if target else ():
            target[key] = data.draw(wrecks)
    again = alarms_of(RULE)
    again.restore(kept, NOW + HOUR_MS)
    messages = fed(again, [3.6] * 20 + [1.0] * 500, from_ms=NOW + HOUR_MS, every_s=20)
    assert messages[-1].state is AlarmState.CLEARED
    assert again.open() == []


def test_a_mean_is_held_against_the_rule_of_its_own_time_not_of_the_one_that_begins_as_it_ends() -> None:
    tonight = replace(RULE, hold_s=0, from_ms=NOW)
    alarms = alarms_of(tonight)
    assert alarms.look(LEVEL.id, 2.6, NOW, of_ms=NOW - 1) == []
    assert told(alarms.look(LEVEL.id, 2.6, NOW + HOUR_MS, of_ms=NOW + HOUR_MS - 1)) == [("raised", 1, 3600)]
