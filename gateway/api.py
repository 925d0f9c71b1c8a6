"""The local face: a Unix socket that answers every connection with one Status document and closes.

One of the three places that may catch everything: whoever asks must not be able to stop the gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.model.errors import NotRunning

log = logging.getLogger("gateway.api")

SOCKET_NAME = "gateway.sock"


@contextlib.asynccontextmanager
async def status_socket(path: Path, status: Callable[[], Mapping[str, Any]]) -> AsyncIterator[None]:
    """Serves `status()` on a socket only this user and group may open. Without it the gateway runs all the same."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        try:
            writer.write(json.dumps(status(), ensure_ascii=False).encode() + b"\n")
            await writer.drain()
        except Exception:  # the local API's handler: named in ARCHITECTURE.md
            log.exception("the status could not be given")
        finally:
            writer.close()

    try:
        _clear(path)
        server = await asyncio.start_unix_server(answer, path)
        _only_for_us(path)
    except (OSError, ValueError) as error:
        log.warning("no status socket at %s: %s", path, error)
        yield
        return
    try:
        yield
    finally:
        server.close()
        _clear(path)


def _clear(path: Path) -> None:
    path.unlink(missing_ok=True)


def _only_for_us(path: Path) -> None:
    path.chmod(0o660)


async def ask(path: Path, timeout_s: float = 5.0) -> dict[str, Any]:
    """The status of the gateway behind a socket. Raises NotRunning when nobody answers there."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                line = await reader.read()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        answer: dict[str, Any] = json.loads(line)
    except (OSError, TimeoutError, ValueError) as error:
        raise NotRunning(
            "no gateway answers here",
            where=str(path),
            hint="is it running? systemctl status gateway, or gateway run SITE",
        ) from error
    return answer
