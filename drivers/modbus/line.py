"""One request at a time on a byte stream: what TCP and serial lines have in common."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping

from drivers.modbus.messages import Request
from gateway.model.errors import DriverError, LinkDown, NoAnswer


class Line(ABC):
    """The byte stream of one wire. The caller holds the wire's turn (`drivers.link`) around `exchange`.

    rests: seconds a unit wants to be left in peace after an exchange, by unit number. took_s: how long the newest
    exchange lasted from its request to its answer or end, without rests before it.
    """

    def __init__(self, where: str, rests: Mapping[int, float]) -> None:
        self.where = where
        self._rests = rests
        self.took_s = 0.0
        self._unit = 0
        self._request: Request | None = None  # on its way, neither answered nor given up
        self._waiting: asyncio.Future[bytes] | None = None
        self._lost: LinkDown | None = LinkDown("not connected", where=where)
        self._heard_late: set[int] = set()

    @abstractmethod
    async def open(self) -> None:
        """Raises LinkDown when the wire is not there. A failed opening leaves nothing open."""

    @abstractmethod
    async def close(self) -> None:
        """Frees the port or socket. Never raises; may be called at any time."""

    @abstractmethod
    async def exchange(self, unit: int, request: Request, wait_s: float) -> bytes:
        """Sends one request and returns the body of its good answer (without function code).

        Raises NoAnswer, BadFrame, DeviceRefused or LinkDown. Nothing is ever sent twice. When the caller is
        cancelled the exchange still runs to its answer or its end of time, so that the next user of the
        wire finds it silent; the cancellation goes on after that.
        """

    def ready_in_s(self, unit: int) -> float:  # noqa: ARG002 - serial lines answer differently
        """Seconds until this unit may be asked again; 0 unless it still owes an answer."""
        return 0.0

    def check(self) -> None:
        """Raises LinkDown when the wire is gone."""
        if self._lost is not None:
            raise self._lost

    def heard_late(self, unit: int) -> bool:
        """True once for every unit that answered after its time since this was last asked."""
        if unit in self._heard_late:
            self._heard_late.discard(unit)
            return True
        return False

    async def _answer(self, unit: int, request: Request, wait_s: float) -> bytes:
        """Waits for what `_succeed` or `_fail` say of the request just sent."""
        loop = asyncio.get_running_loop()
        self._unit, self._request = unit, request
        self._waiting = loop.create_future()
        began = loop.time()
        timer = loop.call_at(began + wait_s, self._expire)
        try:
            return await self._waiting
        except asyncio.CancelledError:
            await self._ended()
            raise
        finally:
            timer.cancel()
            self._waiting = None
            self.took_s = loop.time() - began

    async def _ended(self) -> bool:
        """The caller was cancelled in mid-request: keeps the turn until the request has ended; True if with an
        answer. The timer of `_answer` bounds this, so further cancellations can be held back."""
        loop = asyncio.get_running_loop()
        answered = self._request is None
        while self._request is not None:
            self._waiting = loop.create_future()
            with contextlib.suppress(asyncio.CancelledError, DriverError):
                await self._waiting
                answered = True
        return answered

    def _succeed(self, pdu: bytes) -> None:
        self._request = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(pdu)

    def _fail(self, error: DriverError) -> None:
        self._request = None
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def _expire(self) -> None:
        self._fail(
            NoAnswer(
                "no answer in time",
                where=f"{self.where} unit {self._unit}",
                hint="check its power, its unit number and the wiring",
            )
        )

    def _lose(self, error: LinkDown) -> None:
        """The wire is gone: fails what is on its way, and everything after it."""
        self._lost = error
        if self._request is not None:
            self._fail(error)
