"""A store with a bit of everything in it, written by the store itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Reason, Signal
from gateway.model.ports import Lane
from gateway.uplink.encode import record
from tests.kit.clock import ManualClock

PAGE = 1024
START_MS = 1_795_321_800_000  # 2026-11-22T04:30:00Z
SIGNALS = [
    *(
        Signal(id=f"{point}", point=point, indicator=indicator, unit=unit, kind=Kind.MEAN, every_s=1)
        for point, indicator, unit in (
            ("level/1", "flood.level", "m"),
            ("level/2", "flood.level", "m"),
            ("meter/power", "light.power", "W"),
        )
    ),
    Signal(
        id="junction/l1/car/up", point="junction/l1", indicator="traffic.count", unit="1", kind=Kind.COUNT, every_s=1,
        tags={"cls": "car", "dir": "up"},
    ),
]  # fmt: skip


def windows(minute: int) -> list[Indicator]:
    """One of each signal: the value is the minute, and level/2 does not answer in every tenth."""
    end_ms = START_MS + (minute + 1) * 60_000
    found = []
    for signal in SIGNALS:
        value = float(minute)
        if signal.point == "level/2" and minute % 10 == 9:
            missing = (None, Quality.MISSING, (Reason.NO_ANSWER,), Parts(0, 60))
            found.append(Indicator(signal, end_ms - 60_000, end_ms, *missing))
        else:
            parts = Parts(60, 60, value * 60, value, value, value, value)
            found.append(Indicator(signal, end_ms - 60_000, end_ms, value, Quality.GOOD, (), parts))
    return found


async def fill(path: Path, minutes: int = 60, *, sent: int = 0) -> None:
    """`minutes` bundles of four records, of which the first `sent` records were sent and the next two refused; then a
    command, in the journal too, and what the keeper notes of rates."""
    clock = ManualClock(START_MS)
    async with Store(path, BufferSettings(), clock) as store:
        for minute in range(minutes):
            clock.advance(60)
            made = windows(minute)
            await store.append([record(window) for window in made], windows=made)
            await store.flush()
        if sent:
            batch = await store.outbox.take(Lane.BACK, sent, 1 << 20)
            assert batch is not None
            store.outbox.settle(batch)
            refused = await store.outbox.take(Lane.BACK, 2, 1 << 20)
            assert refused is not None
            await store.outbox.refuse(refused, "too_large")
        store.journal.note("lost", {"n": 7, "lo": 1, "hi": 7, "why": "quota"})
        await store.claims.claim("c-1", b'{"op": "light.set", "to": ["lamp/1"], "by": "lan"}', clock.now_ms())
        await store.flush()


def filled(path: Path, minutes: int = 60, *, sent: int = 0) -> Path:
    asyncio.run(fill(path, minutes, sent=sent))
    return path


def harm(path: Path, *, pages: int = 0, seed: int = 1, zeros: slice | None = None) -> Path:
    """Writes rubbish over some pages, none of the first 20, or zeros over a run of them."""
    content = bytearray(path.read_bytes())
    random = Random(seed)
    hit = random.sample(range(20, len(content) // PAGE), pages)
    for page in hit:
        content[page * PAGE : (page + 1) * PAGE] = random.randbytes(PAGE)
    if zeros is not None:
        size = (zeros.stop - zeros.start) * PAGE
        content[zeros.start * PAGE : zeros.stop * PAGE] = bytes(size)
    path.write_bytes(content)
    return path


def everything(found: Any) -> list[dict[str, Any]]:
    """All rows of a search."""
    return [row for rows in found.steps() for row in rows]
