"""Serial ports for an event loop: opened in a thread, then read and written without blocking."""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import serial

from drivers.settings import Parity
from gateway.model.errors import LinkDown

_PARITY: Final[dict[Parity, str]] = {
    "none": serial.PARITY_NONE,
    "even": serial.PARITY_EVEN,
    "odd": serial.PARITY_ODD,
}
_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True)
class SerialSettings:
    path: Path
    baud: int
    parity: Parity = "none"
    stop_bits: int = 1
    data_bits: int = 8

    @property
    def character_s(self) -> float:
        """Time of one character on the line: start bit, data, parity, stop bits."""
        return (1 + self.data_bits + (self.parity != "none") + self.stop_bits) / self.baud


class SerialPort:
    """One open port. `received` gets the bytes as they come; `lost` is called once when the port is gone."""

    def __init__(
        self, settings: SerialSettings, where: str, received: Callable[[bytes], None], lost: Callable[[LinkDown], None]
    ) -> None:
        self._settings = settings
        self._where = where
        self._received = received
        self._lost = lost
        self._port: serial.Serial | None = None
        self._fd = -1

    async def open(self) -> None:
        """Raises LinkDown. Opening some USB adapters takes seconds, so a thread does it; if the caller is
        cancelled meanwhile, the port is closed as soon as the thread is through."""
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_blocking))
        try:
            port = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_late)
            raise
        except (OSError, ValueError, termios.error) as error:
            raise LinkDown(
                f"{self._settings.path}: {_why(error)}",
                where=self._where,
                hint="check the cable and the name in /dev/serial/by-id, that no other program uses the port, "
                "and that this user is in group dialout",
            ) from error
        self._port = port
        self._fd = port.fileno()
        asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def _open_blocking(self) -> serial.Serial:
        settings = self._settings
        # A pty (socat, a rehearsal) carries no parity, and Linux refuses the second program that asks it for one.
        parity = "none" if settings.path.resolve().is_relative_to("/dev/pts") else settings.parity
        return serial.Serial(
            str(settings.path),
            baudrate=settings.baud,
            parity=_PARITY[parity],
            stopbits=settings.stop_bits,
            bytesize=settings.data_bits,
            timeout=0,
            write_timeout=0,
            exclusive=True,
        )

    def close(self) -> None:
        """Frees the port. Never raises."""
        port, self._port = self._port, None
        if port is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            _close(port)

    def write(self, data: bytes) -> None:
        """Hands the bytes to the kernel. Raises LinkDown when the port is gone or does not take them all: its
        buffer holds many frames, so a full one means that nothing leaves it."""
        try:
            written = os.write(self._fd, data) if self._port is not None else 0
        except OSError as error:
            raise self._gone(str(error)) from error
        if written != len(data):
            raise self._gone("the port does not take bytes")

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(str(error))
            return
        if data:
            self._received(data)
        else:
            self._lose("end of file")

    def _lose(self, why: str) -> None:
        self.close()
        self._lost(self._gone(why))

    def _gone(self, why: str) -> LinkDown:
        return LinkDown(
            f"{self._settings.path} is gone: {why}", where=self._where, hint="check the cable and the USB adapter"
        )


def _why(error: Exception) -> str:
    """In the system's words: pyserial's own say path and number twice."""
    number = error.args[0] if error.args else None
    return os.strerror(number) if isinstance(number, int) else str(error)


def _close(port: serial.Serial) -> None:
    try:
        port.close()
    except OSError:
        return  # an unplugged adapter cannot be closed properly; its descriptor is gone all the same


def _close_late(opening: asyncio.Future[serial.Serial]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _close(opening.result())
