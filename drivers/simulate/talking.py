"""The far end of a serial port with an instrument that speaks by itself, or when it is asked."""

from __future__ import annotations

import asyncio
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drivers.simulate.far_end import GARBAGE, PtyEnd, SimulatedDevice


class TalkingEnd(PtyEnd):
    """Sends everything its profile has once a period, or each time it hears `ask`."""

    rubbish = GARBAGE

    def __init__(self, path: Path, device: SimulatedDevice, ask: bytes) -> None:
        super().__init__(path)
        self.device = device
        self._ask = ask
        self._heard = b""
        self._next: asyncio.TimerHandle | None = None
        self._played: bytes | None = None

    @abstractmethod
    def pieces(self) -> Sequence[bytes]:
        """What the instrument says now, one of each kind."""

    @abstractmethod
    def piece_of(self, given: Any) -> bytes:
        """An example's `given` as it is sent."""

    def play(self, device: str, given: Any) -> None:  # noqa: ARG002 - it is the only one
        self._played = self.piece_of(given)

    async def plug(self) -> None:
        await super().plug()
        if not self._ask:
            self._next = asyncio.get_running_loop().call_later(0, self._speak_each_period)

    async def unplug(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        await super().unplug()

    def received(self, data: bytes) -> None:
        self._heard += data
        if self._ask and self._ask in self._heard:
            self._heard = b""
            self._speak()
        self._heard = self._heard[-256:]

    def _speak_each_period(self) -> None:
        self._next = asyncio.get_running_loop().call_later(self.device.settings.every_s, self._speak_each_period)
        self._speak()

    def _speak(self) -> None:
        self.device.requests += 1
        mine, wire = self.device.fault, self.fault
        if wire.silent or mine.silent:
            return
        for piece in [self._played] if self._played is not None else self.pieces():
            said = self.rubbish if wire.garbage or mine.garbage else self._disturbed(piece, max(wire.noise, mine.noise))
            delay_s = max(wire.delay_s, mine.delay_s)
            if delay_s:
                asyncio.get_running_loop().call_later(delay_s, self.send, said)
            else:
                self.send(said)

    def _disturbed(self, piece: bytes, noise: float) -> bytes:
        """With one bit turned over, if the noise hits this piece: always alike for the same number of pieces."""
        dice = zlib.crc32(f"{self.device.name}/{self.device.requests}".encode())
        if dice >= noise * 2**32:
            return piece
        byte, bit = divmod(zlib.crc32(dice.to_bytes(4)) % (8 * len(piece)), 8)
        return piece[:byte] + bytes((piece[byte] ^ 1 << bit,)) + piece[byte + 1 :]
