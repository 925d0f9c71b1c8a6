"""gateway run FILE: the daemon."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.app import Gateway

log = logging.getLogger("gateway")


def run(
    file: Annotated[Path, typer.Argument(help="The site file. / Tệp cấu hình điểm.")],
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more. / Ghi nhật ký chi tiết.")] = False,
) -> None:
    """Run the gateway until it is told to stop (Ctrl-C, SIGTERM). / Chạy gateway.

    A second signal stops it without waiting for the broker. What is committed is never lost either way.
    """
    from config.site import load_site
    from gateway.app import Gateway

    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    site = load_site(file)
    for finding in site.warnings:
        log.warning("%s", str(finding).replace("\n    hint:", "; hint:"))
    asyncio.run(_until_signal(Gateway(site)))


async def _until_signal(gateway: Gateway) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await gateway.run(stop, hurry)


def log_to_stderr(level: int) -> None:
    """Lines for a person, or, under systemd, with the priority in front and without the time journald adds."""
    under_systemd = "JOURNAL_STREAM" in os.environ
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Journal() if under_systemd else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in ("asyncio", "httpcore", "httpx", "paho", "mqtt", "pymodbus"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


class _Journal(logging.Formatter):
    """sd-daemon(3): `<N>` in front of a line is its syslog priority."""

    def format(self, record: logging.LogRecord) -> str:
        priority = 3 if record.levelno >= logging.ERROR else 4 if record.levelno >= logging.WARNING else 6
        text = super().format(record).replace("\n", f"\n<{priority}>")
        return f"<{priority}>{record.name}: {text}"
