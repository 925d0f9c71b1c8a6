"""Settings of the store."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HistorySettings(BaseModel):
    """How long closed windows are kept, by their length. Longer ones are folded from shorter ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_hours: float = Field(26, ge=1, description="Hours that windows shorter than 5 min are kept.")
    five_minutes_days: float = Field(90, ge=2, description="Days that windows of 5 min and more are kept.")
    hour_years: float = Field(5, gt=0, description="Years that windows of an hour and more are kept.")


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
    max_mb: float = Field(
        512,
        ge=4,
        description="Most the store's file may take, MB. When full, sent records go first, then history, then the "
        "oldest unsent telemetry; alarms and outcomes stay.",
    )
    sent_share: float = Field(
        0.6, gt=0, le=1, description="Share of max_mb that records already sent may take, the oldest go first."
    )
    ballast_mb: float = Field(
        16,
        ge=0,
        description="A file that is given up when the partition is full, so that the store can still work. 0: none.",
    )
    journal_mb: float = Field(
        64, ge=1, description="Most the journal may take, MB; beyond that its oldest entries are cut off, and said so."
    )
    check_s: float = Field(10, ge=0, description="How long a start after an unclean stop may take to check the file.")
    card_tb: float | None = Field(
        None, gt=0, description="Endurance of the memory card by its data sheet, TB written (TBW); for years left."
    )
    history: HistorySettings = Field(
        HistorySettings(), description="How long closed windows are kept, by their length."
    )
