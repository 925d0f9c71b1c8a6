"""What a document gets wrong, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

Path = tuple[str | int, ...]
Severity = Literal["error", "warning"]


class Code(StrEnum):
    """Every kind of finding. Explained, in English and Vietnamese, in `gateway.model.codes`."""

    NOT_READABLE = "not-readable"
    BAD_SYNTAX = "bad-syntax"
    DUPLICATE_KEY = "duplicate-key"
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    WRONG_TYPE = "wrong-type"
    OUT_OF_RANGE = "out-of-range"
    BAD_CHOICE = "bad-choice"
    BAD_NAME = "bad-name"
    BAD_VALUE = "bad-value"
    CODE_AS_NUMBER = "code-as-number"
    DUPLICATE_NAME = "duplicate-name"
    PASSWORD_IN_DOCUMENT = "password-in-document"  # noqa: S105 - the name of a finding
    UNKNOWN_WIRE = "unknown-wire"
    UNKNOWN_PROFILE = "unknown-profile"
    WRONG_WIRE_KIND = "wrong-wire-kind"
    MISSING_UNIT = "missing-unit"
    DUPLICATE_UNIT = "duplicate-unit"
    SHARED_PORT = "shared-port"
    NO_SUCH_POINT = "no-such-point"
    NOT_WRITABLE = "not-writable"
    UNCONFIRMED_PROFILE = "unconfirmed-profile"
    UNUSED_WIRE = "unused-wire"
    UNKNOWN_PROVINCE = "unknown-province"
    UNKNOWN_COMMUNE = "unknown-commune"
    WRONG_PROVINCE = "wrong-province"
    OUTSIDE_PROVINCE = "outside-province"
    UNKNOWN_ZONE = "unknown-zone"
    UNKNOWN_ROUTE = "unknown-route"
    AREA_DIFFERS = "area-differs"
    NO_TLS = "no-tls"
    STATE_DIR = "state-dir"
    RELATIVE_PATH = "relative-path"
    MISSING_FILE = "missing-file"
    UNSTABLE_PORT = "unstable-port"
    TOO_FAST = "too-fast"
    FASTER_THAN_CYCLE = "faster-than-cycle"
    SHORT_WINDOW = "short-window"
    EXAMPLE_DIFFERS = "example-differs"
    NO_EXAMPLE = "no-example"
    BAD_ROW = "bad-row"
    UNKNOWN_INDICATOR = "unknown-indicator"
    NO_INPUT = "no-input"
    UNKNOWN_LIMIT_PROFILE = "unknown-limit-profile"
    NO_SUCH_LIMIT = "no-such-limit"
    LIMIT_NOT_IN_FORCE = "limit-not-in-force"
    LIMIT_MATCHES_NOTHING = "limit-matches-nothing"
    LIMIT_UNIT = "limit-unit"
    LIMIT_UNCONFIRMED = "limit-unconfirmed"
    EVENT_OVER = "event-over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to look at. `line` and `column` count from 1; `path` is dotted, "" for the whole file."""

    file: str
    line: int
    column: int
    code: Code
    path: str
    message: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.code} {self.path}" if self.path else str(self.code)
        word = "warning: " if self.severity == "warning" else ""
        hint = f"\n    hint: {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column} {place}: {word}{self.message}{hint}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "code": str(self.code)}


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Sorted by file and place, each once."""
    return sorted(set(findings), key=lambda f: (f.file, f.line, f.column, f.code, f.path, f.message))


def has_errors(findings: Iterable[Finding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def dotted(path: Path) -> str:
    """("wires", "field", "ports", 0) -> "wires.field.ports[0]"."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
