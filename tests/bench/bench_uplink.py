"""By hand: python tests/bench/bench_uplink.py. Encoding, and our sender beside bare aiomqtt, in one run."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import aiomqtt

from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Quality
from gateway.model.ports import Batch, Lane, Waiting
from gateway.uplink.encode import record
from tests.kit.brokers import mosquitto
from tests.uplink.kit import POWER, running, uplink

COUNT, IN_FLIGHT = 5000, 10
BODY = b",".join(b'{"rid":%d,' % n + record(Indicator(POWER, None, 1, float(n), Quality.GOOD)) for n in range(10))


class Full:
    """An outbox with COUNT one-batch entries, that costs nothing itself."""

    epoch = "7c41f00d"

    def __init__(self):
        self.left, self.settled, self.done = COUNT, 0, asyncio.Event()

    async def next_session(self):
        return 1

    def span(self):
        return (1, COUNT)

    def waiting(self, lane):
        return Waiting(self.left, 1 << 20, 0) if lane is Lane.LIVE and self.left else Waiting()

    async def take(self, lane, max_records, max_bytes):
        self.left -= 1
        return Batch(lane, 1, 10, 10, BODY)

    def settle(self, batch):
        self.settled += 1
        if self.settled == COUNT:
            self.done.set()

    def give_back(self):
        pass

    async def changed(self):
        await asyncio.Event().wait()


async def bare(port):
    async with aiomqtt.Client("127.0.0.1", port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        client.pending_calls_threshold = COUNT
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def one():
            async with slots:
                await client.publish("ioc/v1/bare/tele/live", BODY, qos=1)

        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.gather(*(one() for _ in range(COUNT)))
        return time.process_time() - cpu, time.perf_counter() - wall


async def ours(port):
    outbox = Full()
    cpu, wall = time.process_time(), time.perf_counter()
    async with running(uplink(port, outbox, in_flight=IN_FLIGHT)):
        await outbox.done.wait()
        return time.process_time() - cpu, time.perf_counter() - wall


async def main():
    window = Indicator(POWER, 0, 60, 1.23456, Quality.GOOD, (), Parts(60, 60, 740.7402, 12.1, 12.9, 12.3, 12.4))
    for name, indicator in (("reading", Indicator(POWER, None, 1, 12.34567, Quality.GOOD)), ("window", window)):
        began = time.perf_counter()
        for _ in range(100_000):
            record(indicator)
        print(f"record, {name:8} {(time.perf_counter() - began) * 10:6.2f} us")
    with tempfile.TemporaryDirectory() as folder:
        async with mosquitto(Path(folder), options=["log_type error"]) as broker:
            listener = await asyncio.create_subprocess_exec(
                "mosquitto_sub", "-p", str(broker.port), "-t", "#", "-q", "1", stdout=asyncio.subprocess.DEVNULL
            )
            await asyncio.sleep(0.5)
            for name, run in (("aiomqtt", bare), ("sender", ours)) * 2:
                cpu, wall = await run(broker.port)
                print(f"{name:16} {COUNT / wall:8.0f} publishes/s {cpu / COUNT * 1e6:6.0f} us CPU each")
            listener.terminate()
            await listener.wait()


if __name__ == "__main__":
    asyncio.run(main())
