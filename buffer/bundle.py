"""How records lie in the store: packed into bundles, one row a commit. Pure.

A record arrives as its JSON object without the opening `{"rid":N,`. The store completes it, so that ids are
given in the order of commits and nowhere else.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MAX_RECORDS = 200
MAX_BYTES = 64 * 1024

# No record contains this but at its start: inside a JSON string the quotes would be escaped, and no record
# has a nested object that begins with "rid".
_SEAM = b',{"rid":'


@dataclass(frozen=True, slots=True)
class Bundle:
    """n records with the ids lo .. lo+n-1, of one lane. `body`: their JSON objects joined by commas."""

    lo: int
    n: int
    lane: int
    body: bytes

    @property
    def hi(self) -> int:
        return self.lo + self.n - 1


def pack(records: Iterable[tuple[int, bytes]], next_rid: int) -> list[Bundle]:
    """(lane, record) pairs in commit order -> bundles with consecutive ids from next_rid on, urgent ones first."""
    bundles: list[Bundle] = []
    for lane, tails in _by_lane(records):
        for chunk in _chunks(tails):
            body = b",".join([b'{"rid":%d,%b' % (next_rid + i, tail) for i, tail in enumerate(chunk)])
            bundles.append(Bundle(next_rid, len(chunk), lane, body))
            next_rid += len(chunk)
    return bundles


def _by_lane(records: Iterable[tuple[int, bytes]]) -> list[tuple[int, list[bytes]]]:
    lanes: dict[int, list[bytes]] = {}
    for lane, tail in records:
        lanes.setdefault(lane, []).append(tail)
    return sorted(lanes.items())


def _chunks(tails: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    start, size = 0, 0
    for i, tail in enumerate(tails):
        if i > start and (i - start >= MAX_RECORDS or size + len(tail) > MAX_BYTES):
            yield tails[start:i]
            start, size = i, 0
        size += len(tail) + 16
    if start < len(tails):
        yield tails[start:]


def deflate(body: bytes) -> bytes:
    return zlib.compress(body, 3)


def inflate(blob: bytes) -> bytes:
    return zlib.decompress(blob)


def cut(bundle: Bundle, lo: int, hi: int) -> Bundle:
    """The part of a bundle with the ids lo .. hi (clipped to what it holds, which must not be nothing)."""
    lo, hi = max(lo, bundle.lo), min(hi, bundle.hi)
    if lo == bundle.lo and hi == bundle.hi:
        return bundle
    parts = bundle.body.split(_SEAM)[lo - bundle.lo : hi - bundle.lo + 1]
    body = _SEAM.join(parts)
    if lo > bundle.lo:
        body = _SEAM[1:] + body
    return Bundle(lo, hi - lo + 1, bundle.lane, body)


def fitting(bundle: Bundle, max_records: int, max_bytes: int) -> Bundle:
    """The longest beginning of a bundle within both limits; at least one record, even if that is too large."""
    if bundle.n <= max_records and len(bundle.body) <= max_bytes:
        return bundle
    size, n = -1, 0
    for i, part in enumerate(bundle.body.split(_SEAM)):
        size += len(part) + (1 if i == 0 else len(_SEAM))
        if n and (n >= max_records or size > max_bytes):
            break
        n += 1
    return cut(bundle, bundle.lo, bundle.lo + n - 1)


def sound(bundle: Bundle) -> bool:
    """Whether the body holds exactly the records that lo and n promise."""
    parts = bundle.body.split(_SEAM)
    if len(parts) != bundle.n or not bundle.body.endswith(b"}"):
        return False
    heads = [b'{"rid":%d,' % bundle.lo, *(b"%d," % rid for rid in range(bundle.lo + 1, bundle.hi + 1))]
    return all(map(bytes.startswith, parts, heads))


def renumbered(bundle: Bundle, lo: int) -> Bundle:
    """The same records with the ids lo .. lo+n-1."""
    tails = [part[part.index(b",") + 1 :] for part in bundle.body.split(_SEAM)]
    body = b",".join([b'{"rid":%d,%b' % (lo + i, tail) for i, tail in enumerate(tails)])
    return Bundle(lo, bundle.n, bundle.lane, body)
