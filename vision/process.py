"""The other end of the pipe: starts a camera's child, reads its messages, and always buries it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Self

from gateway.model.errors import BadFrame, DriverError, LinkDown, Unsupported
from vision.wire import MAX_LINE, Failed, Job, Message, Ready, decode, encode_job

# By name, in its own process: importing it would load pixels into the daemon. -P keeps the working
# directory out of its path.
COMMAND: tuple[str, ...] = (sys.executable, "-P", "-m", "vision.child")

START_S = 30.0  # until Ready: a small board needs seconds to load the libraries and a model


class Child:
    """One running child in its own process group. Made by `start`; `stop` must be called."""

    def __init__(self, process: asyncio.subprocess.Process, where: str) -> None:
        self._process = process
        self._where = where
        self.pid = process.pid

    @classmethod
    async def start(cls, job: Job, *, where: str, command: Sequence[str] = COMMAND) -> tuple[Self, Ready]:
        """A child that is ready to look. `where` is what errors name. Raises LinkDown or Unsupported, and then
        nothing of it is left."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # FFmpeg prints addresses, and with them passwords.
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            limit=MAX_LINE,
        )
        child = cls(process, where)
        try:
            await child._send(job)
            return child, await child._ready()
        except BaseException:
            await child.stop()
            raise

    async def next(self, limit_s: float) -> Message:
        """Its next message. Raises LinkDown if it is silent for `limit_s` or ended, BadFrame for nonsense, and
        what it says itself when it gives up."""
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 - it was started with a pipe
        try:
            async with asyncio.timeout(limit_s):
                line = await stdout.readline()
        except TimeoutError:
            raise LinkDown(
                f"the camera process said nothing for {limit_s:g} s and was ended",
                where=self._where,
                hint="the camera's stream may hang, or the machine is too slow for this model and rate",
            ) from None
        except ValueError:  # a line beyond MAX_LINE
            raise BadFrame("the camera process sent an endless line", where=self._where) from None
        if not line.endswith(b"\n"):
            raise LinkDown(
                f"the camera process ended unasked ({await self._last_words()})",
                where=self._where,
                hint="a damaged stream or too little memory; look for its end in the system's log",
            )
        message = decode(line)
        if isinstance(message, Failed):
            raise _error(message, self._where)
        return message

    async def _ready(self) -> Ready:
        first = await self.next(START_S)
        if not isinstance(first, Ready):
            raise BadFrame(f"the camera process began with {type(first).__name__}", where=self._where)
        return first

    async def stop(self) -> None:
        """Ends the child and all it started, and waits until nothing of it is left. Never raises."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself a moment ago
                os.killpg(self.pid, signal.SIGKILL)
        await self._process.wait()
        stdout = self._process.stdout
        while stdout is not None and await stdout.read(1 << 16):
            pass  # an unread pipe would stay open

    async def _send(self, job: Job) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - it was started with a pipe
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # gone already; reading will say so
            stdin.write(encode_job(job))
            await stdin.drain()
            stdin.close()
            await stdin.wait_closed()

    async def _last_words(self) -> str:
        code = await self._process.wait()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _error(failed: Failed, where: str) -> DriverError:
    kind = Unsupported if failed.code == Unsupported.code else LinkDown
    return kind(failed.what, where=where, hint=failed.hint)
