"""Scenarios: what happens to a site in a rehearsal, as pure data. One YAML file each in config/scenarios.

A step says when, for how long, on what, and what. It names points by indicator or by pattern, never by one site's
names, so that one scenario fits any site that has such points. There are no expressions.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from drivers.profiles.point import Strict
from drivers.settings import AnyWire

ON_POINTS: Final = ("ramp", "hold", "set", "spike", "noise", "drift_per_hour", "factor", "ignore_writes")
FAULTS: Final = ("silent", "garbage", "delay", "refuse", "bit_errors")
ON_WIRES: Final = ("unplug",)

WIRE_KINDS: Final = tuple(str(get_args(wire.model_fields["kind"].annotation)[0]) for wire in get_args(AnyWire))

_UNITS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ms|s|min|m|h)")


def seconds(text: str) -> float:
    """The seconds of "90s", "2min", "1.5h", "200ms". Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 30s, 2min or 1h")
    return float(match[1]) * _UNITS[match[2]]


def _duration(value: Any) -> Any:
    return seconds(value) if isinstance(value, str) else value


def _only_true(value: bool) -> bool:
    if not value:
        raise ValueError("write true, or leave it out")
    return value


def _known_kind(kind: str) -> str:
    if kind not in WIRE_KINDS:
        raise ValueError(f"{kind!r} is no kind of wire; there are {', '.join(WIRE_KINDS)}")
    return kind


Seconds = Annotated[float, BeforeValidator(_duration, json_schema_input_type=float | str), Field(ge=0, le=604_800)]
Yes = Annotated[bool, AfterValidator(_only_true)]
Kind = Annotated[str, AfterValidator(_known_kind)]
Pattern = Annotated[str, Field(min_length=1, max_length=100)]


class On(Strict):
    """What a step works on. Every key given must fit; `*` and `?` stand for anything.

    With `points` or `indicator` it is points, else with `devices` devices, else wires.
    """

    points: Pattern | None = Field(None, description='Names of points: "*/water_level".')
    indicator: Pattern | None = Field(None, description='Indicators of points: "flood.level", "light.*".')
    devices: Pattern | None = Field(None, description='Names of devices: "*" for all.')
    wires: Pattern | None = Field(None, description='Names of wires: "*" for all.')
    kinds: tuple[Kind, ...] | None = Field(None, description="Kinds of wires: [modbus_rtu].")
    at_most: int | None = Field(None, ge=1, description="Only so many of them, the first in the site file.")

    @property
    def level(self) -> str:
        """points, devices or wires."""
        if self.points is not None or self.indicator is not None:
            return "points"
        return "devices" if self.devices is not None else "wires"

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.model_fields_set - {"at_most"}:
            raise ValueError("say what: points, indicator, devices, wires or kinds")
        return self


class Ramp(Strict):
    """Evenly to a value, or by an amount on top of what the point says, and then on at that level."""

    to: float | None = Field(None, description="Where it ends, in the point's unit.")
    by: float | None = Field(None, description="How much it adds in the end, in the point's unit.")
    over: Seconds = Field(description="How long it takes: 20min.")

    @model_validator(mode="after")
    def _has_one_goal(self) -> Self:
        if (self.to is None) == (self.by is None):
            raise ValueError("a ramp goes `to` a value or `by` an amount, one of the two")
        return self


class Effect(Strict):
    """What happens, one thing a step. The first eight are for points, `unplug` is for wires, the others for devices
    and wires."""

    ramp: Ramp | None = Field(None, description="Rises or falls evenly: {by: 2.5, over: 20min}.")
    hold: Yes = Field(False, description="true: stays at what it said when the step began (a stuck probe).")
    set: bool | float | str | None = Field(None, description="Says this.")
    spike: float | None = Field(None, description="So much more, for as long as the step lasts.")
    noise: float | None = Field(None, gt=0, description="Up to so much more or less, at random.")
    drift_per_hour: float | None = Field(None, description="Wanders off by so much an hour.")
    factor: float | None = Field(None, description="So many times as much: 0.5 for half.")
    ignore_writes: Yes = Field(False, description="true: takes a write and does not act on it (a stuck contactor).")
    silent: Yes = Field(False, description="true: hears and says nothing.")
    garbage: Yes = Field(False, description="true: sends bytes that are no answer.")
    delay: Seconds | None = Field(None, description="Answers so much later, in real seconds: 2s.")
    refuse: int | None = Field(None, ge=1, le=599, description="Answers with this Modbus exception or HTTP status.")
    bit_errors: float | None = Field(None, gt=0, le=1, description="Share of answers in which a bit is flipped.")
    unplug: Yes = Field(False, description="true: the plug is pulled, and put back when the step ends.")

    @property
    def name(self) -> str:
        """The one key that was given."""
        (name,) = self.model_fields_set
        return name

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [key for key in self.model_fields_set if getattr(self, key) is not None]
        if len(given) != 1 or len(self.model_fields_set) != 1:
            raise ValueError("a step does exactly one thing; write another step for the other")
        return self


class Step(Strict):
    """One thing that happens. Times are those of the scenario; `gateway simulate --speed` makes them shorter."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    at: Seconds = Field(description="When it begins, from the start of the scenario: 30s.")
    lasts: Seconds | None = Field(None, alias="for", description="How long it lasts; left out: it stays.")
    on: On = Field(description='What it happens to: {indicator: flood.level}, {devices: "*", at_most: 1}.')
    do: Effect = Field(description="What happens: {hold: true}.")
    say_en: str = Field(min_length=1, description="What is said when it begins, in English.")
    say_vi: str = Field(min_length=1, description="What is said when it begins, in Vietnamese.")

    @property
    def over_at(self) -> float:
        """When nothing changes any more because of it, in seconds from the start."""
        ramp_s = self.do.ramp.over if self.do.ramp is not None else 0.0
        return self.at + (self.lasts if self.lasts is not None else ramp_s)

    @model_validator(mode="after")
    def _fits_what_it_is_done_to(self) -> Self:
        name, level = self.do.name, self.on.level
        if (name in ON_POINTS) != (level == "points"):
            other = "points" if name in ON_POINTS else "wires" if name in ON_WIRES else "devices or wires"
            raise ValueError(f"do.{name}: this happens to {other}, and `on` names {level}")
        if name in ON_WIRES and level != "wires":
            raise ValueError(f"do.{name}: this happens to wires, and `on` names {level}")
        return self


class Scenario(Strict):
    """A whole scenario."""

    scenario: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Equals the file name.")
    title_en: str = Field(min_length=1, description="What happens, in English.")
    title_vi: str = Field(min_length=1, description="What happens, in Vietnamese.")
    teaches_en: str = Field(min_length=1, description="What one sees at the gateway, in English.")
    teaches_vi: str = Field(min_length=1, description="What one sees at the gateway, in Vietnamese.")
    steps: list[Step] = Field(min_length=1, max_length=200, description="What happens, in any order.")

    @property
    def lasts_s(self) -> float:
        """From the start until nothing changes any more."""
        return max(step.over_at for step in self.steps)
