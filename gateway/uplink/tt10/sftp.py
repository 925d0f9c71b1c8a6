"""Files over SSH, to a server that is known by its key."""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncssh

from gateway.uplink.tt10.door import PART
from gateway.uplink.tt10.errors import FileRefused, LoginRefused, ServerUnreachable, WrongServer
from gateway.uplink.tt10.settings import SftpSend

asyncssh.set_log_level("WARNING")  # it would tell of every connection

_LOST = (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost, asyncssh.ConnectionLost, asyncssh.DisconnectError)


class SftpDoor:
    """One connection. Nothing of the user's own SSH set-up is looked at: no agent, no config, no known hosts."""

    def __init__(self, settings: SftpSend, base: Path, secret: Callable[[str], str]) -> None:
        self._settings = settings
        self._where = f"sftp://{settings.host}:{settings.port}"
        self._base = base
        self._secret = secret
        self._made: set[str] = set()
        self._ssh: asyncssh.SSHClientConnection | None = None
        self._sftp: Any = None

    async def __aenter__(self) -> Self:
        settings = self._settings
        async with self._told():
            self._ssh = await asyncssh.connect(
                settings.host,
                settings.port,
                username=settings.user,
                **self._credentials(),
                known_hosts=([self._host_key()], [], []),
                agent_path=None,
                config=[],
                connect_timeout=settings.timeout_s,
                login_timeout=settings.timeout_s,
                keepalive_interval=settings.timeout_s,
            )
            try:
                async with asyncio.timeout(settings.timeout_s):
                    self._sftp = await self._ssh.start_sftp_client()
            except BaseException:
                await self.__aexit__(None, None, None)
                raise
        return self

    def _host_key(self) -> asyncssh.SSHKey:
        try:
            return asyncssh.import_public_key(self._settings.host_key)
        except ValueError as error:  # KeyImportError is one; numbers that make no key come as they are
            hint = "copy the whole line: ssh-ed25519 AAAA..."
            raise WrongServer(f"host_key is no public key: {error}", where=self._where, hint=hint) from error

    def _credentials(self) -> dict[str, Any]:
        settings = self._settings
        if settings.key is None:
            return {"password": self._secret(str(settings.password)), "client_keys": None}
        file = self._base / settings.key
        try:
            return {"client_keys": [asyncssh.read_private_key(file)]}
        except (OSError, ValueError) as error:
            hint = "it must be a private key without a passphrase that the service may read"
            raise LoginRefused(f"cannot use the key: {error}", where=str(file), hint=hint) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        ssh, self._ssh = self._ssh, None
        if ssh is not None:
            ssh.abort() if kind is not None else ssh.close()
            with contextlib.suppress(TimeoutError, OSError, asyncssh.Error):
                async with asyncio.timeout(2):
                    await ssh.wait_closed()

    async def put(self, folder: str, name: str, data: bytes) -> None:
        async with self._told(f"{folder}/{name}"), asyncio.timeout(self._settings.timeout_s):
            if folder not in self._made:
                await self._sftp.makedirs(folder, exist_ok=True)
                self._made.add(folder)
            final = posixpath.join(folder, name)
            await self._store(final + PART, data)
            await self._rename(final, data)

    async def _store(self, path: str, data: bytes) -> None:
        # One request, not many at once: a cancelled call then leaves nothing behind. No `async with`: it would wait for
        # a server that hangs.
        file = await self._sftp.open(path, "wb", block_size=0)
        try:
            await file.write(data)
        except asyncssh.SFTPError:
            with contextlib.suppress(asyncssh.SFTPError):
                await file.close()
            raise
        await file.close()
        try:
            size = (await self._sftp.stat(path)).size
        except _LOST:
            raise
        except asyncssh.SFTPError:
            return  # a box that only takes: the server's word that it closed the file must do
        if size is not None and size != len(data):
            raise FileRefused(f"{size} of {len(data)} bytes arrived", where=self._where, hint="is its disk full?")

    async def _rename(self, final: str, data: bytes) -> None:
        """The modern rename replaces what an interrupted sending left; the old one needs the place empty. Where
        neither is allowed the file is written under its own name."""
        for rename in (self._sftp.posix_rename, self._replace):
            try:
                await rename(final + PART, final)
            except _LOST:
                raise
            except asyncssh.SFTPError:
                continue
            return
        await self._store(final, data)
        with contextlib.suppress(asyncssh.SFTPError):
            await self._sftp.remove(final + PART)

    async def _replace(self, draft: str, final: str) -> None:
        with contextlib.suppress(asyncssh.SFTPError):
            await self._sftp.remove(final)
        await self._sftp.rename(draft, final)

    @contextlib.asynccontextmanager
    async def _told(self, path: str = "") -> AsyncIterator[None]:
        """Exceptions of the library as ours."""
        try:
            yield
        except asyncssh.HostKeyNotVerifiable as error:
            hint = "ask the authority for its key before you change host_key: someone may stand in between"
            raise WrongServer("the server has another host key", where=self._where, hint=hint) from error
        except asyncssh.PermissionDenied as error:
            hint = f"check user {self._settings.user!r} and its password or key with the authority"
            raise LoginRefused("the server does not let us in", where=self._where, hint=hint) from error
        except (*_LOST, OSError, UnicodeError) as error:  # UnicodeError: a name no resolver takes
            hint = "check the network, host and port; files wait and are sent later"
            raise ServerUnreachable(_words(error), where=self._where, hint=hint) from error
        except asyncssh.SFTPError as error:
            hint = "check the folder's rights and quota with the authority"
            raise FileRefused(_words(error), where=f"{self._where}{path}", hint=hint) from error
        except asyncssh.Error as error:
            raise ServerUnreachable(_words(error), where=self._where, hint="is this an SFTP server?") from error


def _words(error: Exception) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
