"""The figures of a store are right, also when they are not good."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from buffer.figures import ASSUMED_FULL_WRITES, Counters, figures, rates, tally_rates, wear
from buffer.inspect import read_only
from gateway.model.ports import Lane
from tests.kit.filled import START_MS, filled, harm

HOUR_MS = 3_600_000
LATER_MS = START_MS + 24 * HOUR_MS


def tally(path: Path, *rows: tuple[int, int, int, int, int, str]) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM tally")
        connection.executemany("INSERT INTO tally VALUES (?, ?, ?, ?, ?, ?)", rows)
    return path


def test_what_waits_is_counted_by_lane_with_its_size_and_age(tmp_path: Path) -> None:
    with read_only(filled(tmp_path / "s.sqlite3", sent=20)) as connection:
        found = figures(connection, tmp_path / "s.sqlite3", LATER_MS)
    back = found["waiting"][Lane.BACK]
    assert (back.records, back.oldest_ms) == (218, START_MS + 6 * 60_000), "22 records are five bundles and a half"
    assert 1000 < back.size < found["file"]["bytes"]
    assert found["waiting"][Lane.URGENT].records == 0
    assert found["set_aside"] == {"too_large": 2}
    assert found["records"] == 240
    assert (found["held"]["rid_lo"], found["held"]["rid_hi"]) == (1, 240)
    assert found["history"][0]["span_s"] == 60
    assert found["history"][0]["windows"] == 240
    assert found["journal"]["entries"] >= 1
    assert found["unreadable"] == []


def test_the_backlog_of_an_older_gateway_is_counted(tmp_path: Path) -> None:
    v1 = Path(__file__).parent / "stores" / "v1.sqlite3"
    with read_only(v1) as connection:
        found = figures(connection, v1, LATER_MS)
    assert {lane.name: found["waiting"][lane].records for lane in Lane} == {"URGENT": 2, "LIVE": 0, "BACK": 40}
    assert found["set_aside"] == {"refused with code 0x99": 40}
    assert (found["history"], found["tally"], found["journal"]["entries"]) == ([], [], 0)


def test_a_shrinking_backlog_says_when_it_will_be_empty() -> None:
    rate = rates(Counters(0, 1000, 500, 0), Counters(10_000, 1100, 400, 0))
    assert rate is not None
    assert (rate.in_per_s, rate.out_per_s, rate.empty_s) == (10, 20, 40)


def test_what_the_far_end_refuses_leaves_the_queue_and_is_not_called_sent() -> None:
    rate = rates(Counters(0, 1000, 500, 0, 0), Counters(10_000, 1100, 400, 0, 150))
    assert rate is not None
    assert (rate.in_per_s, rate.out_per_s, rate.empty_s) == (10, 5, 40)


@pytest.mark.parametrize("waiting", [500, 700])
def test_a_backlog_that_does_not_shrink_is_never_empty(waiting: int) -> None:
    rate = rates(Counters(0, 1000, 500, 0), Counters(10_000, 1100, waiting, 0))
    assert rate is not None
    assert rate.empty_s is None


def test_what_was_lost_did_not_leave() -> None:
    rate = rates(Counters(0, 1000, 500, 0), Counters(10_000, 1000, 400, 100))
    assert rate is not None
    assert rate.out_per_s == 0


def test_two_stores_have_no_rate() -> None:
    assert rates(Counters(0, 1000, 0, 0), Counters(10_000, 5, 0, 0)) is None
    assert rates(Counters(0, 1000, 0, 0), Counters(0, 1000, 0, 0)) is None


def test_rates_are_of_the_last_hour_and_wear_of_the_last_week(tmp_path: Path) -> None:
    day = 24 * HOUR_MS
    path = tally(
        filled(tmp_path / "s.sqlite3", 3),
        (0, 0, 0, 0, 0, ""),
        (30 * day, 1000, 0, 0, 1_000_000_000, ""),
        (36 * day + 23 * HOUR_MS, 9_000, 0, 0, 1_600_000_000, ""),
        (37 * day - 600_000, 9_500, 500, 0, 1_690_000_000, "broker-unreachable"),
        (37 * day, 12_600, 3_600, 0, 1_700_000_000, "broker-unreachable"),
    )
    with read_only(path) as connection:
        rows = figures(connection, path, LATER_MS)["tally"]
    rate, worn = tally_rates(rows), wear(rows, 8_000_000_000, None)
    assert rate is not None
    assert worn is not None
    assert (rate.over_s, rate.in_per_s, rate.out_per_s, rate.empty_s) == (3600, 1, 0, None)
    assert (worn.bytes_per_day, worn.assumed) == (100_000_000, True)
    assert worn.endurance_bytes == 8e9 * ASSUMED_FULL_WRITES
    assert worn.years_left == pytest.approx((4e12 - 1.7e9) / 1e8 / 365.25)
    by_sheet = wear(rows, 8_000_000_000, 30)
    assert by_sheet is not None
    assert (by_sheet.endurance_bytes, by_sheet.assumed) == (30e12, False)


def test_one_row_says_nothing_of_rates(tmp_path: Path) -> None:
    path = tally(filled(tmp_path / "s.sqlite3", 3), (5, 12, 12, 0, 100, ""))
    with read_only(path) as connection:
        rows = figures(connection, path, LATER_MS)["tally"]
    assert (tally_rates(rows), wear(rows, 1, None)) == (None, None)


def test_a_part_that_cannot_be_read_is_named_and_the_rest_is_there(tmp_path: Path) -> None:
    path = filled(tmp_path / "s.sqlite3", 200, sent=20)
    harm(path, pages=path.stat().st_size // 1024 // 3)
    with read_only(path) as connection:
        found = figures(connection, path, LATER_MS)
    assert "records" in found["unreadable"]
    assert found["records"] is None
    assert found["meta"]["epoch"]
