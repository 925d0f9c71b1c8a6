"""The one host of a wire: what can go wrong with a GET told apart, answers of bounded size, one connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import httpx

from drivers.json_values import LARGEST
from drivers.settings import HttpPollWire
from gateway.model.errors import BadFrame, DeviceRefused, LinkDown, NoAnswer

_IDLE_S: Final = 4.0
"""An idle connection is closed before servers do it (many after 5 s): a request that meets their closing is lost."""
_KEPT: Final = frozenset({b"www-authenticate", b"location"})
_HINTS: Final = {
    401: "check `user`, `password` and `auth` of the wire",
    403: "this user may not read it; check `user` of the wire and the rights given on the device",
    404: "check `address`, and that profile and firmware fit each other",
    429: "it is asked too often: raise every_s",
}


class Host:
    """Asks one request at a time; the caller keeps the turns. `where` is the wire."""

    def __init__(self, where: str, wire: HttpPollWire, secret: Callable[[str], str]) -> None:
        """Raises ConfigError when the password is not there."""
        self._where = where
        self._wire = wire
        self._auth = _auth(wire, secret)
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Raises LinkDown when nobody listens there."""
        await self._knock()
        self._client = httpx.AsyncClient(
            auth=self._auth(),
            transport=_WithoutErrorPages(
                verify=await _trust(self._wire.url),
                trust_env=False,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_IDLE_S),
            ),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "gateway"},
            follow_redirects=False,
            trust_env=False,
        )

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(httpx.HTTPError, OSError):
                await client.aclose()

    async def _knock(self) -> None:
        parts = urlsplit(self._wire.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(max(self._wire.timeout_s, 1.0)):
                _, writer = await asyncio.open_connection(parts.hostname, port)
                writer.close()
                await writer.wait_closed()
        except TimeoutError as error:
            raise self._unreachable("no reply to the connection") from error
        except OSError as error:
            raise self._unreachable(error.strerror or str(error)) from error
        except UnicodeError as error:  # a name that no resolver takes: 192.168..40
            raise self._unreachable(f"{parts.hostname!r} is no name of a host") from error

    async def get(self, url: str, wait_s: float) -> bytes:
        """The body of the answer, LARGEST bytes at most. Connecting may take the wire's whole timeout beside `wait_s`.

        Raises LinkDown, NoAnswer, BadFrame and DeviceRefused.
        """
        if self._client is None:
            raise LinkDown("not connected", where=self._where)
        self._client.cookies.clear()  # nobody wants them, and one that is new each time would grow the requests
        connect_s = self._wire.timeout_s
        where = f"{self._where} GET {urlsplit(url).path}"
        try:
            async with asyncio.timeout(connect_s + wait_s):
                return await self._body(self._client, url, httpx.Timeout(wait_s, connect=connect_s))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._unreachable(str(error) or "no reply to the connection") from error
        except (TimeoutError, httpx.TimeoutException) as error:
            hint = "check that the device works; raise timeout_s if it is slow"
            raise NoAnswer(f"no answer within {wait_s:g} s", where=where, hint=hint) from error
        except (httpx.NetworkError, OSError) as error:  # OSError: broken TLS comes as it is
            raise NoAnswer("the connection broke", where=where, hint="check the cable or the radio link") from error
        except httpx.ProtocolError as error:
            raise BadFrame(f"no valid HTTP: {error}", where=where, hint="is this the device's web port?") from error
        except (LookupError, ValueError, NotImplementedError) as error:
            # What httpx raises for a call for a password (digest) that it cannot read; it would remember the call.
            self._client.auth = self._auth()
            what, hint = "its call for a password makes no sense", "does `auth` of the wire fit the device?"
            raise BadFrame(what, where=where, hint=hint) from error

    async def _body(self, client: httpx.AsyncClient, url: str, timeout: httpx.Timeout) -> bytes:
        async with client.stream("GET", url, timeout=timeout) as response:
            if not response.is_success:
                raise self._refused(response)
            body = bytearray()
            # Raw: a few packed kilobytes can become gigabytes, and unpacked is what was asked for.
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > LARGEST:
                    what, hint = f"more than {LARGEST} bytes", "choose a smaller request"
                    raise BadFrame(what, where=self._where, hint=hint)
            return bytes(body)

    def _refused(self, response: httpx.Response) -> DeviceRefused:
        status = response.status_code
        if response.is_redirect:
            place = response.headers.get("location", "nowhere")[:200]
            hint = f"it points to {place}; if that is right, correct `url` of the wire"
        else:
            hint = _HINTS.get(status, "the device itself is at fault; look at its own page, restart it")
        return DeviceRefused(f"HTTP {status} for {response.url.path}", where=self._where, hint=hint)

    def _unreachable(self, what: str) -> LinkDown:
        if "CERTIFICATE" in what:
            hint = "the device's certificate is not trusted here: add its authority to this machine, or use http://"
        else:
            hint = "check power, cable, and the address; ping it"
        return LinkDown(f"{self._wire.url}: {what}", where=self._where, hint=hint)


class _WithoutErrorPages(httpx.AsyncHTTPTransport):
    """The body of an error is not read: nobody needs it, and its size is the sender's choice."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if response.is_success:
            return response
        await response.aclose()
        kept = [(name, value) for name, value in response.headers.raw if name.lower() in _KEPT]
        return httpx.Response(response.status_code, headers=kept)


def _auth(wire: HttpPollWire, secret: Callable[[str], str]) -> Callable[[], httpx.Auth]:
    user, password = wire.user, secret(wire.password) if wire.password is not None else ""
    if user is None:
        return httpx.Auth  # none at all
    if wire.auth == "digest":
        return lambda: httpx.DigestAuth(user, password)
    return lambda: httpx.BasicAuth(user, password)


async def _trust(url: str) -> ssl.SSLContext:
    """The authorities this machine trusts; nobody where nothing is encrypted, for reading them takes its time."""
    if urlsplit(url).scheme == "https":
        return await asyncio.to_thread(ssl.create_default_context)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
