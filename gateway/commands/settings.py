"""Settings of the command desk: who may do what. Nothing is allowed that is not named."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Op = Literal["light.set", "light.read", "point.set", "point.read"]


class AllowSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    issuer: str = Field(alias="from", min_length=1, description="Name of the sender (`iss` of its commands).")
    ops: tuple[Op, ...] = Field(min_length=1, description="What it may ask for.")
    to: tuple[str, ...] = Field(min_length=1, description="Which points, as names or patterns such as lamps/*.")


class CommandSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[AllowSettings, ...] = Field((), description="Who may ask for what; nothing else is done.")
    max_per_minute: int = Field(60, ge=1, le=6000, description="More commands than this in a minute are refused.")
