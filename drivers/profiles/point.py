"""What every profile and every point says of itself, whatever kind of device it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.model.measure import Forward, Kind, Rule, Signal

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Simulate(Strict):
    """How the simulator moves a point. Deterministic: the same clock and seed give the same value.

    constant  `value`
    sine      between low and high, once per period_s; a whole-day period gives a day's course
    counter   grows by per_s each second, times what it `follows` if anything
    follow    plus + the sum of factor * other point, e.g. a circuit's current from its contactor
    """

    shape: Literal["constant", "sine", "counter", "follow"]
    value: float | bool | str = 0.0
    low: float = 0.0
    high: float = 1.0
    period_s: float = Field(60.0, gt=0)
    per_s: float = 1.0
    start: float = 0.0
    plus: float = 0.0
    follows: dict[str, float] = Field(default_factory=dict)


class Point(Strict):
    """What every point of every kind of device says of itself."""

    name_en: str = Field(min_length=1)
    name_vi: str = Field(min_length=1)
    indicator: str = Field(pattern=r"^[a-z][a-z0-9]*\.[a-z][a-z0-9_]*$", description="Code of the indicator catalogue.")
    unit: str = Field(min_length=1, description='UCUM code, "1" for none.')
    kind: Kind = Kind.MEAN
    window_s: int = Field(60, ge=1, le=86_400)
    forward: Forward = Forward.WINDOWS
    range: tuple[float, float] | None = None
    resolution: float | None = Field(None, gt=0, description="Smallest step the instrument shows, in the unit.")
    max_step: float | None = Field(None, gt=0)
    stuck_s: float | None = Field(None, gt=0)
    rollover: float | None = Field(None, gt=0, description="For counters: the value that follows the largest one.")
    simulate: Simulate | None = None

    @model_validator(mode="after")
    def _range_is_ordered(self) -> Self:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range must be [low, high] with low below high")
        return self

    @property
    def rolls_at(self) -> float | None:
        return self.rollover

    @property
    def is_bool(self) -> bool:
        return False

    @property
    def is_text(self) -> bool:
        """True for texts and for codes that have names."""
        return False

    @property
    def writable(self) -> bool:
        return False


class DeviceProfile(Strict):
    """What is common to all profiles. `confirmed`: checked against a real device or its public register map."""

    WIRES: ClassVar[frozenset[str]]
    """Kinds of wires such a device can hang on."""

    profile: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Equals the file name.")
    title_en: str = Field(min_length=1)
    title_vi: str = Field(min_length=1)
    maker: str = Field("", description="Who makes it; empty for a generic layout.")
    source: str = Field(min_length=1, description="Document the map comes from: title, revision, maker.")
    url: str = Field("", pattern=r"^(https?://\S+)?$", description="Where that document can be read.")
    confirmed: bool
    cycle_s: float | None = Field(None, gt=0, description="How often the instrument itself measures anew.")

    @property
    def alone(self) -> bool:
        """True if nothing tells such a device from another on its wire: it needs no number or address, and a wire
        carries one of them."""
        return False

    @abstractmethod
    def points_by_name(self) -> Mapping[str, Point]:
        """The points, whatever their kind."""

    def signals(self, device: str, every_s: float) -> list[Signal]:
        """One signal a point; its id and its place in the catalogue are "device/point"."""
        return [_signal(f"{device}/{name}", point, every_s) for name, point in self.points_by_name().items()]

    @model_validator(mode="after")
    def _confirmed_maps_can_be_read(self) -> Self:
        if self.confirmed and not self.url:
            raise ValueError("confirmed: a confirmed profile names the url of its public document")
        return self

    @model_validator(mode="after")
    def _slow_instruments_are_not_called_stuck(self) -> Self:
        for name, point in self.points_by_name().items():
            if self.cycle_s is not None and point.stuck_s is not None and point.stuck_s < 2 * self.cycle_s:
                raise ValueError(f"points.{name}.stuck_s: at least twice cycle_s, or it looks stuck all day")
        return self


def check_names(points: Mapping[str, Point], expectations: Iterable[Mapping[str, Any]]) -> None:
    """Raises ValueError where a hint of the simulator or an example names a point that is not there."""
    for name, point in points.items():
        for other in point.simulate.follows if point.simulate else ():
            if other not in points:
                raise ValueError(f"points.{name}.simulate.follows: there is no point {other!r}")
    for number, expect in enumerate(expectations):
        for name in expect:
            if name not in points:
                raise ValueError(f"examples.{number}.expect: there is no point {name!r}")


def _signal(signal_id: str, point: Point, every_s: float) -> Signal:
    low, high = point.range if point.range is not None else (None, None)
    return Signal(
        id=signal_id,
        point=signal_id,
        indicator=point.indicator,
        unit=point.unit,
        kind=point.kind,
        every_s=every_s,
        window_s=point.window_s,
        forward=point.forward,
        rule=Rule(low=low, high=high, max_step=point.max_step, stuck_s=point.stuck_s),
        rollover=point.rolls_at,
        writable=point.writable,
        name_en=point.name_en,
        name_vi=point.name_vi,
    )
