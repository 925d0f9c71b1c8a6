"""The violation of a limit, as the journal holds it (entries of kind `violation`).

One violation is several entries under one `id`: opened, extended while it lasts, closed, acknowledged. An entry is
never changed; a correction is another one. Each says the whole as it is known then, so that the last one is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, NamedTuple, Self

from gateway.model.limit import Limit

MAX_READINGS = 500


class ViolationState(StrEnum):
    OPENED = "opened"
    EXTENDED = "extended"
    CLOSED = "closed"
    ACKNOWLEDGED = "acknowledged"
    CORRECTED = "corrected"


class Status(NamedTuple):
    """What the instrument said of itself: 00 measuring, 01 calibrating, 02 fault (Thông tư 10/2021/TT-BTNMT)."""

    at_ms: int
    code: str


class Measured(NamedTuple):
    """A reading or a mean of the time in question. `value` is None where there is none."""

    start_ms: int
    end_ms: int
    value: float | None
    quality: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Times in ms UTC; `end_ms` and `mean` are None while they are not known. `n` of `expected` readings were valid.
    `clip`: the name of a recording that stays on site. Raises ValueError for what cannot be."""

    id: str
    state: ViolationState
    site: str
    place: str
    indicator: str
    name_en: str
    name_vi: str
    unit: str
    limit: Limit
    start_ms: int
    end_ms: int | None = None
    peak: float
    peak_ms: int
    mean: float | None = None
    n: int
    expected: int
    readings: Sequence[Measured] = ()
    statuses: Sequence[Status] = ()
    bottle: str = ""
    clip: str = ""
    acknowledged_by: str = ""
    acknowledged_ms: int | None = None
    remarks: str = ""

    def __post_init__(self) -> None:
        for name in ("id", "site", "indicator"):
            _must(bool(getattr(self, name)), f"a violation has a {name}")
        _must(self.limit.op in {"<", "<=", ">", ">="}, f"{self.limit.op!r} compares nothing")
        _must(bool(self.limit.basis and self.limit.profile), "a limit says where it comes from")
        _must(0 <= self.n <= self.expected, "more readings than were expected")
        _must(len(self.readings) <= MAX_READINGS, f"{MAX_READINGS} readings at most; the rest is in the history")
        _must(self.end_ms is None or self.end_ms >= self.start_ms, "it ends before it starts")
        _must(self.state is not ViolationState.CLOSED or self.end_ms is not None, "closed without an end")
        _must(self.state is not ViolationState.ACKNOWLEDGED or bool(self.acknowledged_by), "acknowledged by nobody")

    @property
    def completeness(self) -> float:
        return self.n / self.expected if self.expected else 0.0

    @property
    def duration_s(self) -> float | None:
        return None if self.end_ms is None else (self.end_ms - self.start_ms) / 1000

    def body(self) -> dict[str, Any]:
        """For `Journal.note("violation", ...)`: plain JSON with all fields, and two figures that follow."""
        return {**asdict(self), "completeness": self.completeness, "duration_s": self.duration_s}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """A journal entry's body as a violation. Unknown keys, of a newer gateway, are left out. Raises ValueError."""
        known = {field.name for field in fields(cls)}
        try:
            return cls(
                **{key: body[key] for key in body if key in known - {"state", "limit", "readings", "statuses"}},
                state=ViolationState(body["state"]),
                limit=Limit(**body["limit"]),
                readings=tuple(Measured(*reading) for reading in body.get("readings", ())),
                statuses=tuple(Status(*status) for status in body.get("statuses", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"no violation: {error}") from error


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)
