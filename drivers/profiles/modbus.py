"""Profiles of Modbus devices: where each value stands, how it is written there, and what the device cannot stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self, TypeVar

from pydantic import Field, model_validator

from drivers.profiles.point import DeviceProfile, Name, Point, Strict, check_names
from gateway.model.measure import Kind

Table = Literal["coil", "discrete", "input", "holding"]
Type = Literal["bool", "u16", "i16", "u32", "i32", "f32", "u64", "i64", "f64", "bcd16", "bcd32", "text"]
Order = Literal["abcd", "cdab", "badc", "dcba"]
Word = Annotated[int, Field(ge=0, le=0xFFFF)]

WORDS: Final[Mapping[str, int]] = {
    "bool": 1, "u16": 1, "i16": 1, "bcd16": 1, "u32": 2, "i32": 2, "f32": 2, "bcd32": 2, "u64": 4, "i64": 4, "f64": 4,
}  # fmt: skip
BITS_OF: Final = frozenset({"u16", "u32", "u64"})


class Write(Strict):
    """How a written point is proved: `read_back` must say the written value within `within_s`."""

    read_back: str | None = Field(None, description="Point that shows the effect; the point itself if left out.")
    within_s: float = Field(2.0, gt=0, le=60, description="How long the effect may take.")
    tolerance: float = Field(0.0, ge=0, description="How far the read-back may be off, in the point's unit.")


class ModbusPoint(Point):
    """`at` is the address on the wire, counted from 0, unless the profile says `first_address: 1`. Manuals that print
    40001 mean holding 0, or holding 1 with `first_address: 1`."""

    table: Table
    at: int = Field(ge=0, le=0xFFFF)
    type: Type
    order: Order = Field("abcd", description="Byte order of values wider than 8 bits; cdab: low word first.")
    bit: int | None = Field(None, ge=0, le=15, description="For bool in a register: which bit, 0 the lowest.")
    bits: tuple[int, int] | None = Field(
        None, description="For u16, u32, u64: lowest and highest bit of the field, 0 the lowest of all."
    )
    length: int | None = Field(None, ge=1, le=60, description="For text: how many registers, two characters each.")
    values: dict[int, str] = Field(default_factory=dict, description="Names of codes: {0: closed, 1: open}.")
    scale: float = Field(1.0, allow_inf_nan=False, description="What one step of the raw value is, in the unit.")
    offset: float = Field(0.0, allow_inf_nan=False, description="What raw 0 is, in the unit.")
    not_available: tuple[int, ...] = Field(
        (), description="Raw values, of the bits alone if there are `bits`, that mean: no reading (sensor fault)."
    )
    write: Write | None = None

    @model_validator(mode="after")
    def _fits_its_table(self) -> Self:
        bits = self.table in {"coil", "discrete"}
        if bits and self.type != "bool":
            raise ValueError(f"a {self.table} is always of type bool")
        if self.bit is not None and (bits or self.type != "bool"):
            raise ValueError("`bit` is for type bool in a register")
        if self.at + self.words > 0x10000:
            raise ValueError("the value ends behind the last address")
        if self.write is not None and (self.table not in {"coil", "holding"} or self.bit is not None):
            raise ValueError("only a coil or a whole holding register can be written")
        return self

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        plain = self.scale == 1 and self.offset == 0
        if self.type in {"bool", "text"} and not (plain and not self.not_available and not self.values):
            raise ValueError(f"a {self.type} has no scale, offset, values or not_available")
        if (self.type == "text") != (self.length is not None):
            raise ValueError("`length` goes with type text, and a text needs it")
        if self.bits is not None and not (self.type in BITS_OF and 0 <= self.bits[0] <= self.bits[1] < 16 * self.words):
            raise ValueError("`bits` is [lowest, highest] within a u16, u32 or u64")
        if self.values and not (plain and self.type in {"u16", "i16", "u32", "i32"}):
            raise ValueError("`values` names the codes of a whole number without scale and offset")
        if self.write is not None and (self.bits is not None or self.type == "text" or self.values):
            raise ValueError("texts, bit fields and named codes cannot be written")
        if self.scale == 0:
            raise ValueError("scale must not be 0")
        return self

    @property
    def words(self) -> int:
        return self.length if self.length is not None else WORDS.get(self.type, 0)

    @property
    def is_bool(self) -> bool:
        return self.type == "bool"

    @property
    def is_text(self) -> bool:
        return self.type == "text" or bool(self.values)

    @property
    def rolls_at(self) -> float | None:
        """An unsigned counter rolls over at its width unless the profile says otherwise."""
        if self.rollover is not None or self.kind is not Kind.DELTA:
            return self.rollover
        if self.type in {"bcd16", "bcd32"}:
            return float(10 ** (4 * self.words)) * self.scale
        return float(2 ** (16 * self.words)) * self.scale if self.type in BITS_OF and self.bits is None else None

    @property
    def writable(self) -> bool:
        return self.write is not None


class Limits(Strict):
    """What the device's interface stands, and its quirks."""

    max_registers: int = Field(125, ge=1, le=125, description="Most registers in one request.")
    max_bits: int = Field(2000, ge=1, le=2000, description="Most coils or discrete inputs in one request.")
    gap: int = Field(0, ge=0, le=124, description="Holes up to this many registers are read over.")
    quiet_ms: float = Field(0.0, ge=0, le=1000, description="Rest the device needs before the next request.")
    write_one: bool = Field(True, description="False: function 16 (15 for coils) also for a single register or coil.")


class Sign(Strict):
    """One thing that tells this device from others when it is looked for: registers that say this."""

    table: Table
    at: int = Field(ge=0, le=0xFFFF)
    equals: tuple[Word, ...] = Field(min_length=1, max_length=16, description="Registers that never change.")


class ModbusExample(Strict):
    """Registers by table and address, and what they mean. Null: no reading (a value marked not available)."""

    given: dict[Table, dict[int, list[Word]]]
    expect: dict[str, float | bool | str | None]


class ModbusProfile(DeviceProfile):
    WIRES: ClassVar[frozenset[str]] = frozenset({"modbus_tcp", "modbus_rtu"})

    driver: Literal["modbus"]
    first_address: Literal[0, 1] = Field(0, description="1: the map counts addresses from 1; the wire counts from 0.")
    serial: str = Field("", description="How it comes from the factory, for people: 9600 8N1, unit 1.")
    limits: Limits = Limits()
    fingerprint: tuple[Sign, ...] = Field((), description="What `gateway scan` reads to recognise it.")
    points: dict[Name, ModbusPoint] = Field(min_length=1)
    examples: list[ModbusExample] = Field(min_length=1)

    def points_by_name(self) -> Mapping[str, ModbusPoint]:
        return self.points

    def on_the_wire(self) -> Self:
        """This profile with points and fingerprint at the addresses that requests carry. Everything that asks a
        device begins here; the examples stay as the map is written."""
        if self.first_address == 0:
            return self
        points = {name: _moved(point, -self.first_address) for name, point in self.points.items()}
        signs = tuple(_moved(sign, -self.first_address) for sign in self.fingerprint)
        return self.model_copy(update={"first_address": 0, "points": points, "fingerprint": signs})

    @model_validator(mode="after")
    def _addresses_can_be_read(self) -> Self:
        for name, point in self.points.items():
            if point.at < self.first_address:
                raise ValueError(f"points.{name}.at: the map counts from 1, there is no address 0")
            if point.table in {"input", "holding"} and point.words > self.limits.max_registers:
                raise ValueError(f"points.{name}: longer than limits.max_registers, it could never be read")
        for number, sign in enumerate(self.fingerprint):
            if sign.at < self.first_address:
                raise ValueError(f"fingerprint.{number}.at: the map counts from 1, there is no address 0")
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, point in self.points.items():
            if point.write is not None and point.write.read_back not in {None, *self.points}:
                raise ValueError(f"points.{name}.write.read_back: there is no point {point.write.read_back!r}")
        check_names(self.points, [example.expect for example in self.examples])
        return self


_Placed = TypeVar("_Placed", ModbusPoint, Sign)


def _moved(placed: _Placed, by: int) -> _Placed:
    return placed.model_copy(update={"at": placed.at + by})
