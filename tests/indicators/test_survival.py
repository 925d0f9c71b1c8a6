"""Derived indicators that survive: a script of readings, kills, stops and late values through a whole gateway.

tests/indicators/survival/<case>/case.yaml holds the site and the script (times are local, UTC+7), expected.txt what the
centre gets: records, alarms, violations. After a change that is meant, set REWRITE_CASES=1 for one run and read what it
did to every case.

Script lines, in order:
  growing: {<signal>: n}                  a counter that grows so much an hour (beside `script`)
  {until: T, <signal>: value, ...}        goes on to T; the signals give this value from now on, null: no answer
  {do: kill | stop | start | prune}       kill -9, an orderly stop, a start; old windows go
  {off: T}                                the gateway is off until then
  {late: [from, until], <signal>: value}  a logger brings the readings of that time in one batch
  {site: {...}}                           the site file is changed in these keys
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.kit.played import Played, ms, told, told_violation

CASES = sorted(folder.parent for folder in (Path(__file__).parent / "survival").glob("*/case.yaml"))


async def played(case: dict[str, Any], folder: Path) -> Played:
    box = Played(folder, case["site"], case["start"], case.get("tick_s", 300))
    box.source |= {name: partial(_growing, an_hour) for name, an_hour in case.get("growing", {}).items()}
    await box.start()
    verbs = {"kill": box.kill, "stop": box.stop, "start": box.start, "prune": box.prune}
    for step in case["script"]:
        values = {name: value for name, value in step.items() if "/" in name}
        if "until" in step:
            box.source |= {name: partial(_steady, value) for name, value in values.items()}
            await box.until(step["until"])
        elif "late" in step:
            for name, value in values.items():
                every_s = case["site"]["devices"][name.partition("/")[0]]["every_s"]
                start, end = step["late"]
                await box.late(name, start, end, every_s, value)
        elif "off" in step:
            box.clock.advance((ms(step["off"]) - box.clock.now_ms()) / 1000)
        elif "site" in step:
            box.change(**step["site"])
        else:
            await verbs[step["do"]]()
    await box.kill()
    return box


def _steady(value: float | None, _: int) -> float | None:
    return value


def _growing(an_hour: float, at_ms: int) -> float:
    return an_hour * (at_ms // 3_600_000 % 1000)


@pytest.mark.parametrize("folder", CASES, ids=[case.name for case in CASES])
async def test_case(folder: Path, tmp_path: Path) -> None:
    case = YAML(typ="safe", pure=True).load((folder / "case.yaml").read_text(encoding="utf-8"))
    box = await played(case, tmp_path)
    lines = [told(record) for record in (box.site_records() if case.get("all") else [*box.derived(), *box.alarms()])]
    lines += [told_violation(one) for one in box.violations()]
    text = "".join(f"{line}\n" for line in lines)
    expected = folder / "expected.txt"
    if os.environ.get("REWRITE_CASES"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")
