"""Bytes of a serial port to the pieces an instrument sends: lines or frames."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from drivers.serial_port import SerialPort, SerialSettings
from gateway.model.errors import LinkDown

PAUSE_S: Final = 0.05
"""Silence that stands between pieces and hardly ever within one."""
_MOST_WAITING: Final = 64
"""An instrument that outruns us loses its oldest pieces; what it says is only worth having fresh."""


class Cutter(Protocol):
    """Cuts a stream of bytes into pieces. Keeps no more than the longest piece."""

    def clear(self) -> None:
        """A new stream begins, perhaps in the middle of a piece."""

    def cut(self, data: bytes) -> Sequence[bytes]:
        """The pieces that are whole now."""

    def pause(self) -> Sequence[bytes]:
        """Nothing comes at the moment. Pieces that only waited for more."""


class Inlet:
    """An open port as pieces."""

    def __init__(self, settings: SerialSettings, where: str, cutter: Cutter) -> None:
        self._port = SerialPort(settings, where, self._receive, self._lose)
        self._where = where
        self._cutter = cutter
        self._pieces: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._pause: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self._lost: LinkDown | None = None

    async def open(self) -> None:
        """Raises LinkDown."""
        self._pieces.clear()
        self._cutter.clear()
        self._lost = None
        await self._port.open()
        self._listen_for_pause()

    def close(self) -> None:
        self._port.close()
        if self._pause is not None:
            self._pause.cancel()
        self._lost = LinkDown("not open", where=self._where)

    def forget(self) -> None:
        """Drops what came and nobody took."""
        self._pieces.clear()

    def send(self, data: bytes) -> None:
        """Raises LinkDown."""
        self._port.write(data)

    async def piece(self, wait_s: float) -> bytes | None:
        """The next piece; None when none came in time. Raises LinkDown."""
        while not self._pieces:
            if self._lost is not None:
                raise self._lost
            self._news.clear()
            try:
                async with asyncio.timeout(max(wait_s, 0)):
                    await self._news.wait()
            except TimeoutError:
                return None
        return self._pieces.popleft()

    def _receive(self, data: bytes) -> None:
        self._listen_for_pause()
        self._add(self._cutter.cut(data))

    def _listen_for_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._pause = asyncio.get_running_loop().call_later(PAUSE_S, lambda: self._add(self._cutter.pause()))

    def _add(self, pieces: Sequence[bytes]) -> None:
        self._pieces.extend(pieces)
        if self._pieces:
            self._news.set()

    def _lose(self, error: LinkDown) -> None:
        self._lost = error
        if self._pause is not None:
            self._pause.cancel()
        self._news.set()
