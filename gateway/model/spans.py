"""Sets of record ids as sorted, closed, disjoint intervals. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Spans:
    """A set of integers that is cheap when they come in runs, as record ids do."""

    def __init__(self, spans: Iterable[tuple[int, int]] = ()) -> None:
        self._spans: list[tuple[int, int]] = []
        for lo, hi in spans:
            self.add(lo, hi)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def __bool__(self) -> bool:
        return bool(self._spans)

    def __len__(self) -> int:
        """How many ids, not how many intervals."""
        return sum(hi - lo + 1 for lo, hi in self._spans)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and self._spans == other._spans

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Spans({self._spans})"

    def first(self) -> tuple[int, int]:
        """The lowest interval; the set must not be empty."""
        return self._spans[0]

    def last(self) -> tuple[int, int]:
        """The highest interval; the set must not be empty."""
        return self._spans[-1]

    def copy(self) -> Spans:
        twin = Spans()
        twin._spans = self._spans.copy()
        return twin

    def clear(self) -> None:
        self._spans.clear()

    def add(self, lo: int, hi: int) -> None:
        if lo > hi:
            return
        if self._spans and self._spans[-1][1] == lo - 1:  # the common case: ids are given upwards
            self._spans[-1] = (self._spans[-1][0], hi)
            return
        at = bisect_right(self._spans, (lo,))
        while at > 0 and self._spans[at - 1][1] >= lo - 1:
            at -= 1
            before = self._spans.pop(at)
            lo, hi = min(lo, before[0]), max(hi, before[1])
        while at < len(self._spans) and self._spans[at][0] <= hi + 1:
            hi = max(hi, self._spans.pop(at)[1])
        self._spans.insert(at, (lo, hi))

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._spans, (number, float("inf"))) - 1
        return at >= 0 and self._spans[at][1] >= number

    def missing(self, lo: int, hi: int) -> list[tuple[int, int]]:
        """The intervals of [lo, hi] that are not in the set."""
        gaps = Spans([(lo, hi)])
        for have_lo, have_hi in self._spans:
            gaps.remove(have_lo, have_hi)
        return list(gaps)

    def update(self, other: Iterable[tuple[int, int]]) -> None:
        for lo, hi in list(other):
            self.add(lo, hi)

    def remove(self, lo: int, hi: int) -> None:
        """Takes the ids lo .. hi out; those that are not in it do not matter."""
        at = max(0, bisect_right(self._spans, (lo,)) - 1)
        while at < len(self._spans) and self._spans[at][0] <= hi:
            old_lo, old_hi = self._spans[at]
            if old_hi < lo:
                at += 1
                continue
            rest = [(a, b) for a, b in ((old_lo, lo - 1), (hi + 1, old_hi)) if a <= b]
            self._spans[at : at + 1] = rest
            at += len(rest)
