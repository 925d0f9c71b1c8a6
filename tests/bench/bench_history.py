"""By hand: python tests/bench/bench_history.py. What the history costs: bytes on the disk and milliseconds a commit of
100 windows, reading one signal of 100, and folding a day that nobody folded (30 s).

Files lie in a folder under the current one (or GATEWAY_BENCH_DIR): it must be on a real disk.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from buffer.settings import BufferSettings
from buffer.store import Store
from buffer.window_rows import encoded, packed
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Signal
from gateway.uplink.encode import record
from tests.kit.clock import ManualClock

NOON = 1_795_320_000_000
MINUTE = 60_000
COMMITS = 600
SIGNALS = [
    Signal(id=f"m{n}/p", point=f"m{n}/p", indicator="light.power", unit="W", kind=Kind.MEAN, every_s=10)
    for n in range(100)
]


class Clock(ManualClock):
    """Wall time stands still, so that nothing is due by itself; folding in steps needs the real seconds."""

    def monotonic(self) -> float:
        return time.monotonic()


def windows(end_ms):
    found = []
    for signal in SIGNALS:
        values = [round(random.gauss(300, 10), 1) for _ in range(6)]
        parts = Parts(6, 6, sum(values), min(values), max(values), values[0], values[-1])
        found.append(Indicator(signal, end_ms - MINUTE, end_ms, sum(values) / 6, Quality.GOOD, (), parts))
    return found


def written():
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


async def commits(folder, what):
    clock = ManualClock(NOON)
    async with Store(folder / f"{what}.sqlite3", BufferSettings(), clock) as store:
        rounds = [windows(NOON + n * MINUTE) for n in range(COMMITS)]
        before, busy = written(), 0.0
        for made in rounds:
            clock.advance(60)
            begun = time.perf_counter()
            records = [record(window) for window in made] if "records" in what else []
            await store.append(records, windows=made if "windows" in what else ())
            await store.flush()
            busy += time.perf_counter() - begun
            if "folded" in what:
                await store.history.roll()
        size = (written() - before) / COMMITS / len(SIGNALS)
        print(f"{what:28} {size:6.0f} B written a window, {busy / COMMITS * 1000:5.1f} ms for {len(SIGNALS)}")


async def beside(store: Store, work: Awaitable[list[Indicator] | int], what: str) -> None:
    """How long it takes, and how long the store's thread was not free meanwhile at most."""
    begun = time.perf_counter()
    task = asyncio.ensure_future(work)
    longest = 0.0
    while not task.done():
        asked = time.perf_counter()
        await store.turn()
        longest = max(longest, time.perf_counter() - asked)
        await asyncio.sleep(0.001)
    found = task.result()
    n = found if isinstance(found, int) else len(found)
    print(f"{what:28} {n:6} in {time.perf_counter() - begun:5.2f} s, the store waited {longest * 1000:4.0f} ms at most")


async def reading_and_folding(folder):
    clock = Clock(NOON)
    pool = [windows(NOON) for _ in range(20)]

    def fill(connection, span_s, count):
        for n in range(count):
            end_ms = NOON - n * span_s * 1000
            rows = [[k + 1, end_ms - span_s * 1000, *encoded(0, w)[2:]] for k, w in enumerate(pool[n % 20])]
            connection.execute("INSERT INTO history VALUES (?, ?, 0, ?, ?)", (span_s, end_ms, len(rows), packed(rows)))

    async with Store(folder / "reading.sqlite3", BufferSettings(), clock) as store:
        await store.append([], windows=windows(NOON - 200 * 86_400_000))
        await store.flush()
        await store.history.roll()
        await store._writer.run(lambda connection: fill(connection, 60, 26 * 60))
        await store._writer.run(lambda connection: fill(connection, 300, 90 * 288))
        for what, span_s, ids in (
            ("26 h of minutes, 1 signal", 60, ["m7/p"]),
            ("26 h of minutes, 100 signals", 60, None),
            ("90 days of 5 min, 1 signal", 300, ["m7/p"]),
        ):
            span_ms = 26 * 60 * MINUTE if span_s == 60 else 90 * 86_400_000
            await beside(store, store.history.windows(NOON - span_ms, NOON, span_s=span_s, signals=ids), what)
        await store._writer.run(lambda connection: connection.execute("DELETE FROM history WHERE span_s > 60"))
        await store._writer.run(lambda connection: connection.execute("DELETE FROM meta WHERE key = 'due'"))
        clock.advance(20)
        await beside(store, store.history.roll(), "periods of 26 h folded")


async def main():
    with tempfile.TemporaryDirectory(dir=os.environ.get("GATEWAY_BENCH_DIR", ".")) as folder:
        for what in ("records", "windows", "records, windows", "records, windows, folded"):
            await commits(Path(folder), what)
        await reading_and_folding(Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
