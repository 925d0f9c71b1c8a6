"""A far end to which connections are made: an asyncio server, and what comes over each of its connections."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Generic, TypeVar

from drivers.simulate.far_end import FarEnd
from gateway.model.errors import LinkDown

End = TypeVar("End", bound="ServedEnd")


class Peer(asyncio.Protocol, Generic[End]):
    """One connection to `end`. `data_received` is the kind's own; `buffer` is there for it."""

    transport: asyncio.Transport

    def __init__(self, end: End) -> None:
        self.end = end
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self.transport = transport
        self.end.opened(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.end.closed(self.transport)


class ServedEnd(FarEnd):
    """`connections`: how many were ever made."""

    def __init__(self) -> None:
        super().__init__()
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()

    @abstractmethod
    async def serve(self) -> asyncio.Server:
        """Raises OSError when the address cannot be had."""

    @property
    @abstractmethod
    def at(self) -> str:
        """The address, for messages."""

    async def plug(self) -> None:
        try:
            self._server = await self.serve()
        except OSError as error:
            raise LinkDown(
                f"{self.at} cannot be served: {error.strerror or error}",
                where="simulate",
                hint="for a rehearsal use 127.0.0.1 and a free port above 1023, or a path that does not exist yet",
            ) from error

    async def unplug(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for transport in tuple(self._open):
            transport.abort()
        if server is not None:
            await server.wait_closed()

    def opened(self, transport: asyncio.Transport) -> None:
        self._open.add(transport)
        self.connections += 1

    def closed(self, transport: asyncio.Transport) -> None:
        self._open.discard(transport)
