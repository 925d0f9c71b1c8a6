"""Settings of the store."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class BufferSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str = Field("store.sqlite3", description="Name of the SQLite file inside state_dir.", min_length=1)
    commit_every_s: float = Field(
        1.0,
        gt=0,
        le=60,
        description="How long a reading may wait for a commit. A power cut takes at most this much; "
        "shorter wears the memory card more.",
    )
    keep_days: float = Field(7, gt=0, description="How long sent records are kept so that they can be asked for again.")
