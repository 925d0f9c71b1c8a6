"""gateway buffer replay, retry, discard, compact: verbs that change the store, through the gateway if it runs."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.buffer_target import AsJson, SiteFile, StoreFile, Target, Yes, confirmed, target
from gateway.cli.output import age, local_time, print_json
from gateway.cli.words import moment
from gateway.model.errors import BadArgument, StoreFull
from gateway.model.spans import Spans

if TYPE_CHECKING:
    from buffer.chosen import Aside, Held

ASK_FROM = 10_000
"""Sending so many records again is worth a question."""

From = Annotated[str | None, typer.Option("--from", help="Stored from: 2026-01-31, 2026-01-31T08:00, -2h. / Từ lúc.")]
To = Annotated[str | None, typer.Option("--to", help="Stored until; a day is meant whole. / Đến lúc.")]
Point = Annotated[str | None, typer.Option("--point", help="Only commits with this point. / Chỉ điểm đo này.")]
Ids = Annotated[str | None, typer.Option("--ids", help="Record ids: 100-200,305. / Mã bản ghi.")]
All = Annotated[bool, typer.Option("--all", help="All that is set aside. / Tất cả.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Those whose reason says this. / Theo lý do.")]
Export = Annotated[Path | None, typer.Option("--export", help="Save them there first. / Lưu ra tệp trước.")]


def replay(
    file: SiteFile = None, *, from_: From = None, to: To = None, point: Point = None, ids: Ids = None,
    db: StoreFile = None, yes: Yes = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Send stored records once more, with the same ids. / Gửi lại bản ghi đã lưu, giữ nguyên mã.

    Chosen by ids, or by the time they were stored. They go behind what is new; the centre drops those it has.
    """
    store = target(file, db, "replay")
    if (ids is None) == (from_ is None) or (ids is not None and (to or point)):
        raise BadArgument("name a time or ids", where="--from, --ids", hint="--from -2h, or --ids 100-200")
    held = _of_time(store, from_ or "", to, point) if ids is None else None
    spans = id_spans(ids or "") if held is None else held.spans
    if len(spans) >= ASK_FROM:
        confirmed(f"Send {len(spans)} records again? / Gửi lại {len(spans)} bản ghi?", yes=yes)
    result = store.perform("replay", {"spans": [list(span) for span in spans]})
    oldest_ms = held.oldest_ms if held and held.oldest_ms and held.oldest_ms > moment(from_ or "", "--from") else None
    if as_json:
        print_json({**result, "asked": len(spans), "held_from_ms": oldest_ms})
        return
    waited = len(spans) - result["records"] - result["set_aside"] - len(Spans(map(tuple, result["not_held"])))
    print(f"{result['records']} record(s) are sent again, behind what is new / bản ghi được gửi lại")
    print("same ids: the centre drops what it has / cùng mã: trung tâm tự bỏ bản trùng")
    if waited:
        print(f"{waited} wait to be sent anyway / vốn đang chờ gửi")
    if result["set_aside"]:
        print(f"{result['set_aside']} are set aside: gateway buffer retry / đang để riêng")
    for lo, hi in result["not_held"]:
        print(f"not held any more / không còn giữ: {lo}..{hi}")
    if oldest_ms:
        print(f"not held any more / không còn giữ: before / trước {local_time(oldest_ms)}")


def _of_time(store: Target, from_: str, to: str | None, point: str | None) -> Held:
    from buffer.chosen import committed_between
    from buffer.inspect import read_only
    from buffer.maintain import MAX_SPANS

    start_ms = moment(from_, "--from")
    end_ms = moment(to, "--to", last=True) if to else time.time_ns() // 1_000_000
    if end_ms < start_ms and to is None:
        raise BadArgument("this is in the future", where="--from", hint="-2h, or a time that has passed")
    if end_ms < start_ms:
        raise BadArgument("--to is before --from", where="--to", hint="swap the two")
    with read_only(store.store) as connection:
        held = committed_between(connection, start_ms, end_ms, point)
    if not held.spans:
        hint = f"the oldest that is held was stored at {local_time(held.oldest_ms)}" if held.oldest_ms else ""
        what = "nothing that was stored in this time is held" + (f" of {point!r}" if point else "")
        raise BadArgument(what, where="--from, --to", hint=hint)
    if len(held.spans.intervals()) > MAX_SPANS:
        hint = "leave out --point, or name a shorter time: the centre drops what it has"
        raise BadArgument("this point is in too many separate commits", where="--point", hint=hint)
    return held


# --- what was set aside -----------------------------------------------------------------------------------------------


def retry(
    file: SiteFile = None, *, all_: All = False, reason: Reason = None, ids: Ids = None,
    db: StoreFile = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Try records again that the far end refused; without a choice, list them. / Thử gửi lại bản ghi bị từ chối."""
    store = target(file, db, "retry")
    rows = _set_aside(store)
    spans = _chosen(rows, all_, reason, ids)
    if spans is None:
        _list(store, rows, as_json)
        return
    result = store.perform("retry", {"spans": [list(span) for span in spans]})
    if as_json:
        print_json(result)
    else:
        print(f"{result['records']} record(s) wait to be sent again, same ids / bản ghi chờ gửi lại, cùng mã")


def discard(
    file: SiteFile = None, *, all_: All = False, reason: Reason = None, ids: Ids = None, export: Export = None,
    db: StoreFile = None, yes: Yes = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Give up records that the far end refused; the centre is told. / Bỏ bản ghi bị từ chối, có báo trung tâm.

    Without a choice, lists them.
    """
    store = target(file, db, "discard")
    rows = _set_aside(store)
    spans = _chosen(rows, all_, reason, ids)
    if spans is None:
        _list(store, rows, as_json)
        return
    confirmed(f"Discard {len(spans)} records for ever? / Bỏ hẳn {len(spans)} bản ghi?", yes=yes)
    if export is not None:
        _save(rows, spans, export)
    result = store.perform("discard", {"spans": [list(span) for span in spans]})
    if as_json:
        print_json({**result, "export": str(export) if export else None})
        return
    if export is not None:
        print(f"saved / đã lưu: {export}")
    print(f"{result['records']} record(s) discarded, the centre is told / đã bỏ, có báo trung tâm")


def _set_aside(store: Target) -> list[Aside]:
    from buffer.chosen import set_aside
    from buffer.inspect import read_only

    with read_only(store.store) as connection:
        return set_aside(connection)


def _chosen(rows: Sequence[Aside], all_: bool, reason: str | None, ids: str | None) -> Spans | None:
    """The ids of set-aside records that are meant; None when no choice was given."""
    if (all_, reason, ids) == (False, None, None):
        return None
    wanted = id_spans(ids) if ids is not None else None
    spans = Spans()
    for row in rows:
        if reason is None or reason.casefold() in row.reason.casefold():
            spans.update([(row.lo, row.hi)] if wanted is None else row.part(wanted))
    if not spans:
        raise BadArgument("nothing that is set aside matches", hint="without a choice the verb lists what there is")
    return spans


def _list(store: Target, rows: Sequence[Aside], as_json: bool) -> None:
    if as_json:
        listed = [
            {"lo": r.lo, "hi": r.hi, "n": r.n, "lane": r.lane, "at_ms": r.at_ms, "reason": r.reason} for r in rows
        ]
        print_json({"file": str(store.store), "set_aside": listed})
        return
    if not rows:
        print("nothing is set aside / không có bản ghi nào để riêng")
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("ids", "records", "age", "reason / lý do", box=SIMPLE_HEAD, pad_edge=False)
    for run in _runs(rows):
        old = age(time.time_ns() // 1_000_000, run[0].at_ms)
        records = str(sum(row.n for row in run))
        table.add_row(f"{run[0].lo}..{run[-1].hi}", records, old, escape(run[0].reason))
    Console().print(table)
    print("choose / chọn: --all, --reason TEXT, --ids 100-200")


def _runs(rows: Sequence[Aside]) -> list[list[Aside]]:
    """Rows that follow one another and have one reason: a broker that refuses everything makes one a second."""
    runs: list[list[Aside]] = []
    for row in rows:
        if runs and (runs[-1][-1].hi + 1, runs[-1][-1].reason) == (row.lo, row.reason):
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs


def _save(rows: list[Aside], spans: Spans, export: Path) -> None:
    """One JSON object a line. Durable on return, because what is in it is about to be deleted."""
    from buffer.chosen import records_of

    try:
        with export.open("x", encoding="utf-8") as saved:
            for record in records_of(rows, spans):
                saved.write(json.dumps(record, ensure_ascii=False) + "\n")
            saved.flush()
            os.fsync(saved.fileno())
    except FileExistsError as error:
        raise BadArgument("there is such a file already", where=str(export), hint="name another") from error
    except OSError as error:
        what = f"the records could not be saved, so nothing was discarded: {error.strerror}"
        raise StoreFull(what, where=str(export), hint="save them to another disk") from error


def id_spans(text: str) -> Spans:
    """ "100-200,305" as record ids. Raises BadArgument."""
    spans = Spans()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,15})(?:\s*-\s*([0-9]{1,15}))?\s*", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 0 < low <= high:
            raise BadArgument(f"{part.strip()!r} is no range of ids", where="--ids", hint="100-200, or 100-200,305")
        spans.add(low, high)
    return spans


# --- the file ---------------------------------------------------------------------------------------------------------


def compact(file: SiteFile = None, db: StoreFile = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Make the file as small as what it holds. / Thu gọn tệp kho dữ liệu.

    Needs twice as much free space as is kept. Nothing is stored meanwhile: records wait in memory.
    """
    from buffer.chosen import weight
    from buffer.inspect import read_only
    from buffer.maintain import SHORT_BYTES

    store = target(file, db, "compact")
    with read_only(store.store) as connection:
        now = weight(connection)
    long = now.live > SHORT_BYTES
    if long and store.runs():
        up_to = f"{now.seconds:.0f} s"
        confirmed(f"Storing may stand still for {up_to}. Go on? / Ngừng lưu tới {up_to}. Tiếp tục?", yes=yes)
    result: dict[str, Any] = store.perform("compact", {"long": long})
    if as_json:
        print_json(result)
    else:
        before, after = result["before_bytes"] / 1e6, result["after_bytes"] / 1e6
        print(f"{before:.1f} MB -> {after:.1f} MB, in {result['busy_s']:.1f} s / dung lượng trước và sau")
