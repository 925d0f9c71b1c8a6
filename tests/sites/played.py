"""A site played through in its own time: the real gateway against the simulated far ends, hours in seconds.

What is real: the site file (as `gateway simulate --loopback` copies it), every driver with its ports and ptys, the
pipeline, the store, what is derived and judged. What is not: time, the pictures of cameras, and a broker - nobody
listens. What came of it is read from the store after the gateway has stopped, as a technician would read it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from unittest import mock

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from buffer.inspect import read_only
from buffer.journal import Choice, entries
from buffer.search import Records, Wanted
from config.rehearsal import rehearsal
from config.site import LoadedSite, load_site
from drivers.mqtt_in import ear
from drivers.simulate import simulated
from drivers.simulate.performance import Performance
from drivers.simulate.scenario import Scenario, Seconds, Step
from gateway.app import Gateway
from gateway.model.clock import Clock
from gateway.model.ports import Driver
from tests.kit.brokers import free_port
from tests.kit.scripted_camera import Scene, ScriptedCamera
from tests.kit.warp import WarpClock, WarpLoop

LOCAL: Final = timezone(timedelta(hours=7))
WINDOW_S: Final = 60
SETTLED_S: Final = 40.0
"""So long after the last period its values are computed and committed."""


class Played(BaseModel):
    """`scenario.yaml` of a site. The file's head says by hand what the numbers must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: datetime = Field(description='Local time at which the gateway starts: "2026-11-22 06:00".')
    lasts: Seconds = Field(description="How long it runs: 6h.")
    every: Seconds = Field(60, description="The period of every device and camera, instead of the site's own.")
    grain: Seconds = Field(5, description="How fine its time is: whoever waits 0.2 s or more waits for a multiple.")
    without: tuple[str, ...] = Field((), description="Wires and devices that are left out.")
    steps: tuple[Step, ...] = Field(description="What happens, as in config/scenarios; without say_en and say_vi.")
    cameras: Mapping[str, tuple[Scene, ...]] = Field(default_factory=dict, description="What each camera sees.")
    show: Mapping[str, tuple[str, ...]] = Field(
        default_factory=lambda: {"*": ()}, description="Codes to be held against the file, with keys of their detail."
    )

    @property
    def start_ms(self) -> int:
        return round(self.start.replace(tzinfo=LOCAL).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the store holds after the gateway has stopped: records as `gateway buffer show` gives them, and the bodies
    of the journal's entries about violations."""

    site: LoadedSite
    records: Sequence[Mapping[str, Any]]
    violations: Sequence[Mapping[str, Any]]


def read_scenario(file: Path) -> Played:
    said = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    said["steps"] = [{"say_en": "-", "say_vi": "-", **step} for step in said.get("steps", ())]
    return Played.model_validate(said)


def play(site_file: Path, played: Played, folder: Path) -> Outcome:
    """The site from start to end, in `folder`."""
    site = _on_a_desk(site_file, played, folder)
    # MQTT clients keep a connection alive by the machine's time, the broker on site lets go of it by the site's.
    alive = mock.patch.object(ear, "KEEPALIVE_S", 0)
    with alive, asyncio.Runner(loop_factory=lambda: WarpLoop(played.grain)) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, WarpLoop)
        runner.run(_run(site, played, WarpClock(loop, played.start_ms)))
    return _read(site)


def _on_a_desk(site_file: Path, played: Played, folder: Path) -> LoadedSite:
    """The copy at this machine's addresses, at the scenario's periods, for a broker that nobody is."""
    copy = rehearsal(load_site(site_file), folder, broker=("127.0.0.1", free_port()))
    yaml = YAML()
    tree = yaml.load(copy.read_text(encoding="utf-8"))
    _leave_out(tree, played.without)
    for device in tree.get("devices", {}).values():
        device["every_s"] = played.every
    for camera in tree.get("cameras", {}).values():
        camera["every_s"] = min(played.every, 60)  # no camera reports less often
    _no_window_is_shorter(tree, played.every)
    tree.setdefault("buffer", {})["commit_every_s"] = 5
    with copy.open("w", encoding="utf-8") as out:
        yaml.dump(tree, out)
    return load_site(copy)


def _leave_out(tree: Any, without: Sequence[str]) -> None:
    """These wires and devices, and what is said of such devices alone."""
    gone = {name for name, device in tree.get("devices", {}).items() if not {name, device["wire"]}.isdisjoint(without)}
    assert set(without) <= gone | set(tree["wires"]), f"there is no {set(without) - gone - set(tree['wires'])}"
    for name in gone:
        del tree["devices"][name]
    for name in set(without) & set(tree["wires"]):
        del tree["wires"][name]
    for pattern in [pattern for pattern in tree.get("points", {}) if pattern.partition("/")[0] in gone]:
        del tree["points"][pattern]
    for section in ("indicators", "limits"):
        tree[section] = [one for one in tree.get(section, ()) if _device(one) not in gone]


def _device(entry: Any) -> str:
    return "" if isinstance(entry, str) else str(entry.get("of", "")).partition("/")[0]


def _no_window_is_shorter(tree: Any, every_s: float) -> None:
    """A base window without a reading would be a gap."""
    points = tree.get("points", {})
    for settings in points.values():
        if settings.get("window_s", every_s) < every_s:
            settings["window_s"] = int(every_s)
    if every_s > WINDOW_S:
        general = {"window_s": int(every_s), **points.get("*", {})}
        tree["points"] = {"*": general} | {name: its for name, its in points.items() if name != "*"}


async def _run(site: LoadedSite, played: Played, clock: Clock) -> None:
    document = site.document
    devices = {name: (its, site.profiles[name]) for name, its in document.devices.items()}
    stop = asyncio.Event()

    def cameras(site: LoadedSite, clock: Clock) -> list[Driver]:
        return [
            ScriptedCamera(name, its, clock, played.cameras.get(name, ()))
            for name, its in site.document.cameras.items()
        ]

    async with simulated(document.wires, devices, site.base, clock=clock, look_s=played.grain) as far:
        performance = Performance(_scenario(played), far, clock)
        for cue in performance.cues:
            assert cue.targets or not cue.begins, f"nothing of this site is in the step {cue.step}"
        gateway = Gateway(site, clock, cameras)
        performing = asyncio.create_task(performance.run(lambda _: None))
        await asyncio.sleep(0)  # what happens at once is so before the first value is read
        running = asyncio.create_task(gateway.run(stop))
        await asyncio.wait([running], timeout=played.lasts + SETTLED_S + 2 * played.grain)
        stop.set()
        await running
        performing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await performing


def _scenario(played: Played) -> Scenario:
    return Scenario(
        scenario="played", title_en="-", title_vi="-", teaches_en="-", teaches_vi="-", steps=list(played.steps)
    )


def _read(site: LoadedSite) -> Outcome:
    with read_only(site.state_dir / site.document.buffer.file) as store:
        found = Records(store, Wanted(), 0)
        records = [row for step in found.steps() for row in step]
        noted = [row.content for row in entries(store, Choice(kinds=("violation",)))]
    return Outcome(site, records, noted)
