"""A scripted half-duplex RTU slave on a pty. The value of every register is its address, so that an answer that
reaches the wrong request shows. Like a real one it does one thing after the other: while it is late with an answer,
the next request waits in its buffer."""

from __future__ import annotations

import asyncio
import os
import struct
import tty
from collections import deque
from pathlib import Path

from pymodbus.framer.rtu import FramerRTU


def sealed(frame: bytes) -> bytes:
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


class Slave:
    """`script` says what to do with the next requests, one word each; nothing left means a plain answer."""

    def __init__(self, units: tuple[int, ...] = (1, 2)) -> None:
        self.script: deque[str] = deque()
        self.heard: list[bytes] = []
        self._units = units
        self._fds = os.openpty()
        tty.setraw(self._fds[1])
        os.set_blocking(self._fds[0], False)
        self._buffer = b""
        self._busy_until = 0.0
        asyncio.get_running_loop().add_reader(self._fds[0], self._readable)

    @property
    def path(self) -> Path:
        return Path(os.ttyname(self._fds[1]))

    def close(self) -> None:
        if self._fds:
            asyncio.get_running_loop().remove_reader(self._fds[0])
            for fd in self._fds:
                os.close(fd)
            self._fds = ()  # type: ignore[assignment]  # closed

    def send(self, data: bytes) -> None:
        if self._fds:
            os.write(self._fds[0], data)

    def _readable(self) -> None:
        self._buffer += os.read(self._fds[0], 4096)
        while len(self._buffer) >= 8:
            frame, self._buffer = self._buffer[:8], self._buffer[8:]
            self.heard.append(frame)
            if frame[0] in self._units:
                loop = asyncio.get_running_loop()
                what = self.script.popleft() if self.script else "ok"
                word, _, number = what.partition(":")
                late_s = float(number) if word == "late" else 0.0
                self._busy_until = max(self._busy_until, loop.time()) + late_s
                loop.call_at(self._busy_until, self._act, frame, "ok" if word == "late" else what)

    def _act(self, frame: bytes, what: str) -> None:
        unit, function, start, count = struct.unpack(">BBHH", frame[:6])
        good = sealed(bytes((unit, function, 2 * count)) + struct.pack(f">{count}H", *range(start, start + count)))
        word, _, number = what.partition(":")
        pieces = {
            "ok": [good],
            "short": [good[:-4]],
            # a sound frame with fewer registers than asked for
            "fewer": [sealed(bytes((unit, function, 2 * (count - 1))) + good[3 : 3 + 2 * (count - 1)])],
            "noise": [b"\x00\xff" + bytes((unit, function, 2 * count)) + b"\x55" + good],
            "split": [good[:2], good[2:-1], good[-1:]],
            "bad_crc": [good[:-1] + bytes((good[-1] ^ 0xFF,))],
            "echo": [frame + good],
            "exception": [sealed(bytes((unit, function | 0x80, int(number or 2))))],
            "wrong_unit": [sealed(bytes((unit + 1,)) + good[1:-2])],
            "wrong_function": [sealed(bytes((unit, function ^ 7)) + good[2:-2])],
            "twice": [good, good],
            "trailing": [good + b"\x01\x03\x02"],
            "dead": [],
        }
        for number_of, piece in enumerate(pieces[word]):
            asyncio.get_running_loop().call_later(0.005 * number_of, self.send, piece)
