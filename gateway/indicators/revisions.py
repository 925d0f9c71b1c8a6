"""What was said how often, and which stretches of time came late: small enough to be kept with every turn. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Stretch = tuple[int, int]
"""[start, end) in ms UTC."""

MOST = 32
"""So many stretches of one signal are told apart; then the two that lie closest are taken as one."""


class Revisions:
    """How often the spans of each derived indicator were said again, by their ends. Neighbours that were said equally
    often are one entry: a whole day that came late costs as much as one value."""

    def __init__(self) -> None:
        self._runs: dict[str, list[list[int]]] = {}  # [first end, last end, how often]; a later one counts

    def again(self, name: str, end_ms: int, step_ms: int) -> int:
        """The number of this revision, from 1. `step_ms`: how far apart the ends of neighbours are."""
        runs = self._runs.setdefault(name, [])
        number = 1
        for first, last, before in reversed(runs):
            if first <= end_ms <= last:
                number += before
                break
        if runs and runs[-1][2] == number and runs[-1][1] + step_ms == end_ms:
            runs[-1][1] = end_ms
            if len(runs) > 1:
                start_ms = runs[-1][0]
                runs[:-1] = [run for run in runs[:-1] if run[0] < start_ms or run[1] > end_ms]
        else:
            runs.append([end_ms, end_ms, number])
        return number

    def forget(self, before_ms: int) -> None:
        """What ended before this moment is not said again any more."""
        kept = {name: [run for run in runs if run[1] >= before_ms] for name, runs in self._runs.items()}
        self._runs = {name: runs for name, runs in kept.items() if runs}

    def state(self) -> dict[str, Any]:
        return {name: [list(run) for run in runs] for name, runs in self._runs.items()}

    def restore(self, kept: Any) -> None:
        """What does not read is left out."""
        for name, runs in kept.items() if isinstance(kept, Mapping) else ():
            self._runs[name] = [run for run in runs if _are_whole(run, 3)] if isinstance(runs, list) else []


class Late:
    """The time that late values lie in, by signal."""

    def __init__(self) -> None:
        self._stretches: dict[str, list[Stretch]] = {}

    def __bool__(self) -> bool:
        return bool(self._stretches)

    def add(self, name: str, start_ms: int, end_ms: int) -> None:
        self._stretches[name] = _joined([*self._stretches.get(name, ()), (start_ms, end_ms)])

    def seen(self) -> Mapping[str, list[Stretch]]:
        """As it is now, by signal, in the order of time; for `without`."""
        return {name: list(stretches) for name, stretches in self._stretches.items()}

    def without(self, seen: Mapping[str, list[Stretch]]) -> None:
        """What was seen is done with; a stretch that grew since is not."""
        left = {name: [one for one in its if one not in seen.get(name, ())] for name, its in self._stretches.items()}
        self._stretches = {name: its for name, its in left.items() if its}

    def state(self) -> dict[str, Any]:
        return {name: [list(stretch) for stretch in its] for name, its in self._stretches.items()}

    def restore(self, kept: Any) -> None:
        """What does not read is left out."""
        for name, stretches in kept.items() if isinstance(kept, Mapping) else ():
            for stretch in stretches if isinstance(stretches, list) else ():
                if _are_whole(stretch, 2):
                    self.add(name, *stretch)


def _joined(stretches: list[Stretch]) -> list[Stretch]:
    found: list[Stretch] = []
    for start_ms, end_ms in sorted(stretches):
        if found and start_ms <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end_ms)
        else:
            found.append((start_ms, end_ms))
    if len(found) > MOST:
        at = min(range(1, len(found)), key=lambda n: found[n][0] - found[n - 1][1])
        found[at - 1 : at + 1] = [(found[at - 1][0], found[at][1])]
    return found


def _are_whole(found: Any, n: int) -> bool:
    return isinstance(found, list) and len(found) == n and all(isinstance(one, int) for one in found)
