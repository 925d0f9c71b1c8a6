"""One life of an announcing process: begun, followed, frozen, killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

from tests.durability.announcer import Order
from tests.durability.promises import Fact, Promises

ROOT = Path(__file__).parents[2]
BOUND_S = 30.0


class Life:
    """`facts`: what it has said so far."""

    def __init__(self, child: Process, log: Path) -> None:
        self._child = child
        self._log = log
        self.facts: list[Fact] = []
        self._alive = asyncio.Event()
        self._reader = asyncio.create_task(self._read())

    async def begin(self, order: Order) -> None:
        """Returns when it is about to open its store."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        async with asyncio.timeout(BOUND_S):
            await self._alive.wait()
        assert self.facts, self.log

    async def freeze(self) -> None:
        """SIGSTOP. Whatever it had said by then is in `facts` afterwards."""
        self._child.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, self._child.pid, os.WSTOPPED | os.WNOWAIT)
        said = -1
        while said != len(self.facts):
            said = len(self.facts)
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()
        await self.ended()

    async def ended(self) -> int:
        """Its exit code, once it has ended by itself or was killed."""
        async with asyncio.timeout(BOUND_S):
            await self._reader
            return await self._child.wait()

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def said(self, kind: str) -> list[Fact]:
        return [fact for fact in self.facts if fact["fact"] == kind]

    async def _read(self) -> None:
        assert self._child.stdout is not None
        async for line in self._child.stdout:
            if line.endswith(b"\n"):  # the last one may have been cut off
                self.facts.append(json.loads(line))
                self._alive.set()
        self._alive.set()


@contextlib.asynccontextmanager
async def life(folder: Path) -> AsyncIterator[Life]:
    """A process that waits for its order; killed at the end if it still lives."""
    log = folder / "announcer.log"
    with log.open("ab") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.durability.announcer", cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=errors
        )
    one = Life(child, log)
    try:
        yield one
    finally:
        await one.kill()


def hear(promises: Promises, one: Life) -> None:
    for fact in one.facts:
        if fact["fact"] not in {"alive", "ended"}:
            promises.hear(fact)
