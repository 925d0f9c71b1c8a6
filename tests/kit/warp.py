"""An event loop in which waiting takes no time: real sockets and ptys, and a clock that jumps to the next timer.

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        runner.run(an_hour())

The clock stands still while code runs and while bytes are on their way. poll(2) is what makes that certain for ptys:
it lets the kernel finish what it has to carry from one side to the other before it says that there is nothing
(n_tty flushes its work queue there), which epoll does not. Loopback TCP mostly delivers within the call that sends; on
a busy machine a moment later, so before each jump a byte of our own is sent after the others and waited for.
"""

from __future__ import annotations

import asyncio
import math
import selectors
import socket
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, Final, TypeVar, TypeVarTuple

_EPOCH_MS: Final = 1_795_322_220_000
_STUCK_S: Final = 20.0
_BEGIN_S: Final = 1020.0
_COARSE_FROM_S: Final = 0.2

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class _Selector(selectors.PollSelector):
    """Asks `idle` what to do when nothing is ready: to move the clock on, or to wait."""

    loop: WarpLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None or self.loop.threads:
            ready = super().select(_STUCK_S if timeout is None else 0.001)
            if not ready and timeout is None:
                raise RuntimeError(f"nothing to wait for but bytes that did not come in {_STUCK_S:g} s")
            return ready
        self.loop.probe()
        if ready := super().select(0):
            return ready
        self.loop.jump(timeout)
        return []


class WarpLoop(asyncio.SelectorEventLoop):
    """Its time begins at 1020 s and knows nothing of the machine's. Threads are waited for in real time.

    grain_s: timers of 0.2 s and more ring at whole multiples of it only, so that a day of tasks that look up each
    second is cheap. Shorter ones, such as pauses between frames, stay exact.
    """

    def __init__(self, grain_s: float = 0.0) -> None:
        self._now = _BEGIN_S
        self._grain_s = grain_s
        self.threads = 0
        self.jumps = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._probe_in = socket.create_connection(server.getsockname())
            self._probe_out, _ = server.accept()
        self._probe_in.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The sum of many waits is not exactly the time of their timer.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds
        self.jumps += 1

    def probe(self) -> None:
        """Returns when what was sent over loopback before has arrived."""
        self._probe_in.send(b".")
        self._probe_out.recv(1)

    def close(self) -> None:
        super().close()
        self._probe_in.close()
        self._probe_out.close()

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if self._grain_s and when - self._now >= _COARSE_FROM_S - 1e-6:
            when = math.ceil(when / self._grain_s - 1e-6) * self._grain_s
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: asyncio.Future[Any]) -> None:
        self.threads -= 1


class WarpClock:
    """gateway.model.clock.Clock on such a loop's time. `start_ms`: what it says now, ms UTC."""

    def __init__(self, loop: WarpLoop, start_ms: int | None = None) -> None:
        self._loop = loop
        self._epoch_ms = _EPOCH_MS if start_ms is None else start_ms - round(loop.time() * 1000)

    def now_ms(self) -> int:
        return self._epoch_ms + round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    def synced(self) -> bool:
        return True
