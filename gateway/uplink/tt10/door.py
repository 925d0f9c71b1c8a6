"""The way into the authority's server: one open connection that takes files."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from gateway.uplink.tt10.settings import SendSettings, SftpSend

PART = ".part"
"""Added to a name while its file is on its way: programs that collect *.txt never see half a file."""


class Door(Protocol):
    async def put(self, folder: str, name: str, data: bytes) -> None:
        """Returns after the server has the whole file under its name, folders made when missing.

        Raises FileRefused for this file, ServerUnreachable when the connection is no good any more."""


Dial = Callable[[], AbstractAsyncContextManager[Door]]
"""Opens a door. Raises ServerUnreachable, LoginRefused, WrongServer, ConfigError."""


def dial(settings: SendSettings, base: Path, secret: Callable[[str], str]) -> Dial:
    """base: the folder that files of the settings start from."""
    if isinstance(settings, SftpSend):
        from gateway.uplink.tt10.sftp import SftpDoor

        return lambda: SftpDoor(settings, base, secret)
    from gateway.uplink.tt10.ftp import FtpDoor

    return lambda: FtpDoor(settings, base, secret)
