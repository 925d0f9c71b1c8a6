"""gateway buffer status: what waits and why, how fast it comes and goes, what is kept, what it costs the card."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.buffer_status_view import print_status
from gateway.cli.buffer_view import DB, JSON, SITE, Place, place_of
from gateway.cli.output import print_json
from gateway.cli.words import seconds
from gateway.model.errors import NotRunning, StoreDamaged

if TYPE_CHECKING:
    from buffer.figures import Counters, Rates

Answer = dict[str, Any]


def status(
    file: SITE = None,
    db: DB = None,
    *,
    look: Annotated[str, typer.Option("--look", help="Time between two looks while it runs. / Quãng đo.")] = "2s",
    as_json: JSON = False,
) -> None:
    """Show what waits and why, rates, history, card wear. Reads only. / Xem tình trạng kho dữ liệu."""
    from buffer.figures import figures, plain, tally_rates, wear
    from buffer.inspect import read_only

    look_s = seconds(look, "--look")
    place = place_of(file, db, "status")
    with read_only(place.path) as connection:
        looks, socket_says = _looks(place, look_s)
        now_ms = int(time.time() * 1000)
        content: dict[str, Any] = {"path": str(place.path), "note": connection.note, "now_ms": now_ms}
        content.update(figures(connection, place.path, now_ms))
    tally = content.pop("tally") or []
    disk = shutil.disk_usage(place.path.parent)
    card_tb = place.settings.card_tb if place.settings else None
    content["running"] = bool(looks)
    content["gateway"] = socket_says
    content["waiting"] = _waiting(content["waiting"], looks[-1] if looks else {})
    content["why"] = _why(content["waiting"], looks, tally)
    content["rates"] = {"now": plain(_now(looks)), "tally": plain(tally_rates(tally))}
    content["lost"] = _lost(content["meta"] or {}, tally, looks)
    content["wear"] = plain(wear(tally, disk.total, card_tb))
    content["disk"] = {"total_bytes": disk.total, "free_bytes": disk.free}
    content["quota_bytes"] = int(place.settings.max_mb * 1e6) if place.settings else None
    if as_json:
        print_json(content)
    else:
        print_status(content)
    if content["unreadable"]:
        raise StoreDamaged(
            f"cannot be read: {', '.join(content['unreadable'])}",
            where=str(place.path),
            hint="the rest is shown; copy the file away with its -wal before anything else",
        )


def _looks(place: Place, look_s: float) -> tuple[list[Answer], str]:
    """What the gateway that has this store open says now and a moment later, and, if none answers, why."""
    try:
        first = asyncio.run(_ask(place))
    except NotRunning as error:
        denied = isinstance(error.__cause__, PermissionError)
        return [], "its socket may not be opened: try sudo / thử với sudo" if denied else ""
    if not _same(first["store"]["file"], place.path):
        return [], ""
    try:
        return [first, asyncio.run(_ask(place, look_s))], ""
    except NotRunning:
        return [], "it stopped just now / vừa dừng"


async def _ask(place: Place, after_s: float = 0.0) -> Answer:
    from gateway.api import ask

    await asyncio.sleep(after_s)
    return await ask(place.socket)


def _same(said: str, path: Path) -> bool:
    try:
        return Path(said).samefile(path)
    except OSError:
        return False


def _waiting(file_says: Any, answer: Answer) -> dict[str, dict[str, int]]:
    """By lane; nothing when nobody knows. The file may be a moment behind a running gateway, which knows no sizes."""
    from gateway.model.ports import Lane, Waiting

    running = answer.get("store", {}).get("waiting", {})
    if file_says is None and not running:
        return {}
    found = {}
    for lane in Lane:
        name = lane.name.lower()
        held = (file_says or {}).get(lane, Waiting())
        records = running.get(name, held.records)
        known = records > 0 and held.records > 0
        found[name] = {
            "records": records,
            "bytes": held.size if known else 0,
            "oldest_ms": held.oldest_ms if known else 0,
        }
    return found


def _why(waiting: dict[str, dict[str, int]], looks: list[Answer], tally: list[Answer]) -> str:
    """Why something waits; "" when nothing does, or when it is on its way."""
    if not any(lane["records"] for lane in waiting.values()):
        return ""
    if not looks:
        said = f"; last said / lần cuối: {tally[-1]['why']}" if tally and tally[-1]["why"] else ""
        return f"the gateway does not run / gateway không chạy{said}"
    uplink = looks[-1]["uplink"]
    if uplink.get("connected"):
        return str(uplink.get("waits_for", ""))
    return str(uplink.get("last_error") or "no connection yet / chưa kết nối")


def _now(looks: list[Answer]) -> Rates | None:
    from buffer.figures import rates

    return rates(_counters(looks[0]), _counters(looks[1])) if looks else None


def _counters(answer: Answer) -> Counters:
    from buffer.figures import Counters

    store = answer["store"]
    waiting, aside = sum(store["waiting"].values()), store.get("set_aside", 0)
    return Counters(answer["now_ms"], store["rid_hi"], waiting, store.get("lost", 0), aside)


def _lost(meta: dict[str, str], tally: list[Answer], looks: list[Answer]) -> int:
    """Records given up unsent since the store began."""
    said: list[int] = [int(meta.get("lost", "0")), *(row["lost"] for row in tally[-1:])]
    return max(*said, *(int(answer["store"].get("lost", 0)) for answer in looks), 0)
