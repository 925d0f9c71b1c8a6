"""Bytes of a serial port to lines."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from drivers.serial_port import SerialPort, SerialSettings
from gateway.model.errors import LinkDown

_LONGEST: Final = 1024
_PAUSE_S: Final = 0.05
"""Silence that only stands between lines, never within one."""
_MOST_WAITING: Final = 64
"""An instrument that outruns us loses its oldest lines; what it says is only worth having fresh."""


class Inlet:
    """An open port as lines. A line that was already under way when the port was opened is half a line: dropped."""

    def __init__(self, settings: SerialSettings, where: str) -> None:
        self._port = SerialPort(settings, where, self._receive, self._lose)
        self._where = where
        self._lines: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._rest = b""
        self._whole: bool | None = None
        self._opened = 0.0
        self._news = asyncio.Event()
        self._lost: LinkDown | None = None

    async def open(self) -> None:
        """Raises LinkDown."""
        self._lines.clear()
        self._rest, self._whole, self._lost = b"", None, None
        await self._port.open()
        self._opened = asyncio.get_running_loop().time()

    def close(self) -> None:
        self._port.close()
        self._lost = LinkDown("not open", where=self._where)

    async def line(self, wait_s: float) -> bytes | None:
        """The next line without its end; None when none came in time. Raises LinkDown."""
        while not self._lines:
            if self._lost is not None:
                raise self._lost
            self._news.clear()
            try:
                async with asyncio.timeout(max(wait_s, 0)):
                    await self._news.wait()
            except TimeoutError:
                return None
        return self._lines.popleft()

    def _receive(self, data: bytes) -> None:
        if self._whole is None:
            self._whole = asyncio.get_running_loop().time() - self._opened > _PAUSE_S
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > _LONGEST:
            self._rest = self._rest[-_LONGEST:]
        if lines and not self._whole:
            self._whole = True
            lines.pop(0)
        self._lines.extend(line for line in lines if line.strip())
        if self._lines:
            self._news.set()

    def _lose(self, error: LinkDown) -> None:
        self._lost = error
        self._news.set()
