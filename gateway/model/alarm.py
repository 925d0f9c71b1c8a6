"""An alarm: one crossing of a threshold, from its raising to its clearing, under one id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self


class AlarmState(StrEnum):
    """What a message of an alarm says. LEVEL: it became more or less severe. ACKNOWLEDGED: a person has seen it; it
    stays open until the value is back. Only CLEARED ends it."""

    RAISED = "raised"
    LEVEL = "level"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "rule", "signal", "point", "indicator", "text_en", "text_vi", "by"), (str,)),
    **dict.fromkeys(("level", "at_ms", "opened_ms", "peak_ms", "cleared_ms", "acknowledged_ms"), (int,)),
    **dict.fromkeys(("value", "peak"), (int, float)),
    "communes": (list, tuple),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One message of an alarm's life. Each says the whole as it is known then. Times in ms UTC.

    id        the same from raising to clearing, and never again
    rule      the threshold's id
    level     1 is the mildest; at CLEARED the level it had before
    at_ms     of this message; never before that of the one before it
    opened_ms since when the value was beyond the limit without coming back, also while it had yet to hold
    value     the last that was measured; peak: the worst since `opened_ms`
    by        who acknowledged it; empty again when it became worse afterwards
    """

    id: str
    rule: str
    state: AlarmState
    level: int
    signal: str
    point: str
    indicator: str
    at_ms: int
    opened_ms: int
    value: float | None
    peak: float
    peak_ms: int
    cleared_ms: int | None = None
    text_en: str = ""
    text_vi: str = ""
    by: str = ""
    acknowledged_ms: int | None = None
    communes: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """Plain JSON with all fields that say something."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "", ())}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Self:
        """A `body` as an alarm again. Unknown keys, of a newer gateway, are left out. Raises ValueError."""
        known = {field.name for field in fields(cls)} - {"state", "communes"}
        wrong = [name for name, kind in _KINDS.items() if name in body and type(body[name]) not in kind]
        if wrong:
            raise ValueError(f"no alarm: of the wrong type: {', '.join(wrong)}")
        try:
            return cls(
                **{"value": None, **{key: body[key] for key in body if key in known}},
                state=AlarmState(body["state"]),
                communes=tuple(body.get("communes", ())),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no alarm: {error}") from error
