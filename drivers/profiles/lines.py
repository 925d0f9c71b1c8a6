"""Profiles of instruments on a serial line that are not Modbus: lines of text, and frames of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from drivers.profiles.point import DeviceProfile, Name, Point, Strict, check_names

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{2}( ?[0-9a-f]{2})*$", description='Bytes: "42 4d".')]


class LinePoint(Point):
    """`line` names a line of the profile, `field` counts from 0 behind the line's prefix."""

    line: str
    field: int = Field(ge=0, le=200)
    type: Literal["number", "text"] = "number"
    scale: float = 1.0
    offset: float = 0.0

    @property
    def is_text(self) -> bool:
        return self.type == "text"


class LineShape(Strict):
    """One kind of line: how to know it and how to cut it.

    "$WIXDR,C,28.5,C,H,71.0*hh" is {prefix: "$WIXDR,", separator: ",", checksum: nmea, fields: 5}.
    """

    prefix: str = Field("", description="What the line begins with; empty: every line.")
    separator: str = Field(",", min_length=1, max_length=3)
    fields: int = Field(ge=1, le=200, description="How many fields follow the prefix. Another number is a bad line.")
    checksum: Literal["none", "nmea"] = "none"


class LineExample(Strict):
    """One line as it comes, without its line end, and what it means. Null: the instrument has no reading."""

    given: str
    expect: dict[str, float | str | None]


class LinesProfile(DeviceProfile):
    WIRES: ClassVar[frozenset[str]] = frozenset({"text_lines"})

    driver: Literal["text_lines"]
    serial: str = Field("", description="How it comes from the factory, for people: 4800 8N1.")
    ask: str = Field(
        "", description="What to send each period for a line, its line end included; empty: it sends by itself."
    )
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
        check_names(self.points, [example.expect for example in self.examples])
        return self


class FramePoint(Point):
    """A number at a fixed place of a frame. `at` counts bytes from 0, the header included."""

    frame: str
    at: int = Field(ge=0, le=255)
    type: Literal["u8", "i8", "u16", "i16", "u32", "i32", "f32"] = "u16"
    order: Literal["big", "little"] = "big"
    scale: float = 1.0
    offset: float = 0.0
    not_available: tuple[int, ...] = Field((), description="Raw values that mean: no reading.")

    @property
    def width(self) -> int:
        return int(self.type[1:]) // 8


class Checksum(Strict):
    """kind: sum8, sum16 (of bytes), neg8 (two's complement of sum8), xor8, crc16 (Modbus, there `order: little`).

    Taken over the bytes from `over[0]` up to, not including, `over[1]`; it stands at `at`.
    """

    kind: Literal["sum8", "sum16", "neg8", "xor8", "crc16"]
    over: tuple[int, int]
    at: int = Field(ge=0, le=255)
    order: Literal["big", "little"] = "big"

    @property
    def width(self) -> int:
        return 2 if self.kind in {"sum16", "crc16"} else 1


class FrameShape(Strict):
    """One kind of frame: fixed bytes at its beginning (and end), a fixed length, a checksum."""

    header: Hex
    length: int = Field(ge=2, le=256, description="Whole length in bytes.")
    tail: Hex | None = None
    checksum: Checksum | None = None

    @model_validator(mode="after")
    def _ends_are_inside(self) -> Self:
        if len(bytes.fromhex(self.header + (self.tail or ""))) > self.length:
            raise ValueError("header and tail must lie within the frame")
        return self

    @model_validator(mode="after")
    def _checksum_is_inside(self) -> Self:
        sum_ = self.checksum
        if sum_ is not None and not (0 <= sum_.over[0] < sum_.over[1] <= self.length >= sum_.at + sum_.width):
            raise ValueError("checksum: it and the bytes it is taken over must lie within the frame")
        return self


class FrameExample(Strict):
    """One frame in hex, and what it means. Null: no reading."""

    given: Hex
    expect: dict[str, float | None]


class FramesProfile(DeviceProfile):
    WIRES: ClassVar[frozenset[str]] = frozenset({"binary_frames"})

    driver: Literal["binary_frames"]
    serial: str = Field("", description="How it comes from the factory, for people: 9600 8N1.")
    ask: Hex | Literal[""] = Field("", description="What to send each period for a frame; empty: it sends by itself.")
    frames: dict[Name, FrameShape] = Field(min_length=1)
    points: dict[Name, FramePoint] = Field(min_length=1)
    examples: list[FrameExample] = Field(min_length=1)

    def points_by_name(self) -> Mapping[str, FramePoint]:
        return self.points

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for name, point in self.points.items():
            if point.frame not in self.frames:
                raise ValueError(f"points.{name}.frame: there is no frame {point.frame!r}")
            if point.at + point.width > self.frames[point.frame].length:
                raise ValueError(f"points.{name}.at: frame {point.frame!r} ends before it")
        check_names(self.points, [example.expect for example in self.examples])
        return self
