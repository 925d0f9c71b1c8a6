"""Servers of an authority that a test can start and stop: SFTP, FTPS, FTP."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh

from tests.kit.brokers import free_port
from tests.uplink.ftps_server import certificate, ftps_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it is built on asyncore
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.ioloop import IOLoop
    from pyftpdlib.servers import FTPServer

PASSWORD = "mật khẩu"  # noqa: S105
USER = "nuo001"
NAME_OF_SECRET = "tt10"  # noqa: S105


class Authority(ABC):
    """`root`: what the account sees as /. `refuse`: names it will not take."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "authority"
        self.root.mkdir()
        self.folder = folder
        self.port = free_port()
        self.arrived: list[str] = []
        self.refuse: set[str] = set()
        self.write_only = False

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @abstractmethod
    def send(self, **more: Any) -> dict[str, Any]:
        """The `send` section of a site file that reaches it."""

    def _send(self, kind: str, **more: Any) -> dict[str, Any]:
        base = {"kind": kind, "host": "127.0.0.1", "port": self.port, "user": USER, "folder": "/data", "timeout_s": 5}
        return {**base, "password": NAME_OF_SECRET, **more}

    def files(self) -> dict[str, bytes]:
        """Everything on the server by path."""
        found = (file for file in self.root.rglob("*") if file.is_file())
        return {str(file.relative_to(self.root)): file.read_bytes() for file in found}


class Sftp(Authority):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.hang = False
        self.hanging = asyncio.Event()
        self._listener: asyncssh.SSHAcceptor | None = None

    @property
    def host_key(self) -> str:
        return self.key.export_public_key().decode().strip()

    def send(self, **more: Any) -> dict[str, Any]:
        return self._send("sftp", host_key=self.host_key, **more)

    async def start(self) -> None:
        authority = self

        class Account(asyncssh.SSHServer):
            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == (USER, PASSWORD)

        class Files(asyncssh.SFTPServer):
            def __init__(self, channel: Any) -> None:
                super().__init__(channel, chroot=str(authority.root).encode())

            def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
                if path.decode().rpartition("/")[2].removesuffix(".part") in authority.refuse:
                    raise asyncssh.SFTPPermissionDenied("not this one")
                return super().open(path, pflags, attrs)

            async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
                if authority.hang:
                    file_obj.write(data[: len(data) // 2])
                    file_obj.close()
                    authority.hanging.set()
                    await asyncio.sleep(60)
                return int(super().write(file_obj, offset, data))  # type: ignore[call-overload]  # it is no coroutine

            def rename(self, oldpath: bytes, newpath: bytes) -> Any:
                self._check()
                return super().rename(oldpath, newpath)

            def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
                self._check()
                authority.arrived.append(newpath.decode().rpartition("/")[2])
                return super().posix_rename(oldpath, newpath)

            def stat(self, path: bytes) -> Any:
                if path.endswith((b".txt", b".part")):
                    self._check()
                return super().stat(path)

            def _check(self) -> None:
                if authority.write_only:
                    raise asyncssh.SFTPPermissionDenied("only uploads")

        self._listener = await asyncssh.listen(
            "127.0.0.1", self.port, server_factory=Account, server_host_keys=[self.key], sftp_factory=Files
        )

    async def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            await listener.wait_closed()


class Ftps(Authority):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pem = certificate(folder)
        self._running = contextlib.ExitStack()

    def send(self, **more: Any) -> dict[str, Any]:
        return self._send("ftps", **{"ca": str(self.pem), **more})

    async def start(self) -> None:
        self._running.enter_context(ftps_server(self.port, self.root, self.pem, PASSWORD))

    async def stop(self) -> None:
        await asyncio.to_thread(self._running.close)


class Ftp(Authority):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._running = contextlib.ExitStack()

    def send(self, **more: Any) -> dict[str, Any]:
        return self._send("ftp", **more)

    async def start(self) -> None:
        self._running.enter_context(self._serving())

    @contextlib.contextmanager
    def _serving(self) -> Iterator[None]:
        authority = self

        class Handler(FTPHandler):  # type: ignore[misc]
            def ftp_STOR(self, file: str, mode: str = "w") -> Any:  # noqa: N802
                if Path(file).name.removesuffix(".part") in authority.refuse:
                    self.respond("553 not this one")
                    return None
                return super().ftp_STOR(file, mode)

        Handler.auth_failed_timeout = 0
        Handler.authorizer = DummyAuthorizer()
        Handler.authorizer.add_user(USER, PASSWORD, str(self.root), perm="ewm" if self.write_only else "elradfmw")
        stop = threading.Event()
        loop = IOLoop()
        server = FTPServer(("127.0.0.1", self.port), Handler, ioloop=loop)

        def serve() -> None:
            while not stop.is_set():
                server.serve_forever(timeout=0.02, blocking=False, handle_exit=False)
            server.close_all()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    async def stop(self) -> None:
        await asyncio.to_thread(self._running.close)


KINDS: dict[str, type[Authority]] = {"sftp": Sftp, "ftps": Ftps, "ftp": Ftp}
