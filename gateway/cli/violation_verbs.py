"""gateway violation: what the journal holds of violations, and that a person has seen one. List and show only read,
also beside a running gateway and in a copied file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.output import local_time, print_json, printable
from gateway.model.errors import BadArgument

_SITE = Annotated[Path | None, typer.Argument(help="The site file. / Tệp cấu hình điểm.")]
_DB = Annotated[Path | None, typer.Option("--db", help="A store file, also a copy. / Tệp kho dữ liệu.")]
_ID = Annotated[str, typer.Argument(help="Id of a violation. / Mã vi phạm.")]
_JSON = Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")]
_STATES = {
    "opened": ("open", "đang mở"),
    "extended": ("open", "đang mở"),
    "closed": ("closed", "đã kết thúc"),
    "acknowledged": ("acknowledged", "đã xác nhận"),
    "corrected": ("corrected", "đã đính chính"),
}


def list_(file: _SITE = None, *, db: _DB = None, as_json: _JSON = False) -> None:
    """List violations, newest first, as last known. / Liệt kê vi phạm, mới nhất trước."""
    latest = {name: rows[-1] for name, rows in _records(_store(file, db, "list")).items()}
    found = [latest[name] for name in sorted(latest, reverse=True)]
    if as_json:
        print_json(
            {"violations": [{k: v for k, v in one.items() if k not in ("readings", "statuses")} for one in found]}
        )
        return
    for one in found:
        by = one.get("acknowledged_by")
        seen = f"  seen by / đã xác nhận: {by}" if by else ""
        print(_line({**one, "state": _lasting(one)}) + printable(seen))
    if not found:
        print("no violations / chưa có vi phạm nào")


def show(violation: _ID, file: _SITE = None, *, db: _DB = None, as_json: _JSON = False) -> None:
    """Show every entry of one violation. / Xem mọi mục của một vi phạm."""
    records = _records(_store(file, db, f"show {violation}"))
    if violation not in records:
        known = ", ".join(sorted(records)[-8:])
        hint = f"there are {known}" if known else "there is none in this journal"
        raise BadArgument(f"no violation {violation!r}", hint=hint)
    entries = records[violation]
    if as_json:
        print_json({"id": violation, "entries": entries})
        return
    for entry in entries:
        print(_line(entry))
        limit, last = entry.get("limit", {}), entry.get("remarks")
        basis = " ".join(str(limit[key]) for key in ("basis", "clause", "permit") if limit.get(key))
        print(f"    n {entry.get('n')}/{entry.get('expected')}, mean / trung bình {_number(entry.get('mean'))}, "
              f"{printable(basis)}")  # fmt: skip
        if last:
            print(f"    {printable(str(last))}")


def ack(
    violation: _ID,
    file: Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")],
    remarks: Annotated[str, typer.Option("--remarks", "-m", help="What is to be said of it. / Ghi chú.")] = "",
    *,
    by: Annotated[str | None, typer.Option("--by", help="Who has seen it, if not this user. / Người xác nhận.")] = None,
    as_json: _JSON = False,
) -> None:
    """Say that you have seen a violation; it stays open while it lasts. / Xác nhận đã biết vi phạm."""
    from config.site import load_site
    from gateway.api import SOCKET_NAME, tell

    socket = load_site(file).state_dir / SOCKET_NAME
    said = {"id": violation, "remarks": remarks, **({"by": by} if by else {})}
    result = asyncio.run(tell(socket, "violation.ack", said, 30.0))
    if as_json:
        print_json(result)
    else:
        print(f"{violation}: acknowledged / đã xác nhận")


def _store(file: Path | None, db: Path | None, verb: str) -> Path:
    if db is not None:
        return db
    if file is None:
        raise BadArgument("name a site file, or a store with --db", hint=f"gateway violation {verb} --db store.sqlite3")
    from config.site import load_site

    site = load_site(file)
    return site.state_dir / site.document.buffer.file


def _records(store: Path) -> dict[str, list[dict[str, Any]]]:
    """The entries of each violation, oldest first."""
    from buffer import journal

    found: dict[str, list[dict[str, Any]]] = {}
    with journal.opened(store) as connection:
        for row in journal.entries(connection, journal.Choice(kinds=frozenset({"violation"}))):
            if "id" in row.content:
                found.setdefault(str(row.content["id"]), []).append(row.content)
    return found


def _lasting(one: dict[str, Any]) -> Any:
    """That somebody has seen it does not say whether it is over."""
    seen = one.get("state") == "acknowledged"
    return ("opened" if one.get("end_ms") is None else "closed") if seen else one.get("state")


def _line(one: dict[str, Any]) -> str:
    state = " / ".join(_STATES.get(str(one.get("state")), (str(one.get("state")),)))
    limit, end_ms = one.get("limit", {}), one.get("end_ms")
    until = f" → {local_time(end_ms)}" if end_ms else ""
    value = f"{_number(one.get('peak'))} {one.get('unit')}, {limit.get('op')} {_number(limit.get('value'))}"
    what = f"{one.get('place')} {one.get('indicator')} {value} ({limit.get('profile')})"
    return printable(f"{one['id']}  {state}: {what}  {local_time(one.get('start_ms'))}{until}")


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else "-"
