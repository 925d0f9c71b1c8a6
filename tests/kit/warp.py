"""An event loop in which waiting takes no time: real sockets and ptys, and a clock that jumps to the next timer.

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        runner.run(an_hour())

The clock stands still while code runs and while bytes are on their way. poll(2) is what makes that certain for ptys:
it lets the kernel finish what it has to carry from one side to the other before it says that there is nothing
(n_tty flushes its work queue there), which epoll does not. Loopback TCP delivers within the call that sends.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple

_EPOCH_MS: Final = 1_795_322_220_000
_STUCK_S: Final = 20.0

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
        self.loop.jump(timeout)
        return []


class WarpLoop(asyncio.SelectorEventLoop):
    """Its time begins at 1000 s and knows nothing of the machine's. Threads are waited for in real time."""

    def __init__(self) -> None:
        self._now = 1000.0
        self.threads = 0
        self.jumps = 0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        # The sum of many waits is not exactly the time of their timer.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds
        self.jumps += 1

    def run_in_executor(self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_ended)
        return future

    def _thread_ended(self, _: asyncio.Future[Any]) -> None:
        self.threads -= 1


class WarpClock:
    """gateway.model.clock.Clock on such a loop's time."""

    def __init__(self, loop: WarpLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return _EPOCH_MS + round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    def synced(self) -> bool:
        return True
