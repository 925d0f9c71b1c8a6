"""Files over FTP, with TLS or without.

The standard library's client in a thread: many servers take data only over a connection that resumes the TLS session
of the control connection (vsftpd and others by default), which asyncio's TLS cannot do.
"""

from __future__ import annotations

import asyncio
import contextlib
import ftplib
import posixpath
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gateway.uplink.tt10.door import PART
from gateway.uplink.tt10.errors import FileRefused, LoginRefused, ServerUnreachable, WrongServer
from gateway.uplink.tt10.settings import FtpSend, FtpsSend

_STEPS = 10
"""So many steps a file may need. Each has its own time-out, but a server that drips never meets it."""


class _Ftps(ftplib.FTP_TLS):
    def ntransfercmd(self, cmd: str, rest: Any = None) -> tuple[socket.socket, int | None]:
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)  # noqa: S321 - it is encrypted in the next lines
        assert isinstance(self.sock, ssl.SSLSocket)  # noqa: S101 - `auth` came before
        return self.context.wrap_socket(data, server_hostname=self.host, session=self.sock.session), size


class FtpDoor:
    """One connection. A cancelled call closes it, so that its thread ends."""

    def __init__(self, settings: FtpSend | FtpsSend, base: Path, secret: Callable[[str], str]) -> None:
        self._settings = settings
        self._where = f"{settings.kind}://{settings.host}:{settings.port}"
        self._base = base
        self._secret = secret
        self._ftp: ftplib.FTP | None = None
        self._home = "/"
        self._at = ""

    async def __aenter__(self) -> Self:
        try:
            await self._in_thread(self._connect, self._secret(self._settings.password))
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is None:
            with contextlib.suppress(ServerUnreachable, FileRefused):
                await self._in_thread(self._quit)
        self._close()

    async def put(self, folder: str, name: str, data: bytes) -> None:
        await self._in_thread(self._put, folder, name, data)

    async def _in_thread(self, call: Callable[..., None], *given: Any) -> None:
        patience_s = _STEPS * self._settings.timeout_s
        try:
            async with asyncio.timeout(patience_s):
                await asyncio.to_thread(call, *given)
        except asyncio.CancelledError:
            self._close()
            raise
        except TimeoutError as error:
            self._close()
            hint = "check the line to the server; files wait and are sent later"
            raise ServerUnreachable(f"not done in {patience_s:g} s", where=self._where, hint=hint) from error

    def _close(self) -> None:
        ftp, self._ftp = self._ftp, None
        if ftp is not None and ftp.sock is not None:
            with contextlib.suppress(OSError):
                ftp.sock.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
            ftp.close()

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _connect(self, password: str) -> None:
        settings = self._settings
        with self._told():
            ftp = self._ftp = self._client()
            ftp.connect(settings.host, settings.port)
            if isinstance(ftp, _Ftps):
                self._encrypt(ftp)
            try:
                ftp.login(settings.user, password)
            except ftplib.error_perm as error:
                hint = f"check user {settings.user!r} and its password with the authority"
                raise LoginRefused(f"the server says {error}", where=self._where, hint=hint) from error
            if isinstance(ftp, _Ftps):
                ftp.prot_p()
            ftp.voidcmd("TYPE I")
            with contextlib.suppress(ftplib.error_perm):
                self._home = ftp.pwd() or "/"

    def _client(self) -> ftplib.FTP:
        settings = self._settings
        if isinstance(settings, FtpSend):
            return ftplib.FTP(timeout=settings.timeout_s)  # noqa: S321 - asked for; `gateway check` warns
        ca = None if settings.ca is None else str(self._base / settings.ca)
        return _Ftps(context=ssl.create_default_context(cafile=ca), timeout=settings.timeout_s)

    def _encrypt(self, ftp: _Ftps) -> None:
        try:
            ftp.auth()
        except ftplib.error_perm as error:
            hint = "use kind: ftp only if the authority offers nothing else"
            raise WrongServer(f"it offers no encryption: {error}", where=self._where, hint=hint) from error

    def _quit(self) -> None:
        with self._told():
            if self._ftp is not None:
                self._ftp.quit()

    def _put(self, folder: str, name: str, data: bytes) -> None:
        with self._told(f"{folder}/{name}"):
            ftp = self._ftp
            if ftp is None:
                raise OSError("the connection is closed")
            self._enter(ftp, posixpath.join(self._home, folder))
            self._store(ftp, name + PART, data)
            self._rename(ftp, name, data)

    def _enter(self, ftp: ftplib.FTP, folder: str) -> None:
        if folder == self._at:
            return
        try:
            ftp.cwd(folder)
        except ftplib.error_perm:
            made = "/"
            for part in folder.split("/"):
                made = posixpath.join(made, part)
                with contextlib.suppress(ftplib.error_perm):  # it is there, or the next step says what is wrong
                    ftp.mkd(made)
            ftp.cwd(folder)
        self._at = folder

    def _store(self, ftp: ftplib.FTP, name: str, data: bytes) -> None:
        with ftp.transfercmd(f"STOR {name}") as line:
            line.sendall(data)
            if isinstance(line, ssl.SSLSocket):
                with contextlib.suppress(OSError):  # servers differ in how they end TLS; the reply below is what counts
                    line.unwrap()
        ftp.voidresp()
        try:
            size = ftp.size(name)
        except ftplib.error_perm:
            return  # a box that only takes
        if size is not None and size != len(data):
            raise FileRefused(f"{size} of {len(data)} bytes arrived", where=self._where, hint="is its disk full?")

    def _rename(self, ftp: ftplib.FTP, name: str, data: bytes) -> None:
        """Over what an interrupted sending left, if there is any. Where renaming is not allowed the file is written
        under its own name."""
        for again in (False, True):
            try:
                ftp.rename(name + PART, name)
            except ftplib.error_perm:
                with contextlib.suppress(ftplib.error_perm):
                    ftp.delete(name + PART if again else name)
            else:
                return
        self._store(ftp, name, data)

    @contextlib.contextmanager
    def _told(self, path: str = "") -> Iterator[None]:
        """Exceptions of the library as ours."""
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            hint = "set ca: to the authority's certificate; is the clock right, and host the name in the certificate?"
            raise WrongServer(error.verify_message, where=self._where, hint=hint) from error
        except ftplib.error_perm as error:
            hint = "check the folder's rights and quota with the authority"
            raise FileRefused(f"the server says {error}", where=f"{self._where}{path}", hint=hint) from error
        except (ftplib.Error, OSError, EOFError, ValueError) as error:  # ValueError: a name no resolver takes
            hint = "check the network, host, port and the firewall's data ports; files wait and are sent later"
            raise ServerUnreachable(str(error) or "it hung up", where=self._where, hint=hint) from error
