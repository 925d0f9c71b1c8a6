"""Pins of a rehearsal: the far end stands at a Unix socket where the chip would be.

Lines of JSON. We say {"consumer": "gateway", "pins": {"17": {"pull": "up"}}}; it says {"levels": {"17": 1}} or
{"error": "..."}, and from then on {"pin": 17, "at_ns": ..., "level": 0, "number": 1} for each edge. It bounces as real
contacts do and debounces nothing.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final

from drivers.gpio.chip import CONSUMER, Pins, RawEdge
from gateway.model.errors import LinkDown

_PATIENCE_S: Final = 2.0
_CHUNK: Final = 65_536


class RehearsedPins(Pins):
    _socket: socket.socket | None = None
    _buffer: bytes = b""

    async def _request(self) -> Mapping[int, int]:
        self._socket, self._buffer = socket.socket(socket.AF_UNIX), b""
        try:
            self._socket.setblocking(False)
            async with asyncio.timeout(_PATIENCE_S):
                answer = await self._ask(self._socket)
        except BaseException as error:
            self._release()
            if isinstance(error, OSError):  # a TimeoutError is one
                what, hint = f"{self.path}: {error.strerror or 'no answer'}", "does `gateway simulate` still run?"
                raise LinkDown(what, where=self.where, hint=hint) from error
            raise
        if "error" in answer:
            self._release()
            raise LinkDown(str(answer["error"]), where=self.where, hint="stop the other user of this pin")
        return {pin: int(answer["levels"][str(pin)]) for pin in self.pins}

    async def _ask(self, near: socket.socket) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(near, str(self.path))
        wanted = {str(pin): {"pull": wish.pull} for pin, wish in self.pins.items()}
        await loop.sock_sendall(near, json.dumps({"consumer": CONSUMER, "pins": wanted}).encode() + b"\n")
        while b"\n" not in self._buffer:
            data = await loop.sock_recv(near, _CHUNK)
            if not data:
                raise ConnectionResetError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return dict(json.loads(line))

    def _keeps_still(self, pin: int) -> bool:  # noqa: ARG002 - no pin is
        return False

    def _fileno(self) -> int:
        assert self._socket is not None  # noqa: S101 - asked for only after `_request`
        return self._socket.fileno()

    def _take(self) -> Sequence[RawEdge]:
        assert self._socket is not None  # noqa: S101 - asked for only after `_request`
        try:
            while data := self._socket.recv(_CHUNK):
                self._buffer += data
            raise ConnectionResetError("the rehearsal ended")
        except BlockingIOError:
            pass
        *lines, self._buffer = self._buffer.split(b"\n")
        return [RawEdge(**json.loads(line)) for line in lines]

    def _release(self) -> None:
        near, self._socket = self._socket, None
        if near is not None:
            near.close()
