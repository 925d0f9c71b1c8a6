"""The composition root: settings in, running gateway out. The only place that builds.

Stopping is an order: sources, windows as partial, commit, drain, services, the store's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeGuard

import drivers
from buffer.store import Store
from config.geography import geography
from config.meanings import meanings
from config.plan import Plan
from config.site import LoadedSite
from gateway import __version__, diary, own
from gateway.api import SOCKET_NAME, local_api
from gateway.commands.desk import Desk
from gateway.commands.replay import Replay
from gateway.indicators.reader import Reader
from gateway.meaning import Meaning
from gateway.model.clock import Clock, SystemClock
from gateway.model.command import Command
from gateway.model.indicator import Indicator
from gateway.model.measure import Reading, Signal
from gateway.model.ports import Actuator, Driver, Lane
from gateway.pipeline.overrides import override
from gateway.pipeline.pipeline import Pipeline
from gateway.supervise import Supervisor, notify, watchdog, watchdog_interval_s
from gateway.uplink.encode import catalogue, record
from gateway.uplink.mqtt import MqttUplink
from gateway.uplink.settings import UplinkSettings
from gateway.uplink.tt10.export import Exporter

log = logging.getLogger("gateway")

COMMIT_S = 5.0
DRAIN_S = 5.0
TEND_EVERY_S = 60.0
OPENING_S = 900
SETTLE_S = 12.0
"""What a window's end brings is in the store's group by then."""


def build_wires(site: LoadedSite, clock: Clock) -> list[Driver]:
    """One driver for each wire that has devices."""
    built: list[Driver] = []
    around = drivers.Surroundings(clock, site.base, site.secret)
    for name, wire in site.document.wires.items():
        devices = {
            device: (settings, site.profiles[device])
            for device, settings in site.document.devices.items()
            if settings.wire == name
        }
        if devices:
            built.append(drivers.build(name, wire, devices, around))
    return built


def build_cameras(site: LoadedSite, clock: Clock) -> list[Driver]:
    """One driver for each camera."""
    if not site.document.cameras:
        return []
    from vision.driver import CameraDriver

    return [CameraDriver(name, camera, site.base, clock, site.secret) for name, camera in site.document.cameras.items()]


Cameras = Callable[[LoadedSite, Clock], Sequence[Driver]]


class Gateway:
    """One site, from its wires to the broker. `run` until the stop event is set."""

    def __init__(self, site: LoadedSite, clock: Clock | None = None, cameras: Cameras = build_cameras) -> None:
        """`cameras`: makes the drivers of the cameras, of a site and a clock; a rehearsal has others."""
        document = site.document
        self.site = site
        self.clock = clock or SystemClock(trusted=document.clock == "trusted")
        self.state_dir = site.state_dir
        self.started_ms = self.clock.now_ms()
        self.began_s = self.clock.monotonic()  # the wall clock may be set back
        self.drivers = [*build_wires(site, self.clock), *cameras(site, self.clock)]
        self.own = own.OwnSource(_own_probes(self), self.clock)
        sources = [*self.drivers, self.own]
        self.signals = override(chain.from_iterable(source.signals for source in sources), document.points)
        self.store_file = self.state_dir / document.buffer.file
        self.store = Store(self.store_file, document.buffer, self.clock, until_confirmed=document.uplink.e2e_ack)
        self.meaning = self._meaning()
        self.pipeline = Pipeline(self.signals, self.clock, self.meaning.watched)
        self.desk = Desk(document.gateway, document.commands, self.store.claims, self._actuators(), self.clock)
        self.sources = [Supervisor(source, self._sink, self.clock) for source in sources]
        self.exports = [
            Exporter(settings, self.signals, self.store.history, site.base, self.clock, site.secret)
            for settings in document.tt10
        ]
        where, spoken_of = geography(site, self.signals), [*self.signals, *_published(site.plan)]
        self.configuration = diary.configuration(site)
        self.uplink = MqttUplink(
            _located(document.uplink, site),
            document.gateway,
            self.store.outbox,
            self.desk,
            catalogue(
                document.gateway,
                document.site,
                where["place"],
                spoken_of,
                geo=where["geo"],
                meanings=meanings(site.plan, document.place.province, spoken_of),
            ),
            self.clock,
            secret=site.secret,
            health=self.health,
            about={"sw": __version__, "boot": _boot_id(), "caps": self._capabilities()},
            journal=self.store.journal.head,
        )
        self.desk.services = {
            "gw.ping": self._ping,
            "gw.rebirth": self._rebirth,
            "tele.replay": Replay(self.store.outbox, self.clock),
            "alarm.ack": self.meaning.desk.serve,
        }

    def _meaning(self) -> Meaning:
        kept, settings = self.site.document.buffer.history, self.site.document.buffer
        reader = Reader(self.store.history, self.clock, kept.base_hours, kept.five_minutes_days)
        settle_s = SETTLE_S + settings.commit_every_s
        return Meaning(self.site.document.site, self.site.plan, self.store, reader, self.clock, settle_s)

    def _actuators(self) -> dict[str, tuple[Actuator, Signal]]:
        by_driver = {signal.id: driver for driver in self.drivers for signal in driver.signals}
        return {
            signal.id: (driver, signal)
            for signal in self.signals
            if signal.writable and _can_act(driver := by_driver[signal.id])
        }

    def _capabilities(self) -> list[str]:
        lights = any(signal.writable for signal in self.signals)
        return [*(["light"] if lights else []), *(["camera"] if self.site.document.cameras else []), "replay"]

    async def _ping(self, _: Command) -> None:
        """The centre reached us and our answer will show it: the command path is proven."""

    async def _rebirth(self, _: Command) -> None:
        await self.uplink.rebirth()

    async def _sink(self, batch: Sequence[Reading]) -> None:
        await self._store(self.pipeline.accept(batch))
        await self.meaning.look(self.pipeline.seen())

    async def _store(self, indicators: Sequence[Indicator]) -> None:
        if indicators:
            hot = self.meaning.hot
            sent = [i for i in indicators if i.forwarded or (i.signal.id in hot and not i.is_late)]
            windows = [i for i in indicators if i.start_ms is not None]
            live, late = [record(i) for i in sent if not i.is_late], [record(i) for i in sent if i.is_late]
            await self.meaning.store(live, windows)
            await self.store.append(late, Lane.BACK)  # a logger's day must not queue before what happens now
            for export in self.exports:
                export.take(indicators)

    # --- running ----------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event, hurry: asyncio.Event | None = None) -> None:
        """Until `stop` is set; `hurry` (a second signal) skips the drain. Raises StoreError, never DriverError."""
        api = local_api(self.state_dir / SOCKET_NAME, self.status, self._perform)
        # A damaged store is salvaged on opening, which may take minutes.
        notify(f"EXTEND_TIMEOUT_USEC={OPENING_S * 1_000_000}")
        async with self.store, api:
            await diary.started(self.store.journal, self.configuration)
            interrupted = await self.desk.report_interrupted()
            if interrupted:
                log.warning("%d command(s) were interrupted by the last stop and not repeated", interrupted)
            await self.meaning.open(self.store.keepsakes)
            self.pipeline.resume(await self.store.history.last_numbers(self.signals))
            for export in self.exports:
                await export.open()
            async with asyncio.TaskGroup() as services:
                background = [
                    services.create_task(work, name=name)
                    for name, work in (
                        ("uplink", self.uplink.run()),
                        ("windows", self._close_windows()),
                        ("indicators", self.meaning.run()),
                        ("keeper", self._tend()),
                        ("watchdog", self._watchdog()),
                        ("store", self.store.failing()),
                        *((f"tt10 {export.station}", export.run()) for export in self.exports),
                    )
                ]
                await self._run_sources(stop)
                await self._commit_last()
                await self._drain(hurry or asyncio.Event())
                diary.stopped(self.store.journal, self.configuration)
                for task in background:
                    task.cancel()
        log.info("stopped")

    async def _perform(self, do: str, args: Mapping[str, Any], who: str) -> dict[str, Any]:
        """What people on site ask for by the local socket."""
        if do.startswith(("alarm.", "violation.")):
            return await self.meaning.perform(do, args, who)
        return await self.store.maintenance.perform(do, args, who)

    async def _run_sources(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(source.run(), name=source.driver.name) for source in self.sources]
            log.info("%s %s runs: %d sources, %d signals", self.site.document.gateway, __version__,
                     len(self.sources), len(self.signals))  # fmt: skip
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            for task in tasks:
                task.cancel()

    async def _commit_last(self) -> None:
        """What is measured so far, cut windows too. A disk that takes nothing is not waited for: it has its last chance
        when the store is left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(COMMIT_S):
                await self._store(self.pipeline.close_all(self.clock.now_ms()))
                await self.meaning.desk.keep()
                await self.store.flush()

    async def _drain(self, hurry: asyncio.Event) -> None:
        drain = asyncio.create_task(self.uplink.drain(DRAIN_S))
        skip = asyncio.create_task(hurry.wait())
        await asyncio.wait([drain, skip], return_when=asyncio.FIRST_COMPLETED)
        for task in (drain, skip):
            task.cancel()
        await asyncio.wait([drain, skip])

    async def _close_windows(self) -> None:
        while True:
            next_ms = self.pipeline.next_close_ms()
            now_ms = self.clock.now_ms()
            # At most a second, so that a stepped clock is noticed.
            wait_s = 1.0 if next_ms is None else min(1.0, max(0.001, (next_ms - now_ms) / 1000))
            await asyncio.sleep(wait_s)
            await self._store(self.pipeline.close(self.clock.now_ms()))

    async def _tend(self) -> None:
        while True:
            uplink = self.uplink.status()
            await self.store.keeper.tend("" if uplink["connected"] else uplink["last_error"] or "not connected")
            await asyncio.sleep(TEND_EVERY_S)

    async def _watchdog(self) -> None:
        await watchdog(watchdog_interval_s(), [s.health for s in self.sources], self.store.turn, self.clock)

    # --- what it says of itself ---------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """For the heartbeat: small, a number each."""
        devices = [health for driver in self.drivers for health in driver.health().values()]
        return {
            "up_s": int(self.clock.monotonic() - self.began_s),
            "devices": len(devices),
            "devices_online": sum(device.online for device in devices),
            "readings": self.pipeline.accepted,
            **self.store.keeper.health(),
            **({"tt10_waiting": sum(e.progress.waiting for e in self.exports)} if self.exports else {}),
        }

    def status(self) -> dict[str, Any]:
        """For people on site: everything there is to see, as `gateway status --json` prints it."""
        low, high = self.store.outbox.span()
        return {
            "gateway": self.site.document.gateway,
            "site": self.site.document.site,
            "version": __version__,
            "started_ms": self.started_ms,
            "now_ms": self.clock.now_ms(),
            "clock_synced": self.clock.synced(),
            "readings": self.pipeline.accepted,
            "sources": {source.driver.name: self._source_status(source) for source in self.sources},
            "points": self._points(),
            "store": {
                "file": str(self.store_file),
                "epoch": self.store.outbox.epoch,
                "rid_lo": low,
                "rid_hi": high,
                "commits": self.store.commits,
                "checked": self.store.checked,
                "waiting": {lane.name.lower(): self.store.outbox.waiting(lane).records for lane in Lane},
                "set_aside": self.store.outbox.set_aside,
                **self.store.keeper.health(),
            },
            "uplink": self.uplink.status(),
            "tt10": {export.station: export.status() for export in self.exports},
            "commands": dict(self.desk.counts),
            **self.meaning.status(),
        }

    def _points(self) -> dict[str, Any]:
        latest = self.pipeline.latest(self.clock.now_ms())
        return {s.id: _point_status(latest[s.id], s.unit) for s in self.signals if s.id in latest}

    @staticmethod
    def _source_status(source: Supervisor) -> dict[str, Any]:
        devices = {
            name: {slot: getattr(health, slot) for slot in health.__slots__}
            for name, health in source.driver.health().items()
        }
        return {**source.health.snapshot(), "devices": devices}


def _own_probes(gateway: Gateway) -> dict[str, own.Probe]:
    """What the gateway measures of itself. Nothing here may wait."""
    tls = gateway.site.document.uplink.tls
    probes: dict[str, own.Probe] = {
        "gw.devices_online": lambda: own.devices_online(gateway.drivers),
        "gw.backlog": lambda: sum(gateway.store.outbox.waiting(lane).records for lane in Lane),
        "gw.clock_synced": gateway.clock.synced,
        "gw.clock_offset": own.clock_offset,
        "gw.disk_free": lambda: own.disk_free(gateway.state_dir),
        "gw.uptime": lambda: round((gateway.clock.monotonic() - gateway.began_s) / 3600, 3),
        **_open_probes(gateway),
    }
    if own.has_cpu_temp():
        probes["gw.cpu_temp"] = own.cpu_temp
    if tls is not None and tls.cert is not None:
        certificate = gateway.site.located(tls.cert)
        probes["gw.cert_days"] = lambda: own.cert_days(certificate, gateway.clock)
    return probes


def _open_probes(gateway: Gateway) -> dict[str, own.Probe]:
    """What is open, where there is anything that could be."""
    probes: dict[str, own.Probe] = {}
    if gateway.site.document.limits or gateway.site.events:
        probes["gw.alarms_open"] = lambda: len(gateway.meaning.alarms_open())
    if any(use.violation for derived in gateway.site.plan.derived for use in derived.thresholds):
        probes["ww.violation_open"] = lambda: gateway.meaning.violations()[0]
        probes["ww.violation_count_30d"] = lambda: gateway.meaning.violations()[1]
    return probes


def _published(plan: Plan) -> list[Signal]:
    """What records speak of beside what is measured."""
    return [derived.signal for derived in plan.derived if derived.published]


def _located(settings: UplinkSettings, site: LoadedSite) -> UplinkSettings:
    """Certificate files are relative to the site file, like every path in it."""
    if settings.tls is None:
        return settings
    paths = {key: str(site.located(path)) for key, path in settings.tls if path is not None}
    return settings.model_copy(update={"tls": settings.tls.model_copy(update=paths)})


def _point_status(reading: Reading, unit: str) -> dict[str, Any]:
    return {
        "v": reading.value,
        "u": unit,
        "q": reading.quality,
        "f": list(reading.reasons),
        "at_ms": reading.at_ms,
    }


def _can_act(driver: Driver) -> TypeGuard[Actuator]:
    return hasattr(driver, "apply")


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return str(os.getpid())
