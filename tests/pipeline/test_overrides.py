"""A site may change what its profiles say, and nothing else."""

from __future__ import annotations

from gateway.model.measure import Forward, Kind, Rule, Signal
from gateway.pipeline.overrides import override
from gateway.pipeline.settings import PointSettings


def test_later_entries_win_and_what_is_not_named_stays() -> None:
    level = Signal(
        id="level/stage", point="level/stage", indicator="flood.level", unit="m", kind=Kind.LAST, every_s=1,
        rule=Rule(low=0, high=20, stuck_s=600),
    )  # fmt: skip
    lamp = Signal(id="lamps/c1", point="lamps/c1", indicator="light.state", unit="1", kind=Kind.LAST, every_s=1)
    points = {
        "*": PointSettings(window_s=10),
        "level/*": PointSettings(range=(0, 12), forward=Forward.BOTH),
    }
    changed, other = override([level, lamp], points)
    assert (changed.window_s, changed.forward) == (10, Forward.BOTH)
    assert changed.rule == Rule(low=0, high=12, stuck_s=600)
    assert (other.window_s, other.forward, other.rule) == (10, Forward.WINDOWS, Rule())
