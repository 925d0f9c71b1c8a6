"""Stores of every version, kept so that newer code proves that it opens them.

After a change of the schema, and before the release, write the next one with the code that is there:

    python -m tests.kit.old_stores tests/buffer/stores

It makes v<schema>.sqlite3 and v<schema>.json: the facts that tests/buffer/test_migrations.py then expects of it, as of
every `v*.json` there. A file that is there already is never written again: it is what the field has.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from buffer.migrations import SCHEMA_VERSION
from buffer.settings import BufferSettings
from buffer.store import Store
from gateway import __version__
from gateway.model.command import CommandState, Outcome
from gateway.model.indicator import Indicator, Parts
from gateway.model.measure import Kind, Quality, Signal
from gateway.model.ports import Batch, Lane
from tests.kit.clock import ManualClock

FINISHED, OPEN = "command-finished", "command-open-yet"
KEPT = "air.hour"
LEVEL = Signal(
    id="level/1:water.level",
    point="level/1",
    indicator="water.level",
    unit="m",
    kind=Kind.MEAN,
    every_s=10,
    window_s=60,
)


def record(value: object, point: str = "level/1", end_ms: int = 1_795_322_220_000) -> bytes:
    return b'"pt":"%b","ind":"water.level","t1":%d,"v":%b,"q":"good"}' % (
        point.encode(),
        end_ms,
        json.dumps(value).encode(),
    )


def window(clock: ManualClock, value: float) -> Indicator:
    """The window of the whole minute before now."""
    end_ms = clock.now_ms() // 60_000 * 60_000
    return Indicator(
        LEVEL, end_ms - 60_000, end_ms, value, Quality.GOOD, parts=Parts(6, 6, 6 * value, value, value, value, value)
    )


async def taken(store: Store, lane: Lane) -> Batch:
    batch = await store.outbox.take(lane, 20, 65536)
    assert batch is not None
    return batch


async def write(path: Path) -> dict[str, Any]:
    """A store with something of everything in it. Returns what a later version must find again."""
    clock = ManualClock()
    async with Store(path, BufferSettings(commit_every_s=0.01, ballast_mb=0), clock) as store:
        for session in range(3):
            assert await store.outbox.next_session() == session + 1
        for minute in range(10):
            await store.append(
                [record(10 * minute + i) for i in range(10)],
                windows=[window(clock, minute)],
                keep={KEPT: {"upto_ms": clock.now_ms(), "minute": minute}},
            )
            await store.flush()
            clock.advance(60)
        await store.outbox.refuse(await taken(store, Lane.BACK), "packet too large")
        for _ in range(2):
            store.outbox.settle(await taken(store, Lane.BACK))
        await store.outbox.confirmed(50)
        for name in (FINISHED, OPEN):
            assert await store.claims.claim(name, b'{"id":"%b"}' % name.encode(), clock.now_ms()) is None
        done = Outcome(id=FINISHED, state=CommandState.APPLIED, at_ms=clock.now_ms())
        await store.claims.finish(done, json.dumps({"id": FINISHED}).encode(), [record("applied", "gw")])
        store.journal.note("start", {"sw": __version__})
        await store.keeper.tend()
        await store.flush()
        facts = {
            "written_by": __version__,
            "schema": SCHEMA_VERSION,
            "now_ms": clock.now_ms(),
            "epoch": store.outbox.epoch,
            "session": 3,
            "span": store.outbox.span(),
            "confirmed": 50,
            "waiting": {lane.name.lower(): store.outbox.waiting(lane).records for lane in Lane},
            "set_aside": store.outbox.set_aside,
            "finished": FINISHED,
            "open": OPEN,
            "journal": store.journal.head(),
            "kept": await store.keepsakes.recall(KEPT),
            "windows": len(await store.history.windows(0, clock.now_ms(), span_s=60)),
        }
    with closing(sqlite3.connect(path)) as connection:
        facts["tally"] = connection.execute("SELECT count(*) FROM tally").fetchone()[0]
    return facts


def main(folder: Path) -> None:
    target = folder / f"v{SCHEMA_VERSION}.sqlite3"
    if target.exists():
        sys.exit(f"{target} is there already")
    facts = asyncio.run(write(target))
    target.with_name(target.name + ".lock").unlink()
    target.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
