"""The ports between the rooms. Each has one contract suite in tests/contracts, run on every implementation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Any, Protocol, Self

from gateway.model.command import Outcome
from gateway.model.indicator import Indicator
from gateway.model.measure import Reading, Signal, Value


class Driver(Protocol):
    """One wire with its devices, or one camera.

    Entering connects and may raise LinkDown (try again) or Unsupported (stop). Leaving always frees the
    port, also after a failed entry, and never raises.
    """

    @property
    def name(self) -> str: ...

    @property
    def signals(self) -> Sequence[Signal]:
        """Every signal this driver will ever yield, known before entering."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        """Yields every due signal exactly once per turn. A signal that failed is in the batch, without a
        value and with a reason. Raises LinkDown only when the whole link is gone."""

    def health(self) -> dict[str, DeviceHealth]:
        """The state of each device on this wire, by device name. Cheap; callable at any time."""


@dataclass(slots=True)
class DeviceHealth:
    """What maintenance staff want to know of a device. Times in ms UTC, 0 = never."""

    online: bool = False
    last_seen_ms: int = 0
    polls: int = 0
    failures: int = 0
    answer_ms: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Readback:
    """What a device says after a write. `verified`: it is what was asked for, within the point's own tolerance.

    The reading may be of another signal (a contactor's feedback proves a coil), and it is missing when the write
    was taken and only the read-back failed.
    """

    reading: Reading
    verified: bool


class Actuator(Driver, Protocol):
    async def apply(self, signal: str, value: Value) -> Readback:
        """Writes, then reads back, without letting a poll in between. Never repeats a write.

        Raises DeviceRefused, NoAnswer, BadFrame, LinkDown or Unsupported when the write itself failed.
        """

    async def read(self, signal: str) -> Reading:
        """Reads one signal now, before the next poll. Missing with its reason when the device gives nothing;
        raises LinkDown and Unsupported."""


class Lane(IntEnum):
    """Order of release: outcomes and alarms, then fresh telemetry, then what an outage left behind."""

    URGENT = 0
    LIVE = 1
    BACK = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive stored records, ready for the wire. `body` is their JSON objects joined by commas."""

    lane: Lane
    lo: int
    hi: int
    n: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a lane still has to send and nobody has taken. `oldest_ms`: when its oldest was committed, 0 = none."""

    records: int = 0
    size: int = 0
    oldest_ms: int = 0


class Outbox(Protocol):
    """The uplink's view of the store."""

    @property
    def epoch(self) -> str:
        """8 hex digits, random at the store's creation."""

    async def next_session(self) -> int:
        """A session number that was never given before, durable before it is returned."""

    def span(self) -> tuple[int, int]:
        """(oldest rid still held, newest rid committed); (1, 0) for an empty store."""

    def waiting(self, lane: Lane) -> Waiting: ...

    async def take(self, lane: Lane, max_records: int, max_bytes: int) -> Batch | None:
        """The lane's oldest records that are neither sent nor taken; None if there are none. At least one
        record is returned even if it alone is larger than max_bytes."""

    def settle(self, batch: Batch) -> None:
        """The far end acknowledged the batch. Durable with the next commit; a crash before it only
        sends the same rids again."""

    async def refuse(self, batch: Batch, reason: str) -> None:
        """Sets the batch aside, with the reason, for a person to look at. It blocks nothing."""

    def split(self, batch: Batch) -> tuple[Batch, Batch]:
        """A taken batch of two records or more as two that are taken in its place."""

    def give_back(self, but: Iterable[Batch] = ()) -> None:
        """The connection is gone: whatever was taken and not settled is due again; these batches stay taken."""

    async def changed(self) -> None:
        """Returns when something new was committed since the last call returned (at once if so)."""

    async def again(self, spans: Iterable[tuple[int, int]]) -> Again:
        """Makes what is held of these rids due again, in the BACK lane, with the same rids. What is due or on its
        way already stays as it is."""

    async def confirmed(self, upto: int) -> None:
        """The far end has stored everything up to this rid. Where the store keeps records until then, they may now
        be deleted. Never goes back."""


@dataclass(frozen=True, slots=True)
class Again:
    """What became of a request to send again: records that are due again, and rids that are not held any more."""

    records: int
    not_held: Sequence[tuple[int, int]] = ()


class Claims(Protocol):
    """The desk's view of the store: the same file, so that outcome and record share one transaction."""

    async def claim(self, command_id: str, request: bytes, at_ms: int) -> bytes | None:
        """None: it is yours, act; the claim is committed. Otherwise it was seen before: the stored
        outcome message, or b"" if it is still being worked on."""

    async def finish(self, outcome: Outcome, message: bytes, records: Sequence[bytes]) -> None:
        """Commits the outcome message, its records (urgent lane) and its journal entry in one transaction. Who stops
        waiting for that takes nothing back: it is committed as soon as the disk takes it."""

    async def interrupted(self) -> Sequence[str]:
        """Ids of commands claimed before this start that have no outcome."""


class RecordSink(Protocol):
    """Where the pipeline's records go. A record is its JSON object without the opening `{"rid":N,`:
    the store gives the rid in the transaction that stores the record."""

    async def append(
        self,
        records: Sequence[bytes],
        lane: Lane = Lane.LIVE,
        windows: Sequence[Indicator] = (),
        *,
        notes: Sequence[tuple[str, Mapping[str, Any]]] = (),
        keep: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Joins the open commit group, all of it in one transaction: closed windows for the history, journal entries
        (kind, body) as `Journal.note` takes them, and `keep`, which replaces the keepsakes of these names. Returns as
        soon as the group has room; `flush` waits for the commit. Raises TypeError or ValueError for what is not plain
        JSON, a kind or a name; then nothing has joined."""

    async def flush(self) -> None:
        """Returns after everything appended so far is committed."""


class Keepsakes(Protocol):
    """What a part of the gateway has to know again at its next start, a small JSON object each. They are replaced by
    `RecordSink.append`, in the commit of the records that they belong to."""

    async def recall(self, name: str) -> dict[str, Any] | None:
        """As it was last committed. None where there is none, and for one that cannot be read any more: who asks
        begins anew."""


class Journal(Protocol):
    """What was done here, as a chain: each entry holds the hash of the one before."""

    def note(self, kind: str, body: Mapping[str, Any]) -> None:
        """Joins the open commit group; `body` must be plain JSON. Kinds: see buffer/README.md."""

    def head(self) -> tuple[int, str]:
        """(number, SHA-256 in hex) of the newest committed entry; (0, "") for an empty journal."""


class History(Protocol):
    """Closed windows, as they were committed and as they were folded."""

    async def windows(
        self, start_ms: int, end_ms: int, *, span_s: int, signals: Collection[str] | None = None
    ) -> list[Indicator]:
        """The windows of this full length that end after `start_ms` and not after `end_ms`, in the order of their
        ends; of these signal ids, or of all."""

    async def roll(self) -> int:
        """Folds every period that is over into longer windows; returns how many. Raises StoreError when the disk takes
        nothing."""

    async def last_numbers(self, signals: Collection[Signal]) -> dict[str, float]:
        """By signal id, the last number of the newest window that has one, in the last 40 days: of the same point,
        indicator, unit, kind and tags only. Signals without one are left out."""


@dataclass(frozen=True, slots=True)
class IncomingCommand:
    """A command as it came off the wire. `expires_in_s`: what the broker says is left of its life, if it says so."""

    payload: bytes
    retained: bool = False
    expires_in_s: float | None = None


class CommandDesk(Protocol):
    """Where commands go, whoever sends them."""

    async def handle(self, incoming: IncomingCommand) -> bytes | None:
        """Claims, authorises, acts, reads back, records. Returns the outcome message (JSON, `out/1`) once it is
        committed, or None when there is nothing to answer (not a command, or one still being worked on).
        Never raises for what a sender got wrong."""


class Uplink(Protocol):
    """The way to the far end: takes from an outbox, settles what was acknowledged, brings commands to the desk."""

    async def run(self) -> None:
        """Until cancelled. Lost connections are its own matter; a failure of the store or the desk ends it."""

    async def drain(self, timeout_s: float, why: str = "stopped") -> None:
        """Sends what waits for at most so long, says goodbye with the reason, and does not come back."""

    def status(self) -> dict[str, Any]:
        """What a person wants to see, ready for JSON."""
