"""An event on paper: how many came, the peaks, the time beyond limits, the alarms. Vietnamese first; no script, nothing
loaded. Whatever comes out of the store is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from config.plan import PlannedEvent
from config.site import LoadedSite
from gateway import __version__
from gateway.indicators.engine import Derived
from gateway.indicators.periods import local
from gateway.model.measure import Kind

_GROWS = (Kind.DELTA, Kind.SUM, Kind.COUNT)
_FIGURES = (
    ("Nơi", "where"),
    ("Chỉ số", "indicator"),
    ("Tổng", "total"),
    ("Thấp nhất", "lowest"),
    ("Cao nhất", "highest"),
    ("Vượt giới hạn, phút", "minutes over"),
    ("Có số liệu", "known"),
)
_ALARMS = (
    ("Từ", "from"),
    ("Đến", "to"),
    ("Nơi", "where"),
    ("Cảnh báo", "alarm"),
    ("Mức cao nhất", "worst level"),
    ("Giá trị xấu nhất", "worst value"),
    ("Người xác nhận", "acknowledged by"),
)
_ZONES = (("Khu vực", "zone"), ("Diện tích, m²", "area"), ("Sức chứa", "capacity"))


@dataclass(frozen=True, slots=True)
class _Value:
    """One derived value: the newest revision of its time."""

    at_ms: int
    number: float | None
    is_over: bool
    revision: int


class Summary:
    """Takes the records of an event in any order, and makes the page of them."""

    def __init__(self, site: LoadedSite, event: PlannedEvent) -> None:
        self._site = site
        self._event = event
        self._values: dict[tuple[str, str], dict[int, _Value]] = {}
        self._alarms: dict[str, dict[str, Any]] = {}

    def take(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            if "al" in row:
                self._alarm(row)
            else:
                self._value(row)

    def _value(self, row: Mapping[str, Any]) -> None:
        value, revision = row.get("v"), row.get("rv", 0)
        number = float(value) if isinstance(value, int | float) else None
        is_over = row.get("lm", {}).get("st") == "unmet"
        its = self._values.setdefault((row.get("pt", ""), row.get("ind", "")), {})
        before = its.get(row["t1"])
        if before is None or revision >= before.revision:
            its[row["t1"]] = _Value(row["t1"], number, is_over, revision)

    def _alarm(self, row: Mapping[str, Any]) -> None:
        said = row["al"]
        known = self._alarms.setdefault(str(said.get("id")), {"worst": 0})
        text = known.get("text") or said.get("text", {})  # what it was raised for, and not why it ended
        known |= {**said, "text": text, "pt": row.get("pt", ""), "of": row.get("tg", {}).get("of", "")}
        known["worst"] = max(known["worst"], said.get("lvl", 0))

    # --- the page -----------------------------------------------------------------------------------------------------

    def page(self, now_ms: int) -> str:
        event = self._event.source.event
        template = Template(files("gateway.cli").joinpath("journal_report.html").read_text(encoding="utf-8"))
        facts = (
            ("Thời gian", "Time", f"{_when(event.span.start_ms)} – {_when(event.span.end_ms)}"),
            ("Giờ mở cửa", "Hours", event.hours),
            ("Địa điểm", "Site", self._site.document.site),
            ("Lập lúc", "Made", f"{_when(now_ms)}, gateway {self._site.document.gateway} {__version__}"),
        )
        lines = "".join(
            f"<tr><th>{vi} / <i>{en}</i></th><td>{escape(text) or '–'}</td></tr>\n" for vi, en, text in facts
        )
        sections = (
            f"<section>\n<h1>{escape(event.title_vi)}</h1>\n<p><i>{escape(event.title_en)}</i></p>\n"
            f"<table class='facts'>\n{lines}</table>\n{self._zones()}{self._figures()}{self._alarm_table()}</section>\n"
        )
        title = escape(f"{event.title_vi} / {event.title_en}")
        return template.substitute(title=title, sections=sections)

    def _zones(self) -> str:
        rows = [
            (zone.name, "–" if zone.area_m2 is None else f"{zone.area_m2:.0f}", f"{zone.capacity or '–'}")
            for zone in self._event.source.event.zones.values()
        ]
        return _table("Khu vực", "Zones", _ZONES, rows)

    def _figures(self) -> str:
        rows = [self._row(derived) for derived in self._event.plan.derived if derived.published]
        return _table("Kết quả", "Results", _FIGURES, rows)

    def _row(self, derived: Derived) -> Sequence[str]:
        signal, period = derived.signal, derived.period
        its = sorted(self._values.get((signal.point, signal.indicator), {}).values(), key=lambda one: one.at_ms)
        known = [(one.number, one.at_ms) for one in its if one.number is not None]
        is_sum = signal.kind in _GROWS and period.every_s == period.length_s
        over_min = sum(one.is_over for one in its) * period.every_s / 60
        unit = "" if signal.unit in ("", "1") else f" {signal.unit}"
        due = list(period.ended(*self._event.source.event.span))
        return (
            signal.point.removeprefix(self._event.source.prefix),
            f"{signal.name_vi} / {signal.name_en}",
            f"{_figure(sum(number for number, _ in known))}{unit}" if is_sum and known else "–",
            _extreme(min(known, default=None), unit),
            _extreme(max(known, key=lambda one: (one[0], -one[1]), default=None), unit),
            f"{over_min:.0f}" if derived.thresholds else "–",
            f"{min(1.0, len(known) / len(due)):.0%}" if due else "–",
        )

    def _alarm_table(self) -> str:
        ordered = sorted(self._alarms.values(), key=lambda one: (one.get("opened", 0), str(one.get("id"))))
        rows = [
            (
                _when(one["opened"]) if "opened" in one else "–",
                _when(one["cleared"]) if "cleared" in one else "chưa hết / open",
                str(one["pt"]).removeprefix(self._event.source.prefix),
                _text(one.get("text", {})) or str(one["of"]),
                str(one["worst"]),
                _figure(one["peak"]) if isinstance(one.get("peak"), int | float) else "–",
                str(one.get("by", "–")),
            )
            for one in ordered
        ]
        return _table("Cảnh báo", "Alarms", _ALARMS, rows)


def _table(vi: str, en: str, columns: Iterable[tuple[str, str]], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(one)}<br><i>{escape(other)}</i></th>" for one, other in columns)
    lines = "\n".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows)
    body = lines or "<tr><td colspan='9'>–</td></tr>"
    title = f"<h2>{escape(vi)} / <span class='en'>{escape(en)}</span></h2>\n"
    return f"{title}<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n"


def _text(said: Mapping[str, Any]) -> str:
    return " / ".join(str(said[language]) for language in ("vi", "en") if said.get(language))


def _extreme(found: tuple[float, int] | None, unit: str) -> str:
    return "–" if found is None else f"{_figure(found[0])}{unit} ({_when(found[1])})"


def _when(at_ms: int) -> str:
    return local(at_ms).strftime("%d/%m/%Y %H:%M")


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
