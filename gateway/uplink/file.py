"""The uplink into a file: for sites without any line, where somebody carries the file to the centre, and for tests.

One JSON message a line, the same envelopes as over MQTT, in the same order of lanes. A batch is settled after the
file was synced to the disk; a broken last line after a power cut is a batch that was not settled and comes again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from gateway.model.clock import Clock
from gateway.model.errors import Unreachable
from gateway.model.ports import Lane, Outbox
from gateway.uplink import encode
from gateway.uplink.sender import Lasting, Limits


@dataclass
class FileUplink:
    """Appends to `path`. There are no commands on this way. Raises Unreachable from `run` if the file cannot be
    written; the records stay in the store."""

    path: Path
    gateway_id: str
    outbox: Outbox
    catalogue: encode.Catalogue
    clock: Clock
    about: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self._lasting = Lasting()
        self._letter: encode.Letterhead | None = None
        self._since_ms = 0
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; after `drain` it only waits for that."""
        session = await self.outbox.next_session()
        self._letter = encode.Letterhead(self.gateway_id, self.outbox.epoch, session, self.catalogue.hash)
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await self._write(self._birth(self._letter), self.catalogue.body)
            self._since_ms = self.clock.now_ms()
            while not stopping.done():
                await self._write_what_waits(self._letter)
                news = asyncio.create_task(self.outbox.changed())
                await asyncio.wait([news, stopping], return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
            await self._write_what_waits(self._letter)
            await self._write(encode.death(self.gateway_id, session, why="stopped", span=self.outbox.span()))
        finally:
            stopping.cancel()
            self.outbox.give_back()
        self._ended.set()
        await asyncio.Event().wait()

    async def drain(self, timeout_s: float, why: str = "stopped") -> None:  # noqa: ARG002  # the port's signature
        """Writes what waits and the last message. A disk that takes longer than `timeout_s` is not waited for."""
        self._stopping.set()
        if self._letter is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._ended.wait()

    async def rebirth(self) -> None:
        """Writes birth and catalogue again."""
        if self._letter is not None:
            await self._write(self._birth(self._letter), self.catalogue.body)

    def status(self) -> dict[str, Any]:
        """What a person wants to see, ready for JSON."""
        return {
            "kind": "file",
            "file": str(self.path),
            "connected": bool(self._since_ms),
            "connected_since_ms": self._since_ms,
            "sent_batches": self._lasting.batches,
            "sent_records": self._lasting.records,
        }

    async def _write_what_waits(self, letter: encode.Letterhead) -> None:
        for lane in Lane:
            while batch := await self.outbox.take(lane, self.limits.batch_records, self.limits.batch_bytes):
                await self._write(encode.envelope(letter, batch, self.clock.now_ms(), synced=self.clock.synced()))
                self.outbox.settle(batch)
                self._lasting.batches += 1
                self._lasting.records += batch.n

    def _birth(self, letter: encode.Letterhead) -> bytes:
        now_ms, synced = self.clock.now_ms(), self.clock.synced()
        return encode.birth(letter, self.outbox.span(), now_ms, synced=synced, about=self.about)

    async def _write(self, *messages: bytes) -> None:
        await asyncio.to_thread(_append, self.path, b"".join(message + b"\n" for message in messages))


def _append(path: Path, lines: bytes) -> None:
    try:
        with path.open("ab") as file:
            _end_broken_line(file, path)
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        hint = "is the stick there, and is there room on it?"
        raise Unreachable(f"cannot write: {error.strerror}", where=str(path), hint=hint) from error


def _end_broken_line(file: BinaryIO, path: Path) -> None:
    """After a power cut the last line may be broken; the next one must not be glued to it."""
    if file.tell() == 0:
        return
    with path.open("rb") as old:
        old.seek(-1, os.SEEK_END)
        if old.read(1) != b"\n":
            file.write(b"\n")
