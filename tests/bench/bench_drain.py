"""By hand: python tests/bench/bench_drain.py [RECORDS]. A week's backlog drained to a real broker, live data beside it.

A store is filled with RECORDS (default 1 000 000) of a week, an alarm that was sent among every 100 of them, so that
what waits is in as many intervals as an alarm a minute leaves. Then the uplink drains it to mosquitto, with a
subscriber in a process of its own, while ten live records a tenth of a second are committed.

Printed: records a second, latency of live records from commit to subscriber, resident memory, bytes written for the
list of what is waiting, and where the time went (with PROFILE=1).
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.clock import SystemClock
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Quality
from gateway.model.ports import Lane
from gateway.uplink.client import Client
from gateway.uplink.encode import record
from gateway.uplink.link import Link
from tests.kit.brokers import mosquitto
from tests.kit.clock import ManualClock
from tests.uplink.kit import POWER, reading, running, uplink

COMMIT = 100
WEEK_S = 7 * 86_400
LIVE_EVERY_S, LIVE_EACH = 0.1, 10
FLUSH_EVERY_S = 1.0


def window(at_ms: int) -> bytes:
    """A minute of readings, as different from the last as real ones are."""
    low, high = round(random.uniform(10, 20), 2), round(random.uniform(20, 30), 2)
    parts = Parts(60, 60, round(30 * (low + high), 1), low, high, low + 1, high - 1)
    return record(Indicator(POWER, at_ms - 60_000, at_ms, (low + high) / 2, Quality.GOOD, (), parts))


async def fill(path: Path, records: int) -> None:
    clock = ManualClock(SystemClock().now_ms() - WEEK_S * 1000)
    commits = records // COMMIT
    async with Store(path, BufferSettings(commit_every_s=60, max_mb=4096, keep_days=30), clock) as store:
        for _ in range(commits):
            clock.advance((WEEK_S - 600) / commits)
            await store.append([window(clock.now_ms()) for _ in range(COMMIT)])
            await store.append([reading(1.0, clock.now_ms())], Lane.URGENT)
            await store.flush()
        while batch := await store.outbox.take(Lane.URGENT, 200, 65536):
            store.outbox.settle(batch)


async def subscribe(port: int) -> None:
    """The other process: a line for each live batch, "L <highest latency ms>", and at the end how many there were."""
    back = live = 0
    async with Client(Link(host="127.0.0.1", port=port, identifier="bench-sub")) as line:
        await line.listen("ioc/v1/+/tele/+")
        print("ready", flush=True)
        async for message in line.messages:
            line.ack(message)
            payload: bytes = message.payload  # type: ignore[assignment]
            if message.topic.value.endswith("back"):
                back += int(payload[payload.index(b'"n":') + 4 : payload.index(b',"m"')])
                print("B", back, flush=True)
            else:
                oldest = int(payload[payload.index(b'"t1":') + 5 :].split(b",", 1)[0])
                live += 1
                print("L", SystemClock().now_ms() - oldest, flush=True)


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def main(records: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.sqlite3"
        began = time.perf_counter()
        await fill(path, records)
        print(f"filled {records} records in {time.perf_counter() - began:.0f} s, {path.stat().st_size / 1e6:.0f} MB")
        options = ["log_type error", "max_inflight_messages 1000"]
        async with mosquitto(Path(folder) / "broker", options=options) as broker:
            listener = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--subscribe", str(broker.port), stdout=asyncio.subprocess.PIPE
            )
            assert listener.stdout is not None
            await listener.stdout.readline()
            try:
                await drain(path, broker.port, listener.stdout, records)
            finally:
                listener.terminate()
                await listener.wait()


async def drain(path: Path, port: int, heard: asyncio.StreamReader, records: int) -> None:
    late_ms: list[int] = []
    memory: list[float] = []
    done = asyncio.Event()

    async def listen() -> None:
        while line := await heard.readline():
            kind, number = line.split()
            if kind == b"L":
                late_ms.append(int(number))
            elif int(number) >= records:
                done.set()

    settings = BufferSettings(commit_every_s=0.2, max_mb=4096, keep_days=30)
    async with Store(path, settings, SystemClock(trusted=True)) as store:
        spans = sum(1 for lane in Lane for _ in store.outbox.lanes.todo[lane])
        saved = 0
        to_save = store.outbox.lanes.to_save

        def counted(now: float) -> str:
            nonlocal saved
            text = to_save(now)
            saved += len(text)
            return text

        store.outbox.lanes.to_save = counted  # type: ignore[method-assign]

        async def live() -> None:
            while True:
                await asyncio.sleep(LIVE_EVERY_S)
                await store.append([reading(1.5, SystemClock().now_ms()) for _ in range(LIVE_EACH)])

        async def weigh() -> None:
            while True:
                await asyncio.sleep(0.5)
                memory.append(resident_mib())

        helpers = [asyncio.create_task(work()) for work in (listen, live, weigh)]
        cpu, wall = time.process_time(), time.perf_counter()
        async with running(uplink(port, store.outbox, flush_every_s=FLUSH_EVERY_S, ack_timeout_s=10)):
            await done.wait()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        for task in helpers:
            task.cancel()
        await asyncio.wait(helpers)
    late_ms.sort()
    late_ms = late_ms or [-1]  # over before the first one came: take more records
    steady = memory[4:] or memory
    print(f"{spans} intervals; {records / wall:.0f} records/s, {cpu / records * 1e6:.1f} us CPU each, {wall:.1f} s")
    print(
        f"live: {len(late_ms)} batches, reading to subscriber p50 {statistics.median(late_ms):.0f}, "
        f"p95 {late_ms[int(len(late_ms) * 0.95)]}, max {late_ms[-1]} ms "
        f"(of which commit_every_s {settings.commit_every_s:g}, flush_every_s {FLUSH_EVERY_S:g})"
    )
    print(f"resident {min(steady):.1f} to {max(steady):.1f} MiB; {saved / wall / 1024:.1f} KiB/s of what is waiting")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--subscribe"]:
        asyncio.run(subscribe(int(sys.argv[2])))
    elif os.environ.get("PROFILE"):
        profile = cProfile.Profile()
        profile.runcall(asyncio.run, main(int((sys.argv[1:] or ["1000000"])[0])))
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    else:
        asyncio.run(main(int((sys.argv[1:] or ["1000000"])[0])))
