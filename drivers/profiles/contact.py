"""Profiles of dry contacts and pulse outputs on the gateway's own input pins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from drivers.profiles.point import DeviceProfile, Name, Point, Strict, check_names
from gateway.model.measure import Kind


class ContactPoint(Point):
    """contact: true while the contact says so. pulses: a counter that grows by `per_pulse` with each pulse."""

    mode: Literal["contact", "pulses"]
    active_low: bool = Field(True, description="True: a closed contact pulls the pin to ground (the usual wiring).")
    pull: Literal["up", "down", "none"] = Field("up", description="The pin's own resistor.")
    debounce_ms: float = Field(20.0, ge=0, le=4_000, description="How long the pin must be still to be believed.")
    per_pulse: float = Field(1.0, gt=0, description="What one pulse stands for, in the point's unit.")

    @property
    def is_bool(self) -> bool:
        return self.mode == "contact"

    @model_validator(mode="after")
    def _pulses_are_counted(self) -> Self:
        if (self.mode == "pulses") != (self.kind is Kind.DELTA):
            raise ValueError("pulses have kind delta, contacts have another one")
        return self


class ContactExample(Strict):
    """The pin's levels one after another (0: ground), each long enough to be believed, and what they mean."""

    given: list[Literal[0, 1]] = Field(min_length=1)
    expect: dict[str, float | bool]


class ContactProfile(DeviceProfile):
    WIRES: ClassVar[frozenset[str]] = frozenset({"gpio"})

    driver: Literal["contact"]
    points: dict[Name, ContactPoint] = Field(min_length=1, max_length=1, description="One pin, one point.")
    examples: list[ContactExample] = Field(min_length=1)

    def points_by_name(self) -> Mapping[str, ContactPoint]:
        return self.points

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        check_names(self.points, [example.expect for example in self.examples])
        return self
