"""What a site file says of indicators: which it publishes. How they come about is in the catalogue."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gateway.indicators.catalogue import Code, PeriodName


class Published(BaseModel):
    """One derived indicator, or one for each point it can be made of. A text is its code alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    code: Code = Field(description="Code of the catalogue: air.vn_aqi_1h. See: gateway catalogue list.")
    of: str = Field("*", min_length=1, description='Which signals it is made of, as a pattern: "station/*".')
    point: str | None = Field(
        None, min_length=1, max_length=100, description="All those signals together, under this name; else by device."
    )
    with_: dict[str, Any] = Field(
        default_factory=dict, alias="with", description="What its formula is told: gateway catalogue show CODE."
    )
    period: PeriodName = Field("", description='Another period than the catalogue\'s: "rain_day_19".')
    every: PeriodName = Field("", description="How often it is formed, if not as the catalogue says.")


def _code_alone(value: Any) -> Any:
    return {"code": value} if isinstance(value, str) else value


PublishedEntry = Annotated[Published, BeforeValidator(_code_alone, json_schema_input_type=str | Published)]
