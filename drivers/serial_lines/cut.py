"""Bytes to lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_LONGEST: Final = 1024


class LineCutter:
    """A line that was already under way when the port was opened is half a line: dropped. So everything up to the
    first line end is, unless the port was quiet before."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._rest = b""
        self._whole = False

    def cut(self, data: bytes) -> Sequence[bytes]:
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = self._rest[-_LONGEST:]
        if lines and not self._whole:
            self._whole = True
            lines.pop(0)
        return [line for line in lines if line.strip()]

    def pause(self) -> Sequence[bytes]:
        if not self._rest:
            self._whole = True
        return ()
