"""A drop box: an FTP server that takes files into one folder and gives nothing away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path, PurePosixPath
from typing import Any

import aioftp

from drivers.settings import FtpDrop
from gateway.model import tt10
from gateway.model.errors import LinkDown

logging.getLogger("aioftp").setLevel(logging.WARNING)  # it would tell of every connection

_WITHHELD = ("appe", "dele", "list", "mlsd", "mlst", "rest", "retr", "rmd")
_IDLE_S = 300
_STALLED_S = 60
_CONNECTIONS = 20


class _Server(aioftp.Server):
    """A client that hangs up or falls asleep is no error of ours to fill a journal with."""

    async def dispatcher(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # the end of this task: nobody waits above it
            await super().dispatcher(reader, writer)

    async def parse_command(self, stream: Any, *_: Any) -> tuple[str, str]:
        try:
            return await super().parse_command(stream)
        except (OSError, UnicodeDecodeError):
            # A goodbye would be written to a line that is gone, and waited for without end.
            raise asyncio.CancelledError from None


class DropBox:
    """Nobody can list, read, delete or leave the folder. Making folders and renaming an own temporary file are what
    loggers do, and allowed; a file that already has its final name cannot be renamed away."""

    def __init__(self, settings: FtpDrop, folder: Path, password: str) -> None:
        self._settings = settings
        user = aioftp.User(settings.user, password, base_path=folder)
        ports = settings.passive_ports
        self._server = _Server(
            [user],
            path_io_factory=aioftp.AsyncPathIO,
            data_ports=None if ports is None else range(ports[0], ports[1] + 1),
            idle_timeout=_IDLE_S,
            socket_timeout=_STALLED_S,
            maximum_connections=_CONNECTIONS,
            welcome_message="TT10",
        )
        commands = self._server.commands_mapping
        for command in _WITHHELD:
            commands.pop(command)
        commands["rnfr"] = self._rename_from
        self._open = False

    async def open(self, where: str) -> None:
        """Raises LinkDown when the address cannot be had."""
        listen, port = self._settings.listen, self._settings.port
        try:
            await self._server.start(listen, port)
        except OSError as error:
            raise LinkDown(
                f"cannot listen on {listen}:{port}: {error.strerror or error}",
                where=where,
                hint="another program has this port, or this machine has no such address; ports below 1024 need rights",
            ) from error
        self._open = True

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._server.close()

    async def _rename_from(self, connection: Any, rest: str | PurePosixPath) -> bool:
        if tt10.parse_name(PurePosixPath(rest).name):
            connection.response("550", "this file was delivered")
            return True
        return bool(await self._server.rnfr(connection, rest))
