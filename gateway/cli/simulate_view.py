"""What `gateway simulate` says: what is where, and each step as it happens, for people or as JSON lines."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gateway.cli.output import print_json
from gateway.cli.words import lasting

if TYPE_CHECKING:
    from config.site import LoadedSite
    from drivers.profiles import AnyProfile
    from drivers.settings import AnyWire, DeviceSettings
    from drivers.simulate.performance import Cue, Performance


def site_of(site: LoadedSite) -> tuple[dict[str, str], dict[str, tuple[DeviceSettings, AnyProfile]]]:
    """The kinds of a site's wires, and its devices, each by name."""
    document = site.document
    kinds: dict[str, str] = {name: wire.kind for name, wire in document.wires.items()}
    return kinds, {name: (its, site.profiles[name]) for name, its in document.devices.items()}


class View:
    """Tables on stderr and lines on stdout for people; with `as_json` nothing but one JSON object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    # --- which scenarios there are ------------------------------------------------------------------------

    def scenarios(self, site: LoadedSite) -> None:
        from rich.console import Console
        from rich.table import Table

        rows = list(_scenarios(site))
        if self._as_json:
            print_json({"scenarios": rows})
            return
        table = Table("scenario", "lasts / dài", "what happens / diễn biến", "here / ở đây", box=None)
        for row in rows:
            here = ", ".join(row["targets"][:2]) + (" ..." if len(row["targets"]) > 2 else "")
            text = row.get("error") or f"{row['title_en']}\n[dim]{row['title_vi']}[/]"
            table.add_row(row["scenario"], lasting(row["lasts_s"]) if row["lasts_s"] else "", text, here or "-")
        Console().print(table)

    # --- what is where ------------------------------------------------------------------------------------

    def ready(self, site: LoadedSite, performance: Performance | None) -> None:
        """Everything is up. The last thing said is `ready`."""
        absent = [] if performance is None else [c.step for c in performance.cues if c.begins and not c.targets]
        name = None if performance is None else performance.scenario.scenario
        run = f"gateway run {shlex.quote(str(site.file))}"
        if self._as_json:
            skipped = [{"en": step.say_en, "vi": step.say_vi} for step in absent]
            self._line(event="ready", wires=list(_wires(site)), run=run, scenario=name, skipped=skipped)
            return
        from rich.console import Console

        console = Console(stderr=True)
        console.print(_table(site))
        for what in _remarks(site):
            console.print(f"[yellow]{what}[/]", soft_wrap=True)
        for step in absent:
            console.print(
                f"[dim]nothing here for / điểm này không có: {step.say_en} / {step.say_vi}[/]", soft_wrap=True
            )
        console.print(f"the gateway against it / chạy gateway: [bold]{run}[/]   Ctrl-C stops / dừng", soft_wrap=True)
        self._say("ready")

    # --- what happens -------------------------------------------------------------------------------------

    def cue(self, cue: Cue) -> None:
        """A step begins or ends. Steps that have nothing to work on happen to nobody."""
        if not cue.targets:
            return
        step = cue.step
        if self._as_json:
            event = "begins" if cue.begins else "ends"
            self._line(event=event, at_s=cue.at_s, en=step.say_en, vi=step.say_vi, on=list(cue.targets))
            return
        minutes, left_s = divmod(round(cue.at_s), 60)
        over = "" if cue.begins else "over / hết: "
        on = ", ".join(cue.targets[:4]) + (f" (+{len(cue.targets) - 4})" if len(cue.targets) > 4 else "")
        self._say(f"{minutes:3}:{left_s:02}  {over}{step.say_en} / {step.say_vi}  [{on}]")

    def over(self, scenario: str) -> None:
        """The last step has happened."""
        if self._as_json:
            self._line(event="over", scenario=scenario)
        else:
            self._say(f"the scenario {scenario} is over; the devices stay / kịch bản đã hết, thiết bị vẫn chạy")

    def _line(self, **content: Any) -> None:
        self._say(json.dumps(content, ensure_ascii=False))

    @staticmethod
    def _say(text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _scenarios(site: LoadedSite) -> Iterator[dict[str, Any]]:
    from config.scenarios import read_scenario, scenario_files
    from drivers.simulate.performance import targets

    kinds, devices = site_of(site)
    for name, file in scenario_files(site.base).items():
        scenario, findings = read_scenario(file)
        if scenario is None:
            yield {"scenario": name, "lasts_s": None, "targets": [], "error": str(findings[0])}
            continue
        found = dict.fromkeys(target for step in scenario.steps for target in targets(step, kinds, devices))
        yield {
            "scenario": name,
            "lasts_s": scenario.lasts_s,
            "targets": list(found),
            **scenario.model_dump(include={"title_en", "title_vi", "teaches_en", "teaches_vi"}),
        }


def _wires(site: LoadedSite) -> Iterator[dict[str, Any]]:
    for name, wire in site.document.wires.items():
        devices = [device for device, its in site.document.devices.items() if its.wire == name]
        if devices:
            yield {"wire": name, "kind": wire.kind, "at": _address(wire), "devices": devices}


def _address(wire: AnyWire) -> str:
    """Where its far end stands, as the site file says it."""
    said: Mapping[str, Any] = wire.model_dump()
    if "host" in said:
        return f"{said['host']}:{said['port']}"
    return str(next(said[key] for key in ("url", "folder", "chip", "port") if key in said))


def _table(site: LoadedSite) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("wire / đường dây", "kind", "at / tại", "devices / thiết bị", box=None, pad_edge=False)
    for row in _wires(site):
        devices = ", ".join(f"{device} ({site.document.devices[device].profile})" for device in row["devices"])
        table.add_row(row["wire"], row["kind"], escape(row["at"]), escape(devices))
    return table


def _remarks(site: LoadedSite) -> Iterator[str]:
    """What a person should know of a rehearsal before it begins."""
    for name, camera in site.document.cameras.items():
        if camera.is_stream:
            yield f"camera {name} is not simulated / không mô phỏng camera {name}: {camera.source}"
        elif not site.located(camera.source).exists():
            file = site.located(camera.source)
            yield f"camera {name} wants a film / cần đoạn phim: python -P -m vision.simulate {file} --seconds 60"
    uplink = site.document.uplink
    if uplink.host not in {"127.0.0.1", "localhost", "::1"}:
        yield (
            f"a gateway on this file sends simulated values to {uplink.host} as {site.document.gateway}; keep them"
            f" here with --loopback and without --broker site / số liệu mô phỏng sẽ được gửi tới {uplink.host}"
        )
