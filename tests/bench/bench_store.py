"""By hand: python tests/bench/bench_store.py [rows] [bytes] [memory]. The store beside bare SQLite, in one run.

Files lie in a folder under the current one (or GATEWAY_BENCH_DIR): it must be on a real disk. Goals: 40 000 rows/s
from `Indicator` objects, 400 bytes written for a one-minute row, 5 MiB more memory with a million rows waiting.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.clock import SystemClock
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Signal
from gateway.model.ports import Lane
from gateway.uplink.encode import record
from tests.kit.clock import ManualClock

GROUP, ROWS, PENDING = 200, 60_000, 1_000_000
MINUTE_MS = 60_000
TEND_EVERY = 20
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL")


def signals(count):
    return [
        Signal(id=f"meter/p{n}", point=f"meter/p{n}", indicator="light.power", unit="kW", kind=Kind.MEAN, every_s=5)
        for n in range(count)
    ]


def minute(chosen, end_ms, rng):
    """One closed minute of each signal: a value that moves a little, with its parts."""
    made = []
    for at, one in enumerate(chosen):
        value = round(10 + at + rng.random(), 2)
        parts = Parts(12, 12, round(12 * value, 2), value - 0.5, value + 0.5, value + 0.25, value - 0.25)
        made.append(Indicator(one, end_ms - MINUTE_MS, end_ms, value, Quality.GOOD, (), parts))
    return made


def groups(rows, size=GROUP):
    rng, chosen = random.Random(1), signals(size)
    start = SystemClock().now_ms() // MINUTE_MS * MINUTE_MS - rows // size * MINUTE_MS
    return [minute(chosen, start + n * MINUTE_MS, rng) for n in range(rows // size)]


# --- rows a second -------------------------------------------------------------------------------------------------


class Watch:
    """Seconds of each commit, and CPU seconds of all: what a busy machine does not change much."""

    def __init__(self):
        self.took, self.cpu = [], 0.0

    def __enter__(self):
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        self.took.append(time.perf_counter() - self._began)
        self.cpu += time.process_time() - self._cpu


async def ours(path, made, *, history):
    watch = Watch()
    async with Store(path, BufferSettings(), SystemClock(trusted=True)) as store:
        for number, group in enumerate(made):
            if number % TEND_EVERY == 0:  # the daemon does it every minute; not timed here
                await store.keeper.tend()
            with watch:
                await store.append([record(indicator) for indicator in group], windows=group if history else ())
                await store.flush()
    return watch


def bare(path, made, *, history):
    """A row a record, a row a window; no ids to give, no lanes, one thread."""
    watch = Watch()
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE record (rid INTEGER PRIMARY KEY, at_ms INTEGER, body BLOB)")
    connection.execute("CREATE TABLE window (signal, t0, t1, value, quality, n, ne, total, low, high, first, last)")
    for group in made:
        with watch:
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO record (at_ms, body) VALUES (1, ?)", [(record(one),) for one in group])
            if history:
                connection.executemany("INSERT INTO window VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", map(_row, group))
            connection.execute("COMMIT")
    connection.close()
    return watch


def _row(one):
    p = one.parts
    return (one.signal.id, one.start_ms, one.end_ms, one.value, one.quality, p.n, p.expected, p.total, p.low, p.high,
            p.first, p.last)  # fmt: skip


async def rows_a_second(folder):
    made = groups(ROWS)
    print(f"\nrows/s, {ROWS} rows in commits of {GROUP}, from Indicator objects")
    for history in (True, False):
        kind = "with history" if history else "records only"
        runs = {"bare SQLite": [], "store": []}
        for turn in range(3):
            for name, watches in runs.items():
                path = folder / f"{name[:4]}-{kind[:4]}-{turn}.sqlite3"
                run = bare(path, made, history=history) if name[0] == "b" else await ours(path, made, history=history)
                watches.append(run)
        rate = {}
        for name, watches in runs.items():
            took = min((watch.took for watch in watches), key=sum)
            cpu_us = min(watch.cpu for watch in watches) / ROWS * 1e6
            rate[name] = ROWS / sum(took)
            p50, p99 = statistics.median(took) * 1000, statistics.quantiles(took, n=100)[98] * 1000
            print(f"  {kind}: {name:12} {rate[name]:8.0f} rows/s   commit p50 {p50:5.2f} ms, p99 {p99:5.2f} ms   "
                  f"CPU {cpu_us:4.1f} us a row")  # fmt: skip
        print(f"  {kind}: ratio store / bare {rate['store'] / rate['bare SQLite']:.2f}")


# --- bytes a row ---------------------------------------------------------------------------------------------------


def written():
    """Bytes this process has sent towards the disk."""
    io = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(io["write_bytes"])


async def store_bytes(path, per_commit, minutes):
    """As the daemon: a commit a minute, what was sent is settled, the keeper is called."""
    clock, rng, chosen = ManualClock(), random.Random(1), signals(per_commit)
    before = written()
    async with Store(path, BufferSettings(), clock) as store:
        for _ in range(minutes):
            clock.advance(60)
            made = minute(chosen, clock.now_ms(), rng)
            await store.append([record(one) for one in made], windows=made)
            await store.flush()
            while batch := await store.outbox.take(Lane.LIVE, 200, 65536):
                store.outbox.settle(batch)
            await store.keeper.tend()
    return (written() - before) / (per_commit * minutes)


def bare_bytes(path, per_commit, minutes):
    rng, chosen = random.Random(1), signals(per_commit)
    before = written()
    bare(path, [minute(chosen, n * MINUTE_MS, rng) for n in range(minutes)], history=True)
    return (written() - before) / (per_commit * minutes)


async def bytes_a_row(folder):
    print("\nbytes written to disk for a one-minute row, with WAL, checkpoints, acknowledgements and the keeper")
    for per_commit, minutes in ((100, 1000), (10, 2000)):
        plain = bare_bytes(folder / f"bare-{per_commit}.sqlite3", per_commit, minutes)
        mine = await store_bytes(folder / f"store-{per_commit}.sqlite3", per_commit, minutes)
        size = sum(file.stat().st_size for file in folder.glob(f"store-{per_commit}.*")) / (per_commit * minutes)
        print(f"  {per_commit:3} rows a commit: store {mine:5.0f}, bare {plain:5.0f} (nothing acknowledged there);"
              f" the store's file holds {size:.0f} a row")  # fmt: skip


# --- a million rows ------------------------------------------------------------------------------------------------


def resident():
    """MiB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]) / 1024


async def fill(path):
    """Stores a million rows that nobody fetches, then dies."""
    made = groups(20 * GROUP)
    async with Store(path, BufferSettings(), SystemClock(trusted=True)) as store:
        for group in made:  # what a running gateway has in memory anyway
            await store.append([record(one) for one in group])
            await store.flush()
        before = resident()
        for n in range(PENDING // GROUP - len(made)):
            await store.append([record(one) for one in made[n % len(made)]])
            await store.flush()
        waiting = sum(store.outbox.waiting(lane).records for lane in Lane)
        print(f"  {waiting} rows wait: {resident():.1f} MiB, {resident() - before:+.1f} since {20 * GROUP}", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


async def reopen(path):
    before, began = resident(), time.perf_counter()
    async with Store(path, BufferSettings(), SystemClock(trusted=True)) as store:
        took = time.perf_counter() - began
        waiting = sum(store.outbox.waiting(lane).records for lane in Lane)
        batch = await store.outbox.take(Lane.BACK, 200, 65536) or await store.outbox.take(Lane.LIVE, 200, 65536)
        assert waiting == PENDING
        assert batch is not None
        print(f"  opened in {took * 1000:.0f} ms; {resident():.1f} MiB, {resident() - before:+.1f} by it", flush=True)


def a_million(folder):
    print("\na million rows that wait: each line is a process of its own")
    path = folder / "million.sqlite3"
    parts = (("fill", "filling, then kill -9"), ("reopen", "after kill -9"), ("reopen", "after a clean stop"))
    for part, title in parts:
        print(f" {title}")
        subprocess.run([sys.executable, __file__, part, str(path)], check=part != "fill")


# --- the machine ---------------------------------------------------------------------------------------------------


def machine(folder):
    device = subprocess.check_output(["df", "--output=fstype,source", folder], text=True).split()[-2:]
    took = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}, "
          f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {' on '.join(device)}")  # fmt: skip
    print(f"fdatasync of 4 KiB: p50 {statistics.median(took) * 1000:.2f} ms, p99 {sorted(took)[197] * 1000:.2f} ms")
    if device[0] == "tmpfs":
        print("this is no disk: set GATEWAY_BENCH_DIR")


def main():
    wanted = sys.argv[1:] or ["rows", "bytes", "memory"]
    if wanted[0] in {"fill", "reopen"}:
        asyncio.run({"fill": fill, "reopen": reopen}[wanted[0]](Path(wanted[1])))
        return
    folder = Path(tempfile.mkdtemp(prefix="bench-store-", dir=os.environ.get("GATEWAY_BENCH_DIR", ".")))
    try:
        machine(folder)
        if "rows" in wanted:
            asyncio.run(rows_a_second(folder))
        if "bytes" in wanted:
            asyncio.run(bytes_a_row(folder))
        if "memory" in wanted:
            a_million(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
