"""What the catalogue of indicators looks like in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.indicators.book import FORMULAS
from gateway.indicators.catalogue import Agency, Entry

Agencies = Mapping[str, Mapping[str, Agency]]


def entry_json(entry: Entry, agencies: Agencies) -> dict[str, Any]:
    """The entry with its agencies and what its formula can be told."""
    answers = {province: agency.model_dump() for province, agency in agencies.get(entry.agency, {}).items()}
    return {
        **entry.model_dump(mode="json", exclude_defaults=True),
        "agencies": answers,
        "settings_schema": _settings(entry),
    }


def _settings(entry: Entry) -> dict[str, Any]:
    if not entry.formula:
        return {}
    properties: dict[str, Any] = FORMULAS[entry.formula].params.model_json_schema().get("properties", {})
    return properties


def print_entries(entries: Sequence[Entry]) -> None:
    console = Console(highlight=False)
    if not entries:
        console.print("no indicator has this / không tìm thấy: gateway catalogue list")
        return
    table = Table("code\nmã", "indicator\nchỉ số", "unit\nđơn vị", "period\nchu kỳ", box=SIMPLE_HEAD, pad_edge=False)
    for entry in entries:
        mark = "[green]●[/]" if entry.formula else "[dim]○[/]"
        names = f"{escape(entry.name_vi)}\n[dim]{escape(entry.name_en)}[/]"
        table.add_row(f"{mark} {entry.code}", names, escape(entry.unit) or "-", _period(entry))
    console.print(table)
    console.print(f"{len(entries)}; [green]●[/] derived / dẫn xuất, [dim]○[/] measured / đo trực tiếp")


def _period(entry: Entry) -> str:
    return f"{entry.period}\n/ {entry.every}" if entry.every else entry.period or "-"


def print_entry(entry: Entry, agencies: Agencies) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{entry.code}[/]  {escape(entry.name_vi)} / {escape(entry.name_en)}")
    console.print(escape(entry.definition_vi))
    console.print(f"[dim]{escape(entry.definition_en)}[/]")
    answers = "; ".join(f"{province}: {agency.name_vi}" for province, agency in agencies.get(entry.agency, {}).items())
    facts = {
        "unit / đơn vị": entry.unit,
        "aggregation / cách gộp": str(entry.aggregation),
        "period / chu kỳ": _period(entry).replace("\n", " "),
        "made of / tính từ": "; ".join(f"{role}: {', '.join(codes)}" for role, codes in entry.inputs.items()),
        "group / nhóm": ", ".join(entry.group),
        "scenarios / kịch bản": ", ".join(map(str, entry.scenarios)),
        "FIWARE": entry.fiware,
        "agency / cơ quan": answers,
    }
    for name, text in facts.items():
        if text:
            console.print(f"[dim]{name}:[/] {escape(text)}")
    settings = _settings(entry)
    if settings:
        console.print("\nwith: (in the site file / trong tệp cấu hình)")
    for name, about in settings.items():
        default = entry.settings.get(name, about.get("default", "must be given / bắt buộc"))
        console.print(f"  [bold]{name}[/]: {escape(str(default))}  [dim]{escape(about.get('description', ''))}[/]")
