"""Device profiles: what a device can say, as pure data. One YAML file a device in config/devices.

A profile holds no expressions and no code. It carries examples (registers or lines, and the values they mean),
which one test runs through the codec, the simulator and the driver. `parse` takes the tree of a YAML file.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from gateway.model.measure import Forward, Kind, Rule, Signal

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Table = Literal["coil", "discrete", "input", "holding"]
Type = Literal["bool", "u16", "i16", "u32", "i32", "f32", "u64", "i64"]
Order = Literal["abcd", "cdab", "badc", "dcba"]

WORDS: Mapping[str, int] = {"bool": 1, "u16": 1, "i16": 1, "u32": 2, "i32": 2, "f32": 2, "u64": 4, "i64": 4}


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Simulate(_Strict):
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


class Write(_Strict):
    """How a written point is proved: `read_back` must say the written value within `within_s`."""

    read_back: str | None = Field(None, description="Point that shows the effect; the point itself if left out.")
    within_s: float = Field(2.0, gt=0, le=60, description="How long the effect may take.")
    tolerance: float = Field(0.0, ge=0, description="How far the read-back may be off, in the point's unit.")


class Point(_Strict):
    """What every point of every kind of device says of itself."""

    name_en: str = Field(min_length=1)
    name_vi: str = Field(min_length=1)
    indicator: str = Field(pattern=r"^[a-z][a-z0-9]*\.[a-z][a-z0-9_]*$", description="Code of the indicator catalogue.")
    unit: str = Field(min_length=1, description='UCUM code, "1" for none.')
    kind: Kind = Kind.MEAN
    window_s: int = Field(60, ge=1, le=86_400)
    forward: Forward = Forward.WINDOWS
    range: tuple[float, float] | None = None
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
    def writable(self) -> bool:
        return False


class ModbusPoint(Point):
    """`at` is the address on the wire, counted from 0: manuals that print 40001 mean holding 0."""

    table: Table
    at: int = Field(ge=0, le=0xFFFF)
    type: Type
    order: Order = Field("abcd", description="Byte order of values wider than 8 bits; cdab: low word first.")
    bit: int | None = Field(None, ge=0, le=15, description="For bool in a register: which bit, 0 the lowest.")
    scale: float = 1.0
    offset: float = 0.0
    not_available: tuple[int, ...] = Field((), description="Raw values that mean: no reading (sensor fault).")
    write: Write | None = None

    @model_validator(mode="after")
    def _fits_its_table(self) -> Self:
        bits = self.table in {"coil", "discrete"}
        if bits and self.type != "bool":
            raise ValueError(f"a {self.table} is always of type bool")
        if self.bit is not None and (bits or self.type != "bool"):
            raise ValueError("`bit` is for type bool in a register")
        if self.type == "bool" and (self.scale != 1 or self.offset != 0 or self.not_available):
            raise ValueError("a bool has no scale, offset or not_available")
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        if self.at + self.words > 0x10000:
            raise ValueError("the value ends behind the last address")
        if self.write is not None and (self.table not in {"coil", "holding"} or self.bit is not None):
            raise ValueError("only a coil or a whole holding register can be written")
        return self

    @property
    def words(self) -> int:
        return WORDS[self.type]

    @property
    def rolls_at(self) -> float | None:
        """An unsigned counter rolls over at its width unless the profile says otherwise."""
        if self.rollover is not None or self.kind is not Kind.DELTA or self.type not in {"u16", "u32", "u64"}:
            return self.rollover
        return float(2 ** (16 * self.words)) * self.scale

    @property
    def writable(self) -> bool:
        return self.write is not None


class LinePoint(Point):
    """`line` names a line of the profile, `field` counts from 0 behind the line's first separator-free prefix."""

    line: str
    field: int = Field(ge=0, le=200)
    type: Literal["number", "text"] = "number"
    scale: float = 1.0
    offset: float = 0.0


class LineShape(_Strict):
    """One kind of line: how to know it and how to cut it.

    "$WIXDR,C,28.5,C,H,71.0*hh" is {prefix: "$WIXDR,", separator: ",", checksum: nmea, fields: 5}.
    """

    prefix: str = Field("", description="What the line begins with; empty: every line.")
    separator: str = Field(",", min_length=1, max_length=3)
    fields: int = Field(ge=1, le=200, description="How many fields follow the prefix. Another number is a bad line.")
    checksum: Literal["none", "nmea"] = "none"


class Limits(_Strict):
    """What the device's interface stands."""

    max_registers: int = Field(125, ge=1, le=125, description="Most registers in one request.")
    gap: int = Field(0, ge=0, le=124, description="Holes up to this many registers are read over.")
    quiet_ms: float = Field(0.0, ge=0, le=1000, description="Rest the device needs before the next request.")


class DeviceProfile(_Strict):
    """What is common to all profiles. `confirmed`: checked against a real device or its public register map."""

    profile: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="Equals the file name.")
    title_en: str = Field(min_length=1)
    title_vi: str = Field(min_length=1)
    source: str = Field(min_length=1, description="Document the register map comes from.")
    confirmed: bool

    @abstractmethod
    def points_by_name(self) -> Mapping[str, Point]:
        """The points, whatever their kind."""

    def signals(self, device: str, every_s: float) -> list[Signal]:
        """One signal a point; its id and its place in the catalogue are "device/point"."""
        return [_signal(f"{device}/{name}", point, every_s) for name, point in self.points_by_name().items()]


class ModbusExample(_Strict):
    """Registers by table and address, and what they mean. Null: no reading (a value marked not available)."""

    given: dict[Table, dict[int, list[int]]]
    expect: dict[str, float | bool | None]


class ModbusProfile(DeviceProfile):
    driver: Literal["modbus"]
    limits: Limits = Limits()
    points: dict[Name, ModbusPoint] = Field(min_length=1)
    examples: list[ModbusExample] = Field(min_length=1)

    def points_by_name(self) -> Mapping[str, ModbusPoint]:
        return self.points

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, point in self.points.items():
            if point.write is not None and point.write.read_back not in {None, *self.points}:
                raise ValueError(f"points.{name}.write.read_back: there is no point {point.write.read_back!r}")
        _check_names(self.points, [example.expect for example in self.examples])
        return self


class LineExample(_Strict):
    """One line as it comes, without its line end, and what it means."""

    given: str
    expect: dict[str, float | str]


class LinesProfile(DeviceProfile):
    driver: Literal["text_lines"]
    lines: dict[Name, LineShape] = Field(min_length=1)
    points: dict[Name, LinePoint] = Field(min_length=1)
    examples: list[LineExample] = Field(min_length=1)

    def points_by_name(self) -> Mapping[str, LinePoint]:
        return self.points

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, point in self.points.items():
            if point.line not in self.lines:
                raise ValueError(f"points.{name}.line: there is no line {point.line!r}")
            if point.field >= self.lines[point.line].fields:
                raise ValueError(f"points.{name}.field: line {point.line!r} has no field {point.field}")
        _check_names(self.points, [example.expect for example in self.examples])
        return self


Profile = Annotated[ModbusProfile | LinesProfile, Field(discriminator="driver")]

_PROFILE: TypeAdapter[ModbusProfile | LinesProfile] = TypeAdapter(Profile)


def parse(tree: Any) -> ModbusProfile | LinesProfile:
    """The profile of a YAML tree. Raises pydantic.ValidationError with the path of every finding (the first
    part of a path is the driver kind)."""
    return _PROFILE.validate_python(tree)


def _check_names(points: Mapping[str, Point], expectations: list[Any]) -> None:
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
