"""Settings of points: what a site changes of what the profiles say."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.model.measure import Forward


class PointSettings(BaseModel):
    """Every key left out keeps the profile's value."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_s: int | None = Field(None, ge=1, le=86_400, description="Length of the base window in seconds.")
    forward: Forward | None = Field(
        None,
        description="windows: one record per window; every: one per reading; both: both; on_alarm: windows, but only "
        "while an alarm is about the point.",
    )
    range: tuple[float, float] | None = Field(
        None, description="Plausible range [low, high] in the point's unit; outside it a value is bad."
    )
    max_step: float | None = Field(
        None, gt=0, description="Largest believable change between two neighbouring readings."
    )
    stuck_s: float | None = Field(None, gt=0, description="How long an unchanged value is believed.")

    # Where it is: goes into the catalogue, once, and never into a record.
    zone: str | None = Field(None, description="Name of a zone of this site: east-gate.")
    route: str | None = Field(None, description="Name of a route of this site: ql1a.")
    km: str | None = Field(None, pattern=r"^[0-9]{1,4}\+[0-9]{3}$", description='Kilometre post: "324+500".')
    direction: str | None = Field(None, min_length=1, max_length=80, description="Which way it looks or counts.")
    lat: float | None = Field(None, ge=-90, le=90, description="Latitude of the point itself, WGS 84.")
    lon: float | None = Field(None, ge=-180, le=180, description="Longitude of the point itself, WGS 84.")
    accuracy_m: float | None = Field(None, gt=0, description="How exact the coordinates are, in metres.")
    mobile: bool | None = Field(None, description="true: it moves about; lat and lon are where it is kept.")
    datum: str | None = Field(None, min_length=1, max_length=80, description="Height system of a level: Hòn Dấu.")
    zero_offset_m: float | None = Field(None, description="Height of the gauge's zero in that datum, in metres.")
    surveyed: date | None = Field(None, description='Day it was surveyed: "2026-03-01".')

    @model_validator(mode="after")
    def _coordinates_are_two(self) -> PointSettings:
        if (self.lat is None) != (self.lon is None):
            raise ValueError("lat and lon belong together")
        return self

    @model_validator(mode="after")
    def _range_is_ordered(self) -> PointSettings:
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range must be [low, high] with low below high")
        return self
