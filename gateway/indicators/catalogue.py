"""The catalogue of indicators: what each code means. Data lies in config/indicators, one file a field of work."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.indicators.periods import Period
from gateway.model.measure import Kind

Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*\.[a-z][a-z0-9_]*$", max_length=60)]
CodePattern = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*\.[a-z0-9_*]+$", max_length=60)]
Group = Literal["a", "b", "c", "d"]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


def _known_period(text: str) -> str:
    if text:
        Period.of(text)
    return text


PeriodName = Annotated[str, AfterValidator(_known_period)]
Codes = Annotated[tuple[CodePattern, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Entry(Strict):
    """One indicator. Without `formula` it is measured: a device, a camera or the gateway itself gives it."""

    code: Code
    name_en: str = Field(min_length=3, max_length=80)
    name_vi: str = Field(min_length=2, max_length=80)
    definition_en: str = Field(min_length=10, description="What it stands for and how it is formed.")
    definition_vi: str = Field(min_length=10)
    unit: str = Field(description="Unit of the value; empty for codes and states.")
    judged: str = Field(
        "", description="Measured: single readings are held against limits through this formula, minute by minute."
    )
    accepts: tuple[str, ...] = Field((), description="Measured: other units that devices give it in.")
    aggregation: Kind = Field(description="How readings become the value of a window: `k` of a record.")
    period: PeriodName = Field("", description='Derived: "5m", "1h", "day", "night", "month" ... see periods.py.')
    every: PeriodName = Field("", description="Derived: how often, if not once a period: a running mean.")
    group: Annotated[tuple[Group, ...], BeforeValidator(_as_tuple)] = Field(
        (), description="a: Government, b: long-term, c: sector, d: special topic (plans of 2025 and 2026)."
    )
    scenarios: tuple[int, ...] = Field((), description="Numbers of the plans' scenarios that use it.")
    fiware: str = Field("", description='Smart Data Models: "AirQualityObserved.pm25"; empty where there is none.')
    fiware_factor: float = Field(1.0, gt=0, description="Times this gives FIWARE's unit: 0.01 for its shares 0..1.")
    agency: str = Field("", description="Key into agencies.yaml: who answers for it, by province.")
    public: bool = Field(True, description="Whether it may be shown to everybody.")
    formula: str = Field("", description="Name of the formula; empty: measured.")
    inputs: dict[str, Codes] = Field(default_factory=dict, description="Codes each role of the formula takes.")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="What the formula is told unless a site says else."
    )
    each: bool = Field(
        False, description="One value for each signal that fits its only role; else one for all signals of a device."
    )
    version: int = Field(1, ge=1, description="Goes up when the definition changes.")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.formula) != bool(self.period) or bool(self.formula) != bool(self.inputs):
            raise ValueError("a derived indicator has formula, inputs and period; a measured one has none of them")
        Period.of(self.period or "1m", self.every)
        if self.each and len(self.inputs) != 1:
            raise ValueError("`each` needs a formula with one role")
        return self


class FieldOfWork(Strict):
    """A catalogue file: indicators of one field of work."""

    field: str = Field(pattern=r"^[a-z]+$", description="The file's name.")
    title_en: str
    title_vi: str
    indicators: tuple[Entry, ...] = Field(min_length=1)


class Agency(Strict):
    """Who answers for a field of work in one province (domain.md 13: configuration, the provinces differ)."""

    name_vi: str
    name_en: str
    code: str = Field("", description="Electronic identifier (QĐ 20/2020/QĐ-TTg); empty while not known for certain.")


class Agencies(Strict):
    """agencies.yaml: by key, by province code."""

    agencies: dict[str, dict[Annotated[str, Field(pattern=r"^[0-9]{2}$")], Agency]]
