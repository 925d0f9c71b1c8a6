"""Which store a verb means, and the one way to have something done to it: by the gateway that has it open, or here."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.model.errors import BadArgument, NotRunning, StoreBusy

if TYPE_CHECKING:
    from buffer.settings import BufferSettings

SiteFile = Annotated[Path | None, typer.Argument(help="The site file. / Tệp cấu hình điểm.")]
StoreFile = Annotated[Path | None, typer.Option("--db", help="A store file that nobody has open. / Tệp kho dữ liệu.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask. / Không hỏi lại.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object. / Xuất JSON.")]


@dataclass(frozen=True, slots=True)
class Target:
    """`socket`: where the gateway that has this store open would answer; None for a file by itself."""

    store: Path
    name: str
    settings: BufferSettings
    socket: Path | None = None

    def runs(self) -> bool:
        from gateway.api import ask

        try:
            return self.socket is not None and bool(asyncio.run(ask(self.socket)))
        except NotRunning:
            return False

    def perform(self, do: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """See `buffer.maintain.Maintenance.perform`. The lock on the store keeps a gateway and a verb apart."""
        from gateway.api import tell

        if self.socket is not None and self.runs():
            return asyncio.run(tell(self.socket, do, args))
        return asyncio.run(self._here(do, args))

    async def _here(self, do: str, args: Mapping[str, Any]) -> dict[str, Any]:
        from buffer.store import Store
        from gateway.api import user_name
        from gateway.model.clock import SystemClock

        try:
            async with Store(self.store, self.settings, SystemClock()) as store:
                store.maintenance.patience_s = float("inf")
                return await store.maintenance.perform(do, args, user_name(os.getuid()))
        except StoreBusy as error:
            hint = "name its site file, so that the gateway does it; or wait for the other verb"
            raise StoreBusy("something has this store open", where=str(self.store), hint=hint) from error


def target(file: Path | None, db: Path | None, verb: str = "show") -> Target:
    """Raises BadArgument when neither is named, ConfigError for a site file with mistakes."""
    from buffer.settings import BufferSettings

    if db is not None:
        return Target(db, db.name.removesuffix(".sqlite3"), BufferSettings())
    if file is None:
        raise BadArgument("name a site file, or a store with --db", hint=f"gateway buffer {verb} --db store.sqlite3")
    from config.site import load_site
    from gateway.api import SOCKET_NAME

    site = load_site(file)
    settings = site.document.buffer
    return Target(site.state_dir / settings.file, site.document.gateway, settings, site.state_dir / SOCKET_NAME)


def confirmed(question: str, *, yes: bool) -> None:
    """Returns if the answer is yes. Without a terminal to ask at, --yes has to say so."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadArgument(question, hint="--yes, if so / thêm --yes nếu đồng ý")
    if not typer.confirm(question, err=True):
        sys.stderr.write("nothing was done / chưa làm gì\n")
        raise typer.Exit(1)
