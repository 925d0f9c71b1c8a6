"""A gateway that is played: everything as `gateway.app` composes it, readings and time from a script.

Its signals are those of a real site file; the wires are left out, and readings are handed to it as a driver would. A
kill takes what is not committed; what the disk has is read from outside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from buffer.group import Bag
from buffer.inspect import newest, read_only
from config.site import LoadedSite, load_site
from gateway.app import Gateway
from gateway.model.measure import Reading, Reason, Signal
from gateway.model.violation import Violation
from tests.kit.clock import ManualClock

LOOK_MS = 120_000


def ms(local: str | datetime) -> int:
    """ "2026-10-01 06:30" local time (UTC+7) as ms UTC."""
    moment = local if isinstance(local, datetime) else datetime.fromisoformat(local)
    return int((moment.replace(tzinfo=UTC) - timedelta(hours=7)).timestamp() * 1000)


def local(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC) + timedelta(hours=7):%d %H:%M}"


def write_site(folder: Path, about: Mapping[str, Any]) -> Path:
    """about: `devices` {name: {every_s, points: {name: {indicator, unit, kind?, window_s?, forward?}}}}, and what else
    a site file has (`indicators`, `limits`, `points`); `profiles`: limit profiles of its own, by name."""
    for sub in ("devices", "limits"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for name, device in about["devices"].items():
        text = json.dumps(_profile(name, device), ensure_ascii=False).replace('"0": [', "0: [")
        (folder / "devices" / f"made-{name}.yaml").write_text(text, encoding="utf-8")
    for name, profile in about.get("profiles", {}).items():
        head = {"profile": name, "title_en": "For a test", "title_vi": "Để thử", "document": "a test"}
        (folder / "limits" / f"{name}.yaml").write_text(json.dumps(head | profile), encoding="utf-8")
    site = {
        "gateway": "38-test-01",
        "site": "Điểm thử",
        "place": {"province": "38", "commune": "14797", "lat": 19.8, "lon": 105.77},
        "state_dir": "state",
        "clock": "trusted",
        "uplink": {"host": "127.0.0.1", "port": 18830},
        "buffer": {"commit_every_s": 60, "check_s": 0},
        "wires": {"bus": {"kind": "modbus_tcp", "host": "127.0.0.1", "port": 15020}},
        "devices": {
            name: {"profile": f"made-{name}", "wire": "bus", "unit": n, "every_s": device["every_s"]}
            for n, (name, device) in enumerate(about["devices"].items(), 1)
        },
        **{key: about[key] for key in ("indicators", "limits", "points", "zones") if key in about},
    }
    file = folder / "site.yaml"
    file.write_text(json.dumps(site, ensure_ascii=False), encoding="utf-8")
    return file


def _profile(name: str, device: Mapping[str, Any]) -> dict[str, Any]:
    points = {
        point: {"name_en": "Value", "name_vi": "Giá trị", "table": "holding", "at": n, "type": "u16", "kind": "mean"}
        | settings
        for n, (point, settings) in enumerate(device["points"].items())
    }
    return {
        "profile": f"made-{name}", "title_en": "Made for tests", "title_vi": "Để thử", "driver": "modbus",
        "source": "made for tests", "confirmed": True, "url": "https://example.invalid/map", "points": points,
        "examples": [{"given": {"holding": {"0": [1]}}, "expect": {next(iter(points)): 1}}],
    }  # fmt: skip


def without_wires(site: LoadedSite) -> LoadedSite:
    """The same site and plan; nobody is called on a wire."""
    return replace(site, document=site.document.model_copy(update={"wires": {}, "devices": {}}))


class _Silent:
    """A driver that has the signals of the site and gives nothing: the script does."""

    name = "script"

    def __init__(self, signals: Sequence[Signal]) -> None:
        self.signals = signals

    def health(self) -> dict[str, Any]:
        return {}


class Played:
    """One box on one folder. `tick_s`: how often it reads and commits."""

    def __init__(self, folder: Path, about: Mapping[str, Any], start: str, tick_s: int = 60) -> None:
        self.folder = folder
        self.about = dict(about)
        self.clock = ManualClock(ms(start))
        self.tick_s = tick_s
        self.gateway: Gateway | None = None
        self.source: dict[str, Callable[[int], float | None]] = {}
        self.prepare: Callable[[Gateway], None] | None = None
        self._stack = AsyncExitStack()
        self._site: LoadedSite | None = None

    @property
    def store_file(self) -> Path:
        return self.folder / "state" / "store.sqlite3"

    def change(self, **about: Any) -> None:
        """The site file is another one from the next start on."""
        self.about |= about
        self._site = None

    async def start(self) -> Gateway:
        """As `Gateway.run` begins."""
        if self._site is None:
            self._site = load_site(write_site(self.folder, self.about))
        signals = [signal for signal in self._site.plan.signals if not signal.id.startswith("gateway/")]
        script: Any = _Silent(signals)
        gateway = Gateway(without_wires(self._site), self.clock, lambda *_: [script])
        if self.prepare is not None:
            self.prepare(gateway)
        await self._stack.enter_async_context(gateway.store)
        self.gateway = gateway
        await gateway.meaning.open(gateway.store.keepsakes)
        gateway.pipeline.resume(await gateway.store.history.last_numbers(gateway.signals))
        return gateway

    async def kill(self) -> None:
        """What is not committed is gone."""
        gateway, self.gateway = self.gateway, None
        if gateway is not None:
            gateway.store._group._bag = Bag()
        await self._stack.aclose()

    async def stop(self) -> None:
        """As `Gateway.run` ends."""
        assert self.gateway is not None
        await self.gateway._commit_last()
        await self.kill()

    async def prune(self) -> None:
        """Windows that are older than they are kept go."""
        assert self.gateway is not None
        await self.gateway.store.history.roll()
        self.gateway.store.history._steady = lambda: True  # type: ignore[assignment]  # the hour it waits is over
        await self.gateway.store.history.prune()

    # --- time -------------------------------------------------------------------------------------------------------

    async def until(self, at: str | int) -> None:
        """Goes on to this moment: at each tick readings of `source`, windows, a commit; and LOOK_MS later, when they
        are settled, what is due."""
        end_ms, step_ms = ms(at) if isinstance(at, str) else at, self.tick_s * 1000
        while (now_ms := self.clock.now_ms()) < end_ms:
            look_ms = now_ms - now_ms % step_ms + LOOK_MS
            if look_ms <= now_ms:
                look_ms += step_ms
            next_ms = min(end_ms, now_ms - now_ms % step_ms + step_ms, look_ms)
            self.clock.advance((next_ms - now_ms) / 1000)
            if self.gateway is not None:
                if next_ms % step_ms == 0:
                    await self.read()
                if next_ms % step_ms == LOOK_MS % step_ms:
                    await self.turn()

    async def tick(self) -> None:
        await self.read()
        await self.turn()

    async def read(self) -> None:
        assert self.gateway is not None
        now_ms = self.clock.now_ms()
        await self.gateway._store(self.gateway.pipeline.close(now_ms))
        await self.give(now_ms, {name: value(now_ms) for name, value in self.source.items()})
        await self.gateway.meaning.desk.keep()
        await self.gateway.store.flush()

    async def give(self, at_ms: int, values: Mapping[str, float | None]) -> None:
        """A driver's batch. None: the device did not answer."""
        readings = [
            Reading.missing(name, at_ms, Reason.NO_ANSWER) if value is None else Reading(name, at_ms, value)
            for name, value in values.items()
        ]
        assert self.gateway is not None
        if readings:
            await self.gateway._sink(readings)

    async def late(self, name: str, start: str, end: str, every_s: int, value: float) -> None:
        """A logger's memory: readings of [start, end), in one batch."""
        assert self.gateway is not None
        times = range(ms(start), ms(end), every_s * 1000)
        await self.gateway._sink([Reading(name, at_ms, value) for at_ms in times])
        await self.gateway.store.flush()

    async def turn(self) -> None:
        assert self.gateway is not None
        await self.gateway.meaning.turn()
        await self.gateway.store.flush()

    # --- what came of it --------------------------------------------------------------------------------------------

    def records(self) -> list[dict[str, Any]]:
        """Every record that was ever committed, in the order of their ids."""
        with read_only(self.store_file) as connection:
            return newest(connection, 10_000_000)[::-1]

    def derived(self) -> list[dict[str, Any]]:
        """Those that are derived: of indicators that nothing measures."""
        measured = {p["indicator"] for device in self.about["devices"].values() for p in device["points"].values()}
        found = (record for record in self.records() if record["ind"] not in measured)
        return [record for record in found if record["pt"].partition("/")[0] != "gateway" and "al" not in record]

    def site_records(self) -> list[dict[str, Any]]:
        """Those that are not the gateway's own, alarms among them."""
        return [record for record in self.records() if record["pt"].partition("/")[0] != "gateway"]

    def alarms(self) -> list[dict[str, Any]]:
        return [record for record in self.records() if record["ind"] == "gw.alarm"]

    def violations(self) -> list[Violation]:
        with read_only(self.store_file) as connection:
            rows = connection.execute("SELECT body FROM journal WHERE kind = 'violation' ORDER BY seq").fetchall()
        return [Violation.of(json.loads(body)) for (body,) in rows]

    def kept(self, name: str) -> Any:
        with read_only(self.store_file) as connection:
            row = connection.execute("SELECT body FROM keepsake WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])


def told(record: Mapping[str, Any]) -> str:
    """One line of a derived record or an alarm, as expected.txt has it."""
    if alarm := record.get("al"):
        return (
            f"alarm {record['pt']} {record['tg']['rule']} {alarm['st']} level {alarm['lvl']} "
            f"opened {local(alarm['opened'])} at {local(record['t1'])} value {alarm['val']:g} id {alarm['id'][-7:]}"
        )
    value = record["v"]
    shown = f"{value:.4g}" if isinstance(value, float | int) and not isinstance(value, bool) else str(value)
    parts = [record["pt"], record["ind"], f"{local(record['t0'])}..{local(record['t1'])}", shown, record["q"]]
    parts += [",".join(record.get("f", ()))] if record.get("f") else []
    parts += [f"{record['n']}/{record['ne']}"] if "ne" in record else []
    parts += [record["lm"]["st"]] if "lm" in record else []
    parts += [f"rv={record['rv']}"] if "rv" in record else []
    parts += ["back"] if record["lane"] == "back" else []
    return " ".join(parts)


def told_violation(one: Violation) -> str:
    end = "" if one.end_ms is None else local(one.end_ms)
    return (
        f"violation {one.id[-5:]} {one.state} {one.place} {one.indicator} {local(one.start_ms)}..{end} "
        f"peak {one.peak:g} n {one.n}/{one.expected} {one.remarks}".rstrip()
    )
