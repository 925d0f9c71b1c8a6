"""gateway catalogue: what the indicators are, how they are formed, and whether the catalogue holds together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.output import print_json
from gateway.model.errors import BadArgument

if TYPE_CHECKING:
    from gateway.indicators.catalogue import Entry

_JSON = typer.Option("--json", help="JSON for programs. / Xuất JSON.")


def list_(
    word: Annotated[str | None, typer.Argument(help="Part of a code or a name, accents or not. / Từ cần tìm.")] = None,
    *,
    scenario: Annotated[
        int | None, typer.Option(min=1, max=21, help="Only what this scenario of the plans uses. / Theo kịch bản.")
    ] = None,
    derived: Annotated[
        bool, typer.Option("--derived", help="Only what a site can publish. / Chỉ số dẫn xuất.")
    ] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """List the indicators. / Liệt kê chỉ số."""
    from config.indicators_of import catalogue
    from gateway.cli.catalogue_view import print_entries

    entries = [
        entry
        for entry in catalogue().values()
        if (word is None or _speaks_of(entry, word))
        and (scenario is None or scenario in entry.scenarios)
        and (entry.formula or not derived)
    ]
    if as_json:
        print_json({"indicators": [entry.model_dump(mode="json", exclude_defaults=True) for entry in entries]})
    else:
        print_entries(entries)
    raise typer.Exit(0 if entries else 1)


def _speaks_of(entry: Entry, words: str) -> bool:
    from config.cells import plain

    text = plain(f"{entry.code} {entry.name_en} {entry.name_vi}")
    return all(word in text for word in plain(words).split())


def show(
    code: Annotated[str, typer.Argument(help="Code of an indicator: air.vn_aqi_1h. / Mã chỉ số.")],
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show what an indicator means, what it is made of, and what it can be told. / Xem một chỉ số."""
    from config.indicators_of import agencies, catalogue
    from config.words import did_you_mean
    from gateway.cli.catalogue_view import entry_json, print_entry

    entry = catalogue().get(code)
    if entry is None:
        hint = did_you_mean(code, catalogue()) or "gateway catalogue list"
        raise BadArgument(f"there is no indicator {code!r}", where="CODE", hint=hint)
    if as_json:
        print_json(entry_json(entry, agencies()))
    else:
        print_entry(entry, agencies())


def check(*, as_json: Annotated[bool, _JSON] = False) -> None:
    """Check that the catalogue holds together. / Kiểm tra danh mục chỉ số.

    Formulas exist and get what they need, inputs and agencies are there, every code of a device profile is explained
    and has one unit. Exit code 1 if not.
    """
    from config.findings import has_errors
    from config.indicators_of import catalogue, findings

    found = findings()
    if as_json:
        print_json({"findings": [finding.as_dict() for finding in found], "indicators": len(catalogue())})
    else:
        for finding in found:
            typer.echo(finding)
        if not found:
            typer.echo(f"{len(catalogue())} indicators, nothing wrong / không có lỗi")
    raise typer.Exit(1 if has_errors(found) else 0)
