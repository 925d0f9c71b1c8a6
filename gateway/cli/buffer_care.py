"""gateway buffer verify, backup: read the whole store, beside a running gateway, and change nothing in it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.buffer_target import AsJson, SiteFile, target
from gateway.cli.output import print_json
from gateway.model.errors import BadArgument, GatewayError

if TYPE_CHECKING:
    from buffer.verify import Verdict

StoreFile = Annotated[Path | None, typer.Option("--db", help="A store file, also a copy. / Tệp kho dữ liệu.")]
Places = Annotated[
    list[Path],
    typer.Argument(
        metavar="[FILE] DEST", help="The site file; a folder or a new file. / Tệp cấu hình; thư mục, tệp mới."
    ),
]
HINT = "gateway buffer backup site.yaml /media/usb"

SAID = {
    "file": "damaged pages / trang dữ liệu bị hỏng",
    "unreadable": "records that cannot be read / không đọc được bản ghi",
    "wrong_ids": "records with other ids than their row says / mã bản ghi không khớp",
    "twice": "ids that are held twice / mã bị trùng",
    "missing": "records are gone, nothing says why / mất bản ghi, không rõ lý do",
    "unsent_gone": "to be sent, but not held / còn phải gửi nhưng không còn giữ",
    "set_aside": "set-aside records that cannot be read / không đọc được phần để riêng",
    "history": "windows that cannot be read / không đọc được số liệu lịch sử",
    "signal": "a signal nobody can describe / mất mô tả tín hiệu",
    "keepsake": "what was to be remembered cannot be read / không đọc được phần ghi nhớ",
    "journal": "the journal was changed / nhật ký bị thay đổi",
}


def verify(file: SiteFile = None, db: StoreFile = None, as_json: AsJson = False) -> None:
    """Check everything that is stored. Reads only. / Kiểm tra toàn bộ kho dữ liệu, chỉ đọc.

    Also beside a running gateway. SQLite's own check takes as long as reading the file once; the rest reads in steps.
    """
    from buffer.inspect import read_only
    from buffer.verify import verify as look

    store = target(file, db, "verify")
    with read_only(store.store) as connection, _bar() as show:
        verdict = look(connection, lambda what, share: show(what, share, 1))
    if as_json:
        print_json({"file": str(store.store), "sound": verdict.faults == 0, **asdict(verdict)})
    else:
        _say(verdict)
    if verdict.faults:
        raise typer.Exit(1)


def _say(verdict: Verdict) -> None:
    for finding in verdict.findings:
        print(f"{finding.fault} {finding.at}: {SAID[finding.fault]}")
    print(
        f"{verdict.records} records / bản ghi (1..{verdict.newest}, {verdict.gone} deleted or lost / đã xoá),\n"
        f"{verdict.set_aside} set aside / để riêng, {verdict.windows} windows / cửa sổ,\n"
        f"{verdict.signals} signals / tín hiệu, {verdict.entries} journal / nhật ký"
    )
    print(f"{verdict.faults} wrong / có lỗi" if verdict.faults else "all sound / không có lỗi")


def backup(places: Places, db: StoreFile = None, as_json: AsJson = False) -> None:
    """Copy the store while the gateway runs, and check the copy. / Sao lưu kho dữ liệu khi gateway đang chạy.

    Into a folder, such as a USB stick, the copy is named by gateway and time. Opened as a store it begins an epoch of
    its own.
    """
    from buffer.backup import backup as copy
    from buffer.backup import mounted, target_of

    *site, into = places
    if len(site) != (db is None):
        raise BadArgument("name a site file, or a store with --db, and where the copy goes", where="DEST", hint=HINT)
    store = target(site[0] if site else None, db)
    to = target_of(into, store.name, time.time_ns() // 1_000_000)
    with _bar() as show:
        done = copy(store.store, to, lambda copied, size: show(to.name, copied, size))
    facts = {"file": done.file.name, "bytes": done.size, "epoch": done.epoch, "newest_rid": done.newest_rid}
    if store.runs():
        try:
            store.perform("backup", facts)
        except GatewayError as error:  # the copy is there all the same
            sys.stderr.write(f"not in the journal / chưa ghi nhật ký: {error}\n")
    if as_json:
        print_json({**facts, "file": str(done.file)})
        return
    print(f"{done.file}")
    print(f"{done.size / 1e6:.1f} MB, records up to / bản ghi đến {done.newest_rid}, checked / đã kiểm tra")
    kind, place = mounted(done.file.parent)
    if place != Path("/"):
        print(f"{kind}: safe to unplug after / rút được sau khi: umount {place}")


@contextmanager
def _bar() -> Iterator[Callable[[str, float, float], None]]:
    """A bar on stderr: what, done, in all. Without a terminal: nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("...", total=None)

        def show(what: str, done: float, total: float) -> None:
            progress.update(task, description=what, completed=done, total=total if done else None)

        yield show
