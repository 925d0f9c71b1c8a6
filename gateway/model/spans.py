"""Sets of record ids as sorted, closed, disjoint intervals. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

_INF = float("inf")


class Spans:
    """A set of integers that is cheap when they come in runs, as record ids do.

    How many ids there are is counted along and not when asked. A change costs a search and a move of what lies
    behind it in the list: microseconds with ten thousand intervals.
    """

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        self._count = 0
        for lo, hi in spans:
            self.add(lo, hi)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __len__(self) -> int:
        """How many ids, not how many intervals."""
        return self._count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Spans({self._spans})"

    def intervals(self) -> list[tuple[int, int]]:
        """What iteration gives, as a list. `list(spans)` asks for as much memory as there are ids, before it begins."""
        return self._spans.copy()

    def first(self) -> tuple[int, int]:
        """The lowest interval; the set must not be empty."""
        return self._spans[0]

    def last(self) -> tuple[int, int]:
        """The highest interval; the set must not be empty."""
        return self._spans[-1]

    def copy(self) -> Spans:
        twin = Spans()
        twin._spans = self._spans.copy()
        twin._count = self._count
        return twin

    def clear(self) -> None:
        self._spans.clear()
        self._count = 0

    def add(self, lo: int, hi: int) -> None:
        if lo > hi:
            return
        if self._spans and self._spans[-1][1] == lo - 1:  # the common case: ids are given upwards
            self._spans[-1] = (self._spans[-1][0], hi)
            self._count += hi - lo + 1
            return
        end = at = bisect_right(self._spans, (lo, _INF))
        if at and self._spans[at - 1][1] >= lo - 1:
            at -= 1
            lo = self._spans[at][0]
        while end < len(self._spans) and self._spans[end][0] <= hi + 1:
            end += 1
        if end > at:
            hi = max(hi, self._spans[end - 1][1])
        self._replace(at, end, [(lo, hi)])

    def remove(self, lo: int, hi: int) -> None:
        """Takes the ids lo .. hi out; those that are not in it do not matter."""
        at = self._at(lo)
        end = at
        while end < len(self._spans) and self._spans[end][0] <= hi:
            end += 1
        if end > at:
            first, last = self._spans[at][0], self._spans[end - 1][1]
            self._replace(at, end, [(a, b) for a, b in ((first, lo - 1), (hi + 1, last)) if a <= b])

    def _replace(self, at: int, end: int, new: list[tuple[int, int]]) -> None:
        self._count += _size(new) - _size(self._spans[at:end])
        self._spans[at:end] = new

    def _at(self, number: int) -> int:
        """Where the first interval is that ends at `number` or above it."""
        at = bisect_right(self._spans, (number, _INF))
        return at - 1 if at and self._spans[at - 1][1] >= number else at

    def __contains__(self, number: int) -> bool:
        at = self._at(number)
        return at < len(self._spans) and self._spans[at][0] <= number

    def missing(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """The intervals of [lo, hi] that are not in the set."""
        gaps: list[tuple[int, int]] = []
        for at in range(self._at(lo), len(self._spans)):
            have_lo, have_hi = self._spans[at]
            if lo > hi or have_lo > hi:
                break
            if lo < have_lo:
                gaps.append((lo, have_lo - 1))
            lo = have_hi + 1
        return [*gaps, (lo, hi)] if lo <= hi else gaps

    def head(self, most: int) -> Spans:
        """The lowest `most` ids."""
        first = Spans()
        for lo, hi in self._spans:
            if len(first) >= most:
                break
            first.add(lo, min(hi, lo + most - len(first) - 1))
        return first

    def update(self, other: Iterable[tuple[int, int]]) -> None:
        for lo, hi in other.intervals() if isinstance(other, Spans) else list(other):
            self.add(lo, hi)


def _size(spans: Iterable[tuple[int, int]]) -> int:
    return sum(hi - lo + 1 for lo, hi in spans)


def asked_for(ranges: object, *, newest: int, most: int) -> Spans:
    """What somebody asks for as [[lo, hi], ...] in a message. Raises ValueError, with words for the asker, for anything
    but at most `most` such pairs of ids from 1 to `newest`."""
    if not isinstance(ranges, list) or len(ranges) > most:
        raise ValueError(f"ranges must be a list of at most {most} pairs [first, last]")
    wanted = Spans()
    for pair in ranges:
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(end) is int for end in pair):
            raise ValueError("each range must be [first, last], two whole numbers")
        lo, hi = pair
        if not 1 <= lo <= hi:
            raise ValueError(f"[{_short(lo)}, {_short(hi)}] is no range of ids")
        if hi > newest:
            raise ValueError(f"record {_short(hi)} does not exist yet, the newest is {newest}")
        wanted.add(lo, hi)
    return wanted


def _short(number: int) -> str:
    return str(number) if number.bit_length() < 64 else "a number that long"
