"""What was measured: readings, their quality and reasons, and the signals they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Value = float | int | bool | str


class Quality(StrEnum):
    """How far a value may be trusted. `MISSING` if and only if there is no value."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"
    MISSING = "missing"


class Reason(StrEnum):
    """Why a value is not simply good. Travels to the operations centre as it stands here."""

    NO_ANSWER = "no_answer"
    BAD_FRAME = "bad_frame"
    DEVICE_REFUSED = "device_refused"
    LINK_DOWN = "link_down"
    OUT_OF_RANGE = "out_of_range"
    STUCK = "stuck"
    SPIKE = "spike"
    STALE = "stale"
    CALIBRATING = "calibrating"
    DEVICE_FAULT = "device_fault"
    OBSCURED_VIEW = "obscured_view"
    FRAMES_DROPPED = "frames_dropped"
    MODEL_LOW = "model_low"
    CLOCK_UNSYNCED = "clock_unsynced"
    PARTIAL = "partial"
    MANUAL = "manual"
    REPLAYED = "replayed"
    SIMULATED = "simulated"


class Kind(StrEnum):
    """How the readings of a window are reduced to the value that is published."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    SUM = "sum"
    DELTA = "delta"
    COUNT = "count"
    EVENT = "event"


class Forward(StrEnum):
    """What leaves the gateway: one record per window, one per reading, both, or windows only while an alarm is up."""

    WINDOWS = "windows"
    EVERY = "every"
    BOTH = "both"
    ON_ALARM = "on_alarm"


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, or one missing answer, from one signal.

    `at_ms` is the moment the answer arrived, in ms since 1970 UTC. `value` is None if and only if
    `quality` is MISSING, and then there is at least one reason.
    """

    signal: str
    at_ms: int
    value: Value | None
    quality: Quality = Quality.GOOD
    reasons: tuple[Reason, ...] = ()

    @classmethod
    def missing(cls, signal: str, at_ms: int, reason: Reason) -> Reading:
        return cls(signal, at_ms, None, Quality.MISSING, (reason,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What `judge` holds against a value. None switches a check off.

    low, high: plausible range in the signal's unit. max_step: largest believable change between two
    neighbouring readings. stuck_s: how long an unchanged value is believed; at least twice the
    instrument's own cycle, or slow analysers would look stuck all day.
    """

    low: float | None = None
    high: float | None = None
    max_step: float | None = None
    stuck_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One measured quantity of one point: everything the pipeline needs to know of it.

    id        unique in the site: "meter/power_total", "junction/l1/motorcycle/up"
    point     place in the catalogue ("meter/power_total", "junction/l1"): `pt` of a record
    indicator indicator code ("light.power", "traffic.count"): `ind` of a record
    tags      group keys ({"cls": "motorcycle", "dir": "up"}): `tg` of a record
    every_s   expected seconds between readings; window_s / every_s readings make a full window
    rollover  for Kind.DELTA: the counter value that follows the largest one (2**32), None for none
    """

    id: str
    point: str
    indicator: str
    unit: str
    kind: Kind
    every_s: float
    window_s: int = 60
    forward: Forward = Forward.WINDOWS
    tags: Mapping[str, str] = field(default_factory=dict)
    rule: Rule = Rule()
    rollover: float | None = None
    writable: bool = False
    name_en: str = ""
    name_vi: str = ""
