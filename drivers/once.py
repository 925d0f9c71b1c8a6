"""Reading a device once, by hand: what `gateway read DEVICE [POINT]` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.model.errors import Unsupported
from gateway.model.measure import Reading


@dataclass(frozen=True, slots=True)
class PointRead:
    """One point as it came and as it is understood.

    raw: the registers in wire order, the bit, or the text field; empty when nothing came. answer_ms: how long the
    request that carried it took. error: what went wrong, with a hint; empty if nothing did.
    """

    point: str
    raw: tuple[int, ...] | str
    reading: Reading
    unit: str
    answer_ms: float
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "point": self.point,
            "raw": list(self.raw) if isinstance(self.raw, tuple) else self.raw,
            "value": self.reading.value,
            "unit": self.unit,
            "quality": self.reading.quality.value,
            "reasons": [reason.value for reason in self.reading.reasons],
            "ms": round(self.answer_ms, 1),
            "error": self.error,
        }


def nothing_there(device: str, point: str | None) -> Unsupported:
    """Somebody asked for what is not on this wire."""
    place = device if point is None else f"{device}/{point}"
    return Unsupported("there is no such device or point on this wire", where=place, hint="see `gateway check`")
