"""The record that tells the centre of ids that will never come (contract 9.4: `gw.lost`)."""

from __future__ import annotations

import json
from typing import NamedTuple


class Lost(NamedTuple):
    """`n` records with ids in lo .. hi, stored from `first_ms` to `last_ms`. `epoch`: of an older store than this."""

    lo: int
    hi: int
    n: int
    first_ms: int
    last_ms: int
    epoch: str | None = None

    @classmethod
    def at(cls, lo: int, hi: int, now_ms: int) -> Lost:
        """All of lo .. hi, now."""
        return cls(lo, hi, hi - lo + 1, now_ms, now_ms)


def lost_record(lost: Lost, why: str) -> bytes:
    """Without its opening rid. `why`: quota, damaged, discarded."""
    span = {"t1": lost.last_ms} if lost.first_ms == lost.last_ms else {"t0": lost.first_ms, "t1": lost.last_ms + 1}
    epoch = {} if lost.epoch is None else {"ep": lost.epoch}
    body = {
        "pt": "gw",
        "ind": "gw.lost",
        "k": "event",
        **span,
        "v": lost.n,
        "q": "good",
        "f": [why],
        "p": {**epoch, "lo": lost.lo, "hi": lost.hi},
    }
    return json.dumps(body, separators=(",", ":")).encode()[1:]
