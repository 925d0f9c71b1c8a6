"""Limits as data: dated, sourced profiles, and what a site says of them. Data lies in config/limits.

A number from memory is in a profile too, and says so: it judges nothing until an operator has held it against the
document and confirmed it in the site file.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from gateway.indicators.catalogue import Code, Strict
from gateway.indicators.periods import DAY_S, clock_s, seconds

Op = Literal["<", "<=", ">", ">="]
OUR_PROPOSAL: Final = "our proposal / đề xuất của chúng tôi"
"""The basis of a number that no document gives."""
UPWARD: Final = frozenset({"<", "<="})
"""Here the wrong side is above."""
PLACES: Final = frozenset({"level", "roman", "name", "point", "value", "limit"})
"""What may stand in braces in a text: `alarm_texts.said` fills it in."""


class Mark(StrEnum):
    """How certain a number is."""

    SOURCE = "source"
    """Stated by a public source."""
    COMPUTED = "computed"
    """Computed from numbers of one."""
    MEMORY = "memory"
    """From memory: to be held against the official text."""
    PROPOSAL = "proposal"
    """Our own: no norm says it."""
    UNSURE = "unsure"

    @property
    def trusted(self) -> bool:
        return self not in (Mark.MEMORY, Mark.UNSURE)


def _length(text: str) -> str:
    if text not in ("", "day"):
        seconds(text)
    return text


def _times(text: str) -> str:
    if text:
        begin, dash, end = text.partition("-")
        if not dash or clock_s(begin) == clock_s(end):
            raise ValueError(f"{text!r} are no hours of a day: 06:00-21:00")
    return text


def _number_alone(value: Any) -> Any:
    return {"at": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


Length = Annotated[str, AfterValidator(_length)]
Hours = Annotated[str, AfterValidator(_times)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=48)]


class Level(Strict):
    """One of several levels. Without a mark of its own it has the row's."""

    at: float
    mark: Mark | None = None


class Row(Strict):
    """What is to be kept: one indicator, one length of means, one condition.

    Its key names it within the profile: "air.pm25/24h", "flood.level/giang", "ww.ph/24h/>=",
    "air.pm25/24h@2026-01-01".
    """

    code: Code
    over: Length = Field("", description='Length of the means: "1h", "24h", "day". Empty: single readings, or derived.')
    also: tuple[Length, ...] = Field((), description="The same over these lengths, each a row of its own.")
    op: Op = "<="
    value: float | None = None
    levels: tuple[Annotated[Level, BeforeValidator(_number_alone)], ...] = Field((), description="Mild to severe.")
    given: bool = Field(False, description="The site file gives the number (`values`): a permit, a capacity.")
    unit: str = Field(description="Unit of the number, as signals spell it.")
    mark: Mark
    clause: str = ""
    scaled: bool = Field(False, description="Times the factors of the site: Kq, Kf.")
    station: Name | Literal[""] = ""
    class_: str = Field("", alias="class")
    area: str = ""
    daily: Hours = Field("", description="Only at these hours of the day: 21:00-06:00.")
    from_: date | None = Field(None, alias="from", description="In force from this day on.")
    to: date | None = Field(None, description="The last day it is in force.")
    hysteresis: float = Field(0.0, ge=0)
    hold: Length = ""
    clear: Length = ""
    alarm: bool = True
    violation: bool = Field(False, description="Whether it goes into the violation journal.")
    communes: tuple[Annotated[str, Field(pattern=r"^[0-9]{5}$")], ...] = ()
    text_en: str = ""
    text_vi: str = ""

    @field_validator("text_en", "text_vi")
    @classmethod
    def _has_known_places(cls, text: str) -> str:
        if unknown := set(re.findall(r"\{([^{}]*)\}", text)) - PLACES:
            raise ValueError(f"{{{min(unknown)}}} is never filled in; there are {', '.join(sorted(PLACES))}")
        return text

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if [self.value is not None, bool(self.levels), self.given].count(True) != 1:
            raise ValueError("a row has one of value, levels, given")
        if not in_order(self.op, [level.at for level in self.levels]):
            raise ValueError("levels go from mild to severe")
        if self.from_ and self.to and self.to < self.from_:
            raise ValueError("to is before from")
        return self

    @property
    def key(self) -> str:
        parts = (self.code, self.over, self.station, self.class_, self.area, self.daily)
        name = "/".join(part for part in parts if part)
        lower = "/>=" if self.op not in UPWARD else ""
        return f"{name}{lower}{f'@{self.from_}' if self.from_ else ''}"

    @property
    def numbers(self) -> tuple[float, ...]:
        """From mild to severe; none where the site gives them."""
        return tuple(level.at for level in self.levels) or (() if self.value is None else (self.value,))

    @property
    def trusted(self) -> bool:
        """Whether every number of it is. A level that is not would leave a hole among the others, and a hole shifts
        what "level 3" means: so the row judges as a whole or not at all."""
        marks = [level.mark or self.mark for level in self.levels] or [self.mark]
        return all(mark.trusted for mark in marks)

    @property
    def over_s(self) -> int:
        return DAY_S if self.over == "day" else seconds(self.over) if self.over else 0


class LimitProfile(Strict):
    """One document, or one proposal of ours, as numbers that can be compared."""

    profile: Name
    title_en: str = Field(min_length=5)
    title_vi: str = Field(min_length=5)
    document: str = Field(min_length=3, description="Number and year of the document, or that it is our proposal.")
    source: str = Field("", description="Where the numbers were read.")
    version: int = Field(1, ge=1, description="Goes up when a number changes.")
    from_: date | None = Field(None, alias="from", description="In force from this day on.")
    to: date | None = Field(None, description="The last day it is in force.")
    superseded_by: str = Field("", description="What took its place.")
    factors: tuple[Literal["kq", "kf"], ...] = Field((), description="Factors the site must give.")
    rows: tuple[Row, ...] = ()
    note_en: str = ""
    note_vi: str = ""

    @cached_property
    def each(self) -> tuple[Row, ...]:
        """The rows, one for each length of means."""
        spread = ((row, *(row.model_copy(update={"over": length}) for length in row.also)) for row in self.rows)
        return tuple(row for rows in spread for row in rows)

    @model_validator(mode="after")
    def _rows_are_told_apart(self) -> Self:
        keys = [row.key for row in self.each]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise ValueError(f"rows: twice {', '.join(sorted(twice))}")
        if not self.rows and not self.note_en:
            raise ValueError("a profile without numbers says why (note_en, note_vi)")
        return self

    def named(self, what: Literal["station", "class_", "area"]) -> list[str]:
        """The stations, classes or areas there are to choose from, in their order."""
        return list(dict.fromkeys(name for row in self.rows if (name := getattr(row, what))))


class Confirmed(Strict):
    """Who has held which rows against which document."""

    by: str = Field(min_length=2, description="Who read it.")
    on: date = Field(description="When.")
    document: str = Field(min_length=3, description="What was read: the official text, an order, a certificate.")
    rows: tuple[str, ...] = Field(
        min_length=1, description='Keys, codes or stations, also as patterns: "air.nh3", "giang", "*".'
    )


class LimitUse(Strict):
    """A limit profile, applied to signals of this site."""

    profile: Name = Field(description="Name of a limit profile: gateway limits list.")
    of: str = Field("*", min_length=1, description='Which signals it is for, as a pattern: "station/*".')
    station: str = Field("", description="One station of the profile: giang. Empty: rows without a station.")
    class_: str = Field("", alias="class", description="Class that is to be kept: B.")
    area: str = Field("", description="Kind of area: special, ordinary.")
    factors: dict[Literal["kq", "kf"], Annotated[float, Field(gt=0, le=2)]] = Field(
        default_factory=dict, description="Kq and Kf, as the permit or the authority says."
    )
    values: dict[Code, float | tuple[float, ...]] = Field(
        default_factory=dict,
        description="Numbers of the permit by code: ww.cod: 75; ww.ph: [6, 9] from the lower to the upper one.",
    )
    permit: str = Field("", description='Number of the permit that `values` stand in: "GPMT 123/GP-UBND".')
    confirmed: Confirmed | None = Field(None, description="Who has confirmed numbers that are from memory.")
    violations: bool | None = Field(
        None, description="Whether it goes into the violation journal; else as the profile says."
    )

    @model_validator(mode="after")
    def _values_have_a_permit(self) -> Self:
        if self.values and not self.permit:
            raise ValueError("values: numbers of a permit need its number, `permit:`")
        return self

    def rows(self, profile: LimitProfile) -> list[Row]:
        """The rows that were chosen: those of the station, class and area, and those without one."""
        chosen = {"station": self.station, "class_": self.class_, "area": self.area}
        return [row for row in profile.each if all(getattr(row, key) in ("", chosen[key]) for key in chosen)]

    def confirms(self, row: Row) -> bool:
        """Whether the site file confirms the numbers of this row."""
        names = [name for name in (row.key, row.code, row.station) if name]
        patterns = self.confirmed.rows if self.confirmed else ()
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def in_order(op: str, numbers: list[float] | tuple[float, ...]) -> bool:
    """Whether each level lies farther on the wrong side than the one before."""
    return all(a < b if op in UPWARD else a > b for a, b in pairwise(numbers))
