"""What an export is written as: CSV, JSON Lines, Parquet. Each takes batches of rows and keeps none of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from io import TextIOWrapper
from typing import IO, Any, Protocol

from gateway.model.errors import Unsupported

BOM = b"\xef\xbb\xbf"
_PARTS = ("sum", "min", "max", "first", "last")
_MEANING = (
    "limit_status", "limit_op", "limit", "limit_profile", "revision", "detail", "alarm", "alarm_id", "alarm_text",
)  # fmt: skip
_TEXTS = (
    "time", "window_start", "point", "indicator", "tags", "unit", "quality", "reasons", "lane", "stored",
    "limit_status", "limit_op", "limit_profile", "detail", "alarm", "alarm_id", "alarm_text",
)  # fmt: skip
_MEASURED = (
    "time", "time_ms", "window_start", "window_start_ms", "point", "indicator", "tags", "value", "unit", "quality",
    "reasons", "readings", "readings_expected", *_PARTS,
)  # fmt: skip
RECORD = ("rid", *_MEASURED, "lane", "waits", "stored", "stored_ms", *_MEANING)
WINDOW = ("span_s", *_MEASURED)


class Sheet(Protocol):
    """Something rows are written to. `close` completes it; the stream stays open."""

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None: ...

    def close(self) -> None: ...


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record or a window as columns: local times with ms and offset, and the same as ms UTC."""
    parts = row.get("p") or {}
    return {
        "rid": row.get("rid"),
        "span_s": row.get("span_s"),
        "time": _local(row["t1"]),
        "time_ms": row["t1"],
        "window_start": _local(row.get("t0")),
        "window_start_ms": row.get("t0"),
        "point": row.get("pt", ""),
        "indicator": row.get("ind", ""),
        "tags": ";".join(f"{key}={value}" for key, value in row.get("tg", {}).items()),
        "value": row.get("v"),
        "unit": row.get("u", ""),
        "quality": row.get("q", ""),
        "reasons": ",".join(row.get("f", ())),
        "readings": row.get("n"),
        "readings_expected": row.get("ne"),
        **{name: parts.get(name) for name in _PARTS},
        "lane": row.get("lane", ""),
        "waits": row.get("waits"),
        "stored": _local(row.get("at_ms")),
        "stored_ms": row.get("at_ms"),
        **_meaning(row),
    }


def _meaning(row: Mapping[str, Any]) -> dict[str, Any]:
    """What only derived indicators and alarms have."""
    limit, alarm, detail = row.get("lm") or {}, row.get("al") or {}, row.get("d")
    return {
        "limit_status": limit.get("st"),
        "limit_op": limit.get("op"),
        "limit": limit.get("lim"),
        "limit_profile": limit.get("pf"),
        "revision": row.get("rv"),
        "detail": json.dumps(detail, ensure_ascii=False) if detail else None,
        "alarm": alarm.get("st"),
        "alarm_id": alarm.get("id"),
        "alarm_text": alarm.get("text", {}).get("vi"),
    }


def safe(value: Any) -> Any:
    """A cell of CSV: no text that a spreadsheet would take for a formula, no true and false."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return int(value) if isinstance(value, bool) else value


@lru_cache(maxsize=4096)  # neighbours have the same times
def _local(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):  # a number that is no time; it stands beside this as it is
        return None


class CsvSheet:
    """For spreadsheets. Text that one would take for a formula gets an apostrophe in front. `comma`: decimals are
    written 1,5 and columns are parted by ";", as a spreadsheet set to Vietnamese reads them."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str], *, comma: bool = False, bom: bool = True) -> None:
        if bom:
            stream.write(BOM)
        self._text = TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="", write_through=True)
        self._columns = columns
        foreign = ("point", "indicator", "tags", "value", "unit", "reasons", "waits", *_MEANING)
        self._foreign = foreign  # not made here, or no word
        self._comma = comma
        self._csv = csv.writer(self._text, delimiter=";" if comma else ",")
        self._csv.writerow(columns)

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in map(flat, rows):
            for column in self._foreign:
                row[column] = safe(row[column])
            if self._comma:
                for column in ("value", "limit", *_PARTS):
                    if isinstance(row[column], float):
                        row[column] = repr(row[column]).replace(".", ",")
            self._csv.writerow([row[column] for column in self._columns])

    def close(self) -> None:
        self._text.flush()
        self._text.detach()


class JsonLines:
    """For programs: each record as it is stored, with `time` (local), `u`, `lane`, `at_ms` and `waits`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        lines = [json.dumps({**row, "time": _local(row["t1"])}, ensure_ascii=False) + "\n" for row in rows]
        self._stream.write("".join(lines).encode("utf-8", "replace"))

    def close(self) -> None:
        self._stream.flush()


class ParquetSheet:
    """For analysis. Times are UTC timestamps; a value that is a word stands in `value_text`."""

    BATCH = 20_000

    def __init__(self, stream: IO[bytes], columns: Sequence[str]) -> None:
        """Raises Unsupported without pyarrow."""
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as error:
            hint = "pip install 'ioc-edge-gateway[parquet]', or --as csv"
            raise Unsupported("Parquet needs pyarrow, which is not installed", hint=hint) from error
        self._arrow = pa
        self._schema = pa.schema([(name, self._type(name)) for name in (*columns, "value_text")])
        self._file = parquet.ParquetWriter(stream, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in map(flat, rows):
            value = row["value"]
            row["value_text"] = value if isinstance(value, str) else None
            row["value"] = None if value is None or isinstance(value, str) else float(value)
            row.update(time=row["time_ms"], window_start=row["window_start_ms"], stored=row["stored_ms"])
            self._rows.append(row)
        if len(self._rows) >= self.BATCH:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows.clear()

    def _type(self, name: str) -> Any:
        if name in {"time", "window_start", "stored"}:
            return self._arrow.timestamp("ms", tz="UTC")
        if name in {"value", "limit", *_PARTS}:
            return self._arrow.float64()
        if name == "waits":
            return self._arrow.bool_()
        return self._arrow.string() if name in _TEXTS or name == "value_text" else self._arrow.int64()
