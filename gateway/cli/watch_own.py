"""The wires of a site without a gateway: drivers under supervision, and their latest readings, judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import drivers
from config.site import LoadedSite
from drivers.scan.ports import blamed
from drivers.settings import SERIAL
from gateway.model.clock import SystemClock
from gateway.model.errors import BadArgument, LinkDown
from gateway.model.measure import Reading, Signal
from gateway.pipeline.judge import Memory, aged, judge
from gateway.pipeline.overrides import override
from gateway.supervise import Supervisor


class OwnWires:
    """`sources` are to be run by the caller; `status` is shaped like that of a running gateway."""

    def __init__(self, site: LoadedSite, device: str | None) -> None:
        self._site = site
        self._clock = SystemClock(trusted=site.document.clock == "trusted")
        self._began_ms = self._clock.now_ms()
        around = drivers.Surroundings(self._clock, site.base, site.secret)
        built = []
        for name, wire in site.document.wires.items():
            there = {
                d: (settings, site.profiles[d])
                for d, settings in site.document.devices.items()
                if settings.wire == name and device in {None, d}
            }
            if there:
                built.append(drivers.build(name, wire, there, around))
        if not built:
            raise BadArgument(
                "only a running gateway shows cameras", where=str(site.file), hint=f"gateway run {site.file}"
            )
        signals = override((signal for driver in built for signal in driver.signals), site.document.points)
        self._signals: dict[str, Signal] = {signal.id: signal for signal in signals}
        self._memory = {name: Memory() for name in self._signals}
        self._latest: dict[str, Reading] = {}
        self.sources = [Supervisor(driver, self._sink, self._clock) for driver in built]

    async def _sink(self, batch: Sequence[Reading]) -> None:
        for reading in batch:
            rule = self._signals[reading.signal].rule
            self._latest[reading.signal] = judge(reading, rule, self._memory[reading.signal])

    async def status(self) -> dict[str, Any]:
        now_ms = self._clock.now_ms()
        return {
            "from": "",
            "now_ms": now_ms,
            "points": {
                name: _point(aged(self._latest[name], signal.every_s, now_ms), signal.unit)
                for name, signal in self._signals.items()
                if name in self._latest
            },
            "sources": {source.driver.name: self._source(source) for source in self.sources},
        }

    def _source(self, source: Supervisor) -> dict[str, Any]:
        devices = {
            name: {slot: getattr(health, slot) for slot in health.__slots__}
            for name, health in source.driver.health().items()
        }
        said = source.health.snapshot()
        if not said["up"] and said["restarts"]:
            said["why"] = self._blame(source.driver.name, said["why"])
        return {**said, "devices": devices}

    def _blame(self, wire_name: str, why: str) -> str:
        """Names the program that has a serial port, if one has."""
        wire = self._site.document.wires[wire_name]
        if not isinstance(wire, SERIAL):
            return why
        error = LinkDown(why, where=wire_name)
        told = blamed(error, self._site.base / wire.port)
        return why if told is error else str(told)


def _point(reading: Reading, unit: str) -> dict[str, Any]:
    return {
        "v": reading.value,
        "u": unit,
        "q": reading.quality.value,
        "f": [reason.value for reason in reading.reasons],
        "at_ms": reading.at_ms,
    }
