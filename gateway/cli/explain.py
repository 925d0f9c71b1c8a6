"""gateway explain CODE: what a code means and what to do, in English and Vietnamese."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import Annotated

import typer

from gateway.cli.output import print_json
from gateway.model.codes import Explanation, catalogue


def explain(
    code: Annotated[
        str | None, typer.Argument(help="The code, as it stands in a message. / Mã trong thông báo.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs. / In JSON.")] = False,
) -> None:
    """Explain a code: what it means and what to do. Without a code: all of them. / Giải thích mã.

    Exit code 1 if there is no such code.
    """
    if code is None:
        _all(as_json=as_json)
        return
    wanted = code.strip("[] \t").lower()
    entry = catalogue().get(wanted)
    if entry is None:
        near = difflib.get_close_matches(wanted, catalogue(), n=3)
        hint = f"did you mean / có phải: {', '.join(near)}?" if near else "gateway explain"
        typer.echo(f"no such code / không có mã này: {wanted}\n    {hint}", err=True)
        raise typer.Exit(1)
    if as_json:
        print_json(asdict(entry))
    else:
        print(_page(entry))


def _all(*, as_json: bool) -> None:
    entries = catalogue().values()
    if as_json:
        print_json({"codes": [asdict(entry) for entry in entries]})
        return
    width = max(len(entry.code) for entry in entries)
    for entry in entries:
        print(f"{entry.code:{width}}  {entry.kind:7}  {entry.title_en} / {entry.title_vi}")


def _page(entry: Explanation) -> str:
    return (
        f"{entry.code} ({entry.kind})\n\n"
        f"{entry.title_en}\n  {entry.meaning_en}\n  What to do: {entry.action_en}\n\n"
        f"{entry.title_vi}\n  {entry.meaning_vi}\n  Cách xử lý: {entry.action_vi}"
    )
