"""Sets of ids as intervals behave like sets."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.model.spans import Spans

edges = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def members(spans: Spans) -> set[int]:
    return {i for lo, hi in spans for i in range(lo, hi + 1)}


@given(st.lists(st.tuples(st.booleans(), edges), max_size=40))
def test_any_mix_of_adds_and_removes_equals_a_set(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    spans, model = Spans(), set[int]()
    for add, (lo, hi) in steps:
        if add:
            spans.add(lo, hi)
            model |= set(range(lo, hi + 1))
        else:
            spans.remove(lo, hi)
            model -= set(range(lo, hi + 1))
        assert members(spans) == model
        assert len(spans) == len(model)
        assert bool(spans) == bool(model)
        assert all((number in spans) == (number in model) for number in range(-1, 75))


@given(st.lists(edges, max_size=20), st.integers(0, 60), st.integers(0, 60))
def test_what_is_missing_is_what_a_set_lacks(added: list[tuple[int, int]], lo: int, hi: int) -> None:
    spans = Spans(added)
    missing = {i for a, b in spans.missing(lo, hi) for i in range(a, b + 1)}
    assert missing == set(range(lo, hi + 1)) - members(spans)


@given(st.lists(edges, max_size=30))
def test_intervals_are_sorted_disjoint_and_never_touch(added: list[tuple[int, int]]) -> None:
    spans = list(Spans(added))
    assert spans == sorted(spans)
    assert all(b_lo > a_hi + 1 for (_, a_hi), (b_lo, _) in itertools.pairwise(spans))


def test_adding_upwards_keeps_one_interval() -> None:
    spans = Spans()
    for lo in range(1, 1000, 10):
        spans.add(lo, lo + 9)
    assert list(spans) == [(1, 1000)]


def test_ten_thousand_intervals_are_changed_at_both_ends_without_being_walked() -> None:
    """Counted in list items that are looked at, not in seconds: this must also hold on a busy machine."""
    looked_at = 0

    class Watched(list[tuple[int, int]]):
        def __iter__(self) -> Iterator[tuple[int, int]]:
            raise AssertionError("walks the whole list")

        def __getitem__(self, at: Any) -> Any:
            nonlocal looked_at
            looked_at += 1
            return super().__getitem__(at)

    spans = Spans((n * 100, n * 100 + 90) for n in range(10_000))
    spans._spans = Watched(spans._spans)
    for n in range(0, 1000, 2):
        spans.remove(n * 100, n * 100 + 90)  # in front
        spans.add(n * 100, n * 100 + 90)
        spans.add(2_000_000 + n * 100, 2_000_000 + n * 100)  # behind
        spans.remove(500_000 + n * 100, 500_000 + n * 100 + 5)  # in the middle
        assert len(spans) == 910_000 + (n // 2 + 1) * (1 - 6)
    assert looked_at < 500 * 4 * 30  # a search is 14 looks; a walk would be 10 000
