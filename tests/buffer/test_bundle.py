"""Records keep their bytes and their ids however they are packed, cut and joined."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from buffer.bundle import MAX_BYTES, MAX_RECORDS, cut, deflate, fitting, inflate, pack

# Texts that try to look like the seam between two records.
nasty = st.one_of(st.text(max_size=20), st.sampled_from([',{"rid":1', '{"rid":', '\\",{\\"rid\\":', "},{"]))


def tail(value: object) -> bytes:
    return json.dumps({"pt": "a/b", "v": value}, separators=(",", ":"), ensure_ascii=False).encode()[1:]


@given(st.lists(nasty, min_size=1, max_size=30), st.data())
def test_a_cut_holds_exactly_the_records_asked_for(values: list[str], data: st.DataObject) -> None:
    (bundle,) = pack([(1, tail(value)) for value in values], 100)
    lo = data.draw(st.integers(100, bundle.hi))
    hi = data.draw(st.integers(lo, bundle.hi))
    part = cut(bundle, lo, hi)
    records = json.loads(b"[" + part.body + b"]")
    assert [record["rid"] for record in records] == list(range(lo, hi + 1))
    assert [record["v"] for record in records] == values[lo - 100 : hi - 99]
    assert (part.lo, part.n) == (lo, hi - lo + 1)


@given(st.lists(nasty, min_size=1, max_size=30), st.integers(1, 40), st.integers(1, 900))
def test_what_fits_is_the_longest_beginning_and_never_nothing(
    values: list[str], max_records: int, max_bytes: int
) -> None:
    (bundle,) = pack([(1, tail(value)) for value in values], 1)
    part = fitting(bundle, max_records, max_bytes)
    assert part.n >= 1
    assert part.n == 1 or (part.n <= max_records and len(part.body) <= max_bytes)
    if part.n < bundle.n:
        longer = cut(bundle, 1, part.n + 1)
        assert longer.n > max_records or len(longer.body) > max_bytes


def test_a_large_group_becomes_bundles_within_both_limits() -> None:
    bundles = pack([(1, tail("x" * 500)) for _ in range(1000)], 7)
    assert all(b.n <= MAX_RECORDS and len(b.body) <= MAX_BYTES + 600 for b in bundles)
    assert bundles[0].lo == 7
    assert all(b.lo == a.hi + 1 for a, b in itertools.pairwise(bundles))
    assert bundles[-1].hi == 1006


def test_urgent_records_come_first_and_in_bundles_of_their_own() -> None:
    bundles = pack([(1, tail(1)), (0, tail("alarm")), (1, tail(2))], 1)
    assert [(b.lane, b.n) for b in bundles] == [(0, 1), (1, 2)]
    assert json.loads(bundles[0].body)["v"] == "alarm"


@given(st.binary(max_size=2000))
def test_deflating_loses_nothing(body: bytes) -> None:
    assert inflate(deflate(body)) == body
