"""Settings of points: what a site changes of what the profiles say."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.model.measure import Forward


class PointSettings(BaseModel):
    """Every key left out keeps the profile's value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_s: int | None = Field(None, ge=1, le=86_400, description="Length of the base window in seconds.")
    forward: Forward | None = Field(
        None, description="windows: one record per window; every: one per reading; both: both."
    )
    range: tuple[float, float] | None = Field(
        None, description="Plausible range [low, high] in the point's unit; outside it a value is bad."
    )
    max_step: float | None = Field(
        None, gt=0, description="Largest believable change between two neighbouring readings."
    )
    stuck_s: float | None = Field(None, gt=0, description="How long an unchanged value is believed.")

    @model_validator(mode="after")
    def _range_is_ordered(self) -> PointSettings:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range must be [low, high] with low below high")
        return self
