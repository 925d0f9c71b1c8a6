"""Profiles of stations that write TT10 files (Thông tư 10/2021/TT-BTNMT): which symbols they report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from drivers.profiles.point import DeviceProfile, Name, Point, Strict, check_names
from gateway.model.measure import Forward


class Tt10Point(Point):
    """`symbol` as it stands in the file ("PM2,5", "NH4"); another unit text than `file_unit` is a bad line."""

    # A file is read once: what it says is a record at once, and does not wait in an open window for a power cut.
    forward: Forward = Forward.EVERY
    symbol: str = Field(min_length=1, max_length=32, pattern=r"^\S+$")
    file_unit: str | None = Field(None, description="Unit as the file writes it; left out: any.")
    scale: float = 1.0
    offset: float = 0.0


class Tt10Example(Strict):
    """The text of one file, and what it means. Null: no value."""

    given: str
    expect: dict[str, float | None]


class Tt10Profile(DeviceProfile):
    WIRES: ClassVar[frozenset[str]] = frozenset({"tt10_files"})

    driver: Literal["tt10"]
    points: dict[Name, Tt10Point] = Field(min_length=1)
    examples: list[Tt10Example] = Field(min_length=1)

    def points_by_name(self) -> Mapping[str, Tt10Point]:
        return self.points

    @model_validator(mode="after")
    def _symbols_differ(self) -> Self:
        seen: dict[str, str] = {}
        for name, point in self.points.items():
            if point.symbol in seen:
                raise ValueError(f"points.{name}.symbol: {point.symbol!r} is already point {seen[point.symbol]!r}")
            seen[point.symbol] = name
        check_names(self.points, [example.expect for example in self.examples])
        return self
