"""Windows that survive: a script of readings, kills and restarts through a real store, and what is folded of it then.

tests/pipeline/survival/<case>/case.yaml holds the script (times are local, UTC+7), expected.yaml what comes out. A line
with `from` and `until` is a reading at each `every_s` of its signals, `step` more than the one before; a word in the
place of a number is the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from buffer.settings import BufferSettings
from buffer.store import Store
from gateway.model.folding import fold
from gateway.model.indicator import Indicator
from gateway.model.measure import Kind, Reading, Reason, Signal
from gateway.pipeline.pipeline import Pipeline
from tests.kit.clock import ManualClock

CASES = sorted(folder.parent for folder in (Path(__file__).parent / "survival").glob("*/case.yaml"))
HOUR_S = 3600


def loaded(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    return content


def ms(local: str | datetime) -> int:
    moment = local if isinstance(local, datetime) else datetime.fromisoformat(local)
    return int((moment.replace(tzinfo=UTC) - timedelta(hours=7)).timestamp() * 1000)


class Box:
    """A gateway's inside: pipeline and store, started, killed and stopped at given times."""

    def __init__(self, path: Path, signals: Sequence[Signal], start_ms: int) -> None:
        self.clock = ManualClock(start_ms)
        self.signals = signals
        self._path = path
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """As `gateway.app` does it."""
        settings = BufferSettings(commit_every_s=60, check_s=0)
        self.store = await self._stack.enter_async_context(Store(self._path, settings, self.clock))
        self.pipeline = Pipeline(self.signals, self.clock)
        self.pipeline.resume(await self.store.history.last_numbers(self.signals))

    async def kill(self) -> None:
        """What is in open windows is gone."""
        await self._stack.aclose()
        del self.store, self.pipeline

    async def stop(self) -> None:
        await self._keep(self.pipeline.close_all(self.clock.now_ms()))
        await self.kill()

    async def wait(self, until_ms: int) -> None:
        """Windows close when their time has come, whether or not anything was read."""
        while hasattr(self, "pipeline") and (self.pipeline.next_close_ms() or until_ms) <= until_ms:
            self._set(self.pipeline.next_close_ms() or until_ms)
            await self._keep(self.pipeline.close(self.clock.now_ms()))
        self._set(until_ms)

    async def read(self, readings: Sequence[Reading]) -> None:
        await self._keep(self.pipeline.accept(readings))

    async def _keep(self, indicators: Sequence[Indicator]) -> None:
        await self.store.append([], windows=[i for i in indicators if i.start_ms is not None])

    def _set(self, now_ms: int) -> None:
        assert now_ms >= self.clock.now_ms(), "a script goes forward"
        self.clock.advance((now_ms - self.clock.now_ms()) / 1000)


def readings(line: dict[str, Any], signals: Sequence[Signal]) -> Iterator[list[Reading]]:
    """What is read together, one time after the other."""
    read = [signal for signal in signals if signal.id in line]
    every_ms = int(min(signal.every_s for signal in read) * 1000)
    for turn, at_ms in enumerate(range(ms(line["from"]), ms(line["until"]), every_ms)):
        yield [_reading(signal.id, at_ms, line[signal.id], turn * line.get("step", 0)) for signal in read]


def _reading(signal: str, at_ms: int, value: float | str, more: float) -> Reading:
    if isinstance(value, str):
        return Reading.missing(signal, at_ms, Reason(value))
    return Reading(signal, at_ms, float(value + more))


async def play(box: Box, script: Sequence[dict[str, Any]]) -> None:
    for line in script:
        match line:
            case {"does": "start" | "kill" | "stop" as what}:
                await box.wait(ms(line["at"]))
                await getattr(box, what)()
            case {"late": late}:
                await box.wait(ms(line["at"]))
                await box.read([reading for turn in readings(late, box.signals) for reading in turn])
            case _:
                for turn in readings(line, box.signals):
                    await box.wait(turn[0].at_ms)
                    await box.read(turn)


async def folded(box: Box, wanted: dict[str, Any], span_s: int) -> dict[str, Any]:
    (signal,) = (signal for signal in box.signals if signal.id == wanted["of"])
    start_ms, end_ms = ms(wanted["from"]), ms(wanted["until"])
    windows = await box.store.history.windows(start_ms, end_ms, span_s=span_s, signals=[signal.id])
    found = fold(signal, windows, start_ms, end_ms)
    assert found.parts is not None
    return {
        "value": found.value,
        "n": found.parts.n,
        "expected": found.parts.expected,
        "quality": found.quality,
        "reasons": list(found.reasons),
    }


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
async def test_a_period_is_what_was_measured_in_it_whatever_happened_to_the_process(
    folder: Path, tmp_path: Path
) -> None:
    case, expected = loaded(folder / "case.yaml"), loaded(folder / "expected.yaml")
    signals = [
        Signal(id=name, point=name, indicator=f"test.{name}", **{**about, "kind": Kind(about["kind"])})
        for name, about in case["signals"].items()
    ]
    box = Box(tmp_path / "store.sqlite3", signals, ms(case["script"][0]["at"]))
    await play(box, case["script"])
    await box.store.flush()
    box.clock.advance(HOUR_S)
    await box.store.history.roll()
    assert case["folds"].keys() == expected.keys()
    for name, wanted in case["folds"].items():
        for span_s in (60, 300, HOUR_S):
            if span_s > wanted.get("span_s", HOUR_S):
                continue
            found = await folded(box, wanted, span_s)
            assert found == {**expected[name], "value": pytest.approx(expected[name]["value"])}, (name, span_s)
    await box.kill()
