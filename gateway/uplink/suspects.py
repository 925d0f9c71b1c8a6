"""Which batch makes the broker hang up? Evidence against batches that were unanswered when a connection ended. Pure.

Connections end for many reasons, and some batch is always the oldest unanswered one. So a batch is given up only on
evidence that no bad line, no bad broker and no limit of so many messages a connection gives by itself:

1. The oldest unanswered batch of a connection that ended is *suspected*. It goes first in the next connection, alone
   on its way. Any answer ends the suspicion: that is how it ends after every ordinary outage.
2. If that connection ends too, the batch is *held apart*: all others go on without it. From then on it is tried alone,
   `spacing_s` after a connection ended at the earliest, in a connection in which the broker has acknowledged another
   batch of records before. Births and heartbeats prove nothing: a broker may take those and no records.
3. A connection that ends in such a trial *convicts* the batch (it is the third). It is halved, and each half is held
   apart and tried in the same way, down to one record. That one must end three such trials; then it is set aside.

A batch that is alone in the store is tried all the same, but nothing follows if that ends the connection: whatever
comes later is the proof it waits for. A broker that hangs up on everything acknowledges no batch, so it convicts none.
Each of its connections may add a suspect; when there are too many, it is the broker, and all of them are let go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gateway.model.ports import Batch

MOST = 8
TRIALS_OF_ONE = 3


@dataclass(slots=True)
class _Suspect:
    batch: Batch
    held: bool = False
    ended: int = 0
    """Connections that ended in a trial of it."""

    @property
    def convicted(self) -> bool:
        return self.ended >= (1 if self.batch.n > 1 else TRIALS_OF_ONE)


class Suspects:
    """What outlives a connection. Times are seconds of a clock that does not jump."""

    def __init__(self, spacing_s: float = 0.0) -> None:
        self._spacing_s = spacing_s
        self._list: list[_Suspect] = []
        self._ended_at = float("-inf")

    def __len__(self) -> int:
        return len(self._list)

    @property
    def batches(self) -> Sequence[Batch]:
        """Those that stay taken between connections."""
        return [suspect.batch for suspect in self._list]

    def next_trial(self, now: float, *, proven: bool) -> Batch | None:
        """The batch that is to be tried now, alone. `proven`: this connection has had another batch acknowledged."""
        for suspect in self._list:
            if not suspect.held or (proven and now >= self._ended_at + self._spacing_s):
                return suspect.batch
        return None

    def trial_at(self) -> float | None:
        """When the next trial may be, in a connection that has proven itself; None if nothing waits for one."""
        return self._ended_at + self._spacing_s if self._list else None

    def answered(self, batch: Batch) -> None:
        """Whatever the answer was, the broker did not hang up on it."""
        self._list = [suspect for suspect in self._list if suspect.batch.lo != batch.lo]

    def line_ended(self, oldest: Batch, now: float, *, proven: bool) -> Sequence[Batch]:
        """A connection ended and `oldest` was unanswered. Returns what is convicted: to be halved or set aside."""
        self._ended_at = now
        for suspect in self._list:
            if suspect.batch.lo == oldest.lo:
                suspect.ended += suspect.held and proven
                suspect.held = True
                return [oldest] if suspect.convicted else []
        self._list.append(_Suspect(oldest))
        if len(self._list) > MOST:
            self._list.clear()
        return []

    def halved(self, batch: Batch, halves: Iterable[Batch]) -> None:
        """What was found out of the whole holds for both: they are held apart."""
        self.answered(batch)
        self._list += [_Suspect(half, held=True) for half in halves]
