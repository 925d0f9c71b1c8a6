"""A connected socket for paho, made without threads, so that cancelling it leaves nothing behind.

paho connects in blocking calls; aiomqtt runs them in a thread that nobody can stop. Here a cancelled call
closes its socket before it returns.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from gateway.model.errors import NotAllowed
from gateway.uplink.settings import TlsSettings


def tls_context(settings: TlsSettings) -> ssl.SSLContext:
    """Reads the files; blocks for some milliseconds. Read anew for each connection: certificates get renewed.

    Raises NotAllowed naming the file that is missing or unreadable.
    """
    name = settings.ca or "the system's authorities"
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        if settings.cert is not None:
            name = f"{settings.cert}, {settings.key}"
            context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise NotAllowed(
            f"cannot use it for tls: {error}", where=name, hint="check the path, the format and who may read the file"
        ) from error
    return context


async def dial(host: str, port: int, tls: ssl.SSLContext | None = None) -> socket.socket:
    """A non-blocking, connected socket (with TLS done, if asked for); the caller closes it.

    Tries every address of the host in turn. Raises OSError, of which ssl.SSLError is one. The caller limits the time.
    """
    loop = asyncio.get_running_loop()
    error: OSError | None = None
    for family, kind, proto, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a record must not wait for company twice
            await loop.sock_connect(sock, address)
            if tls is None:
                return sock
            sock = tls.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
            await _handshake(sock)
        except OSError as failed:
            sock.close()
            error = failed
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error or OSError(f"no address for {host}")


async def _handshake(sock: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(sock, loop.add_reader, loop.remove_reader)
        except ssl.SSLWantWriteError:
            await _ready(sock, loop.add_writer, loop.remove_writer)
        else:
            return


async def _ready(
    sock: socket.socket,
    add: Callable[[socket.socket, Callable[[], None]], None],
    remove: Callable[[socket.socket], bool],
) -> None:
    event = asyncio.Event()
    add(sock, event.set)
    try:
        await event.wait()
    finally:
        remove(sock)
