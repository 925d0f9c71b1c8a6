"""gateway tt10: the files for the authority, from what stands on the disk; also beside a running gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.output import print_json, short_time
from gateway.cli.words import moment
from gateway.model.errors import BadArgument, NotRunning

if TYPE_CHECKING:
    from config.site import LoadedSite
    from gateway.uplink.tt10.settings import Tt10Export

_SITE = Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")]
_STATION = Annotated[str | None, typer.Option("--station", help="One station only. / Chỉ một trạm.")]


def status(
    file: _SITE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")] = False,
) -> None:
    """Show the files: kept, waiting, refused, last sent. / Xem tệp đã lưu, đang chờ, bị từ chối, đã gửi."""
    from gateway.uplink.tt10.export import shelf_of

    site = _load(file)
    live = _live(site)
    content = {
        export.station: {
            **shelf_of(export, site.base).summary(),
            "to": f"{export.send.kind}://{export.send.host}" if export.send else "",
            "running": export.station in live,
            **{key: live.get(export.station, {}).get(key) for key in ("last_sent", "last_sent_ms", "error")},
        }
        for export in site.document.tt10
    }
    if as_json:
        print_json(content)
    else:
        _print(content)


def resend(
    file: _SITE,
    from_: Annotated[str, typer.Option("--from", help="First, GMT+7: 2026-01-31 or 2026-01-31T08:00. / Từ lúc.")],
    to: Annotated[str, typer.Option("--to", help="Last, in the same way; a day is meant whole. / Đến lúc.")],
    station: _STATION = None,
) -> None:
    """Send kept files of a time once more. / Gửi lại các tệp đã lưu trong một khoảng thời gian.

    The running gateway finds them within half a minute; one that does not run sends them at its next start.
    """
    from gateway.model.tt10 import ZONE
    from gateway.uplink.tt10.export import shelf_of

    began, ends = moment(from_, "--from", zone=ZONE), moment(to, "--to", last=True, zone=ZONE)
    if ends < began:
        raise BadArgument("--to is before --from", where="--to", hint="swap the two")
    chosen = [export for export in _load(file).document.tt10 if station in {None, export.station}]
    if not chosen:
        raise BadArgument(
            f"there is no station {station!r} in this site", where=str(file), hint=f"gateway tt10 status {file}"
        )
    base = file.absolute().parent
    for export in chosen:
        _say(export, shelf_of(export, base).resend(began, ends) if export.send else None)


def _say(export: Tt10Export, files: int | None) -> None:
    if files is None:
        print(f"{export.station}: nothing is sent from here, there is no `send:` / không gửi, chưa có `send:`")
    else:
        print(f"{export.station}: {files} file(s) wait to be sent again / tệp chờ gửi lại")


def _load(file: Path) -> LoadedSite:
    from config.site import load_site

    site = load_site(file)
    if not site.document.tt10:
        hint = "add tt10: to the site file; see gateway/uplink/tt10/README.md"
        raise BadArgument("this site writes no files for the authority", where=str(file), hint=hint)
    return site


def _live(site: LoadedSite) -> dict[str, Any]:
    """What the running gateway says; nothing if none runs."""
    from gateway.api import SOCKET_NAME, ask

    try:
        answer: dict[str, Any] = asyncio.run(ask(site.state_dir / SOCKET_NAME)).get("tt10", {})
    except NotRunning:
        return {}
    return answer


def _print(content: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table("station", "kept", "oldest", "newest", "waiting", "refused", "last sent", box=SIMPLE_HEAD,
                  title="Files for the authority / Tệp gửi cơ quan quản lý", pad_edge=False)  # fmt: skip
    for station, one in content.items():
        sent = short_time(one["last_sent_ms"]) if one["last_sent_ms"] else "-" if one["to"] else "only kept / chỉ lưu"
        table.add_row(
            station, str(one["kept"]), _time_of(one["oldest"]), _time_of(one["newest"]),
            str(one["waiting"]), str(one["refused"]), sent,
        )  # fmt: skip
    console.print(table)
    for station, one in content.items():
        if not one["running"]:
            console.print(f"{station}: the gateway does not run / gateway không chạy")
        elif one["error"]:
            console.print(f"[red]{station}: {escape(one['error'])}[/]", soft_wrap=True)


def _time_of(name: str) -> str:
    from gateway.model.tt10 import parse_name

    found = parse_name(name)
    return short_time(found[1]) if found else "-"
