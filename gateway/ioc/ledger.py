"""What a consumer must keep to lose nothing, count nothing twice, and see every gap. Pure: bytes in, books out."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

from gateway.model.spans import Spans

GZIP_MAGIC = b"\x1f\x8b"
Series = tuple[str, str, tuple[tuple[str, str], ...]]  # point, indicator, tags
HEADS = 10_000  # a gateway's journal heads that are remembered, and ways in which it was broken


@dataclass
class StoreBook:
    """Records of one epoch of one gateway's store. `span`: what it last said it holds; empty as (1, 0). `lost`: what it
    said that nobody will get (`gw.lost`), or does not hold any more."""

    have: Spans = field(default_factory=Spans)
    lost: Spans = field(default_factory=Spans)
    span: tuple[int, int] = (1, 0)

    def gaps(self) -> list[tuple[int, int]]:
        """What the gateway says it holds and we do not have: on its way, or missing."""
        return self.missing(1, self.span[1])

    def missing(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """What is missing of these ids, and may still be held."""
        return [gap for a, b in self.have.missing(max(lo, self.span[0]), hi) for gap in self.lost.missing(a, b)]

    def upto(self) -> int:
        """Every record up to here is here, or will never be."""
        gaps = self.gaps()
        return gaps[0][0] - 1 if gaps else self.span[1]


@dataclass
class JournalBook:
    """The heads (hash by number) of a gateway's journal as it said them, whatever store they came from. `broken`: how a
    later one contradicted them. Write the heads down: `gateway journal verify --heads` takes them."""

    heads: dict[int, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    _newest: int = 0
    _session: int = -1

    def take(self, seq: int, head: str, session: int, *, is_now: bool) -> None:
        """A head of that session. `is_now` is False for a birth: a retained one may be older than what came since."""
        known = self.heads.setdefault(seq, head)
        if known != head:
            self._breaks(f"entry {seq} was {known[:16]} and is {head[:16]}")
            self.heads[seq] = head
        if session == self._session and not is_now:
            return
        self._session = session
        if seq < self._newest:
            self._breaks(f"it went back from entry {self._newest} to {seq}")
        self._newest = seq
        if len(self.heads) > HEADS:
            del self.heads[min(self.heads)]

    def _breaks(self, how: str) -> None:
        if len(self.broken) < HEADS:
            self.broken.append(how)


@dataclass
class GatewayBook:
    """One gateway. `online` is None until it said something; `latest` never goes back in time. `alarms`: the newest
    record of each, by its id."""

    online: bool | None = None
    session: int = -1
    epoch: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    catalogue: dict[str, Any] = field(default_factory=dict)
    heartbeat: dict[str, Any] = field(default_factory=dict)
    heard_ms: int = 0
    stores: dict[str, StoreBook] = field(default_factory=dict)
    latest: dict[Series, dict[str, Any]] = field(default_factory=dict)
    records: int = 0
    duplicates: int = 0
    historical: int = 0
    journal: JournalBook = field(default_factory=JournalBook)
    alarms: dict[str, dict[str, Any]] = field(default_factory=dict)

    def open_alarms(self) -> list[dict[str, Any]]:
        """Records of the alarms that are not cleared, oldest first: `al` says what they are."""
        still = [record for record in self.alarms.values() if record["al"]["st"] != "cleared"]
        return sorted(still, key=lambda record: (record["al"]["opened"], record["al"]["id"]))

    def gaps(self) -> list[tuple[int, int]]:
        """Gaps in the current epoch."""
        return self.stores[self.epoch].gaps() if self.epoch in self.stores else []


class Ledger:
    """Feed it every message under `{root}/v1/`; ask it what is there, what is missing and what came twice."""

    def __init__(self) -> None:
        self.gateways: dict[str, GatewayBook] = {}
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.unreadable = 0

    def book(self, gateway: str) -> GatewayBook:
        """The gateway's book; an empty one if nothing was heard of it yet."""
        return self.gateways.get(gateway) or GatewayBook()

    def take(self, topic: str, payload: bytes, at_ms: int = 0) -> dict[str, Any] | None:
        """Books one message that arrived at `at_ms`. Returns it decoded; None if it is none of ours or unreadable."""
        levels = topic.split("/")
        if len(levels) < 4 or levels[1] != "v1":
            return None
        kind = "/".join(levels[3:])
        if kind in {"cmd/req", "ack"}:  # our own
            return None
        message = decode(payload)
        if message is None:
            self.unreadable += 1
            return None
        book = self.gateways.setdefault(levels[2], GatewayBook())
        book.heard_ms = at_ms
        if kind.startswith("tele/"):
            self._take_batch(book, message)
        elif kind == "state":
            _take_state(book, message)
        elif kind == "hb":
            book.heartbeat = message
            _take_span(book, message)
            _take_head(book, message, is_now=True)
        elif kind == "cat":
            book.catalogue = message
        elif kind.startswith("cmd/res"):
            self.outcomes[message.get("id", "")] = message
        return message

    def _take_batch(self, book: GatewayBook, message: dict[str, Any]) -> None:
        store = book.stores.setdefault(message["ep"], StoreBook())
        book.epoch = book.epoch or message["ep"]
        for record in message["m"]:
            if record["rid"] in store.have:
                book.duplicates += 1
                continue
            store.have.add(record["rid"], record["rid"])
            book.records += 1
            if record["ind"] == "gw.command":
                self._take_outcome(record)
            elif record["ind"] == "gw.lost":
                _take_lost(book, message["ep"], record)
            elif record["ind"] == "gw.alarm":
                _take_alarm(book, record)
            series = (record["pt"], record["ind"], tuple(sorted(record.get("tg", {}).items())))
            known = book.latest.get(series)
            if record.get("h"):
                book.historical += 1
            elif known is None or record["t1"] >= known["t1"]:
                book.latest[series] = record

    def _take_outcome(self, record: dict[str, Any]) -> None:
        """The durable copy of an outcome; the fast one may have been lost with a connection."""
        detail = record.get("p", {})
        if "id" in detail:
            outcome = {"s": "out/1", "id": detail["id"], "st": record["v"], "at": record["t1"]}
            outcome |= {key: detail[key] for key in ("res", "late_ms", "why") if key in detail}
            self.outcomes.setdefault(detail["id"], outcome)


def _take_lost(book: GatewayBook, epoch: str, record: dict[str, Any]) -> None:
    """What was given up, also of a store that was there before this one."""
    detail = record.get("p", {})
    if "lo" in detail and "hi" in detail:
        book.stores.setdefault(detail.get("ep", epoch), StoreBook()).lost.add(detail["lo"], detail["hi"])


def _take_alarm(book: GatewayBook, record: dict[str, Any]) -> None:
    """Each message of an alarm says the whole, so the newest is enough, and a historical one is as good as any other.
    What was cleared stays so: its id never comes back."""
    said = record.get("al", {})
    if not {"id", "st", "lvl", "opened", "text"} <= said.keys():
        return
    known = book.alarms.get(said["id"])
    if known is None or (known["al"]["st"] != "cleared" and record["t1"] >= known["t1"]) or said["st"] == "cleared":
        book.alarms[said["id"]] = record


def _take_state(book: GatewayBook, message: dict[str, Any]) -> None:
    if message["sid"] < book.session:
        return  # the late will of a connection that was followed by another
    book.session = message["sid"]
    book.online = message["online"]
    if message["online"]:
        book.state = message
        book.epoch = message["ep"]
        _take_head(book, message, is_now=False)
    _take_span(book, message)


def _take_span(book: GatewayBook, message: dict[str, Any]) -> None:
    epoch = message.get("ep", book.epoch)
    if epoch and "rid_hi" in message:
        book.stores.setdefault(epoch, StoreBook()).span = (message["rid_lo"], message["rid_hi"])


def _take_head(book: GatewayBook, message: dict[str, Any], *, is_now: bool) -> None:
    if "journal" in message:
        said = message["journal"]
        book.journal.take(said["seq"], said["head"], message["sid"], is_now=is_now)


def decode(payload: bytes) -> dict[str, Any] | None:
    """A message as JSON, unpacked if it was compressed. None if it is neither."""
    try:
        message = json.loads(gzip.decompress(payload) if payload[:2] == GZIP_MAGIC else payload)
    except (ValueError, OSError, EOFError):
        return None
    return message if isinstance(message, dict) else None
