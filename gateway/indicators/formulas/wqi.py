"""VN_WQI as far as sensors reach, and classes of QCVN 08:2023/BTNMT: the mathematics.

VN_WQI: decision 1460/QĐ-TCMT (2019). Its text was not to be had; the numbers are those on which two independent public
programs agree. Certainty: medium. On N-NO3 between 10 and 15 mg/L they differ: unsure. Classes: QCVN 08:2023/BTNMT,
table 2 (rivers, streams, canals). Certainty: medium to high; cells known from memory alone are marked.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Final, NamedTuple

METHOD: Final = "VN_WQI, 1460/QĐ-TCMT (2019), reference only"
VERSION: Final = 1
_Curve = tuple[tuple[float, float], ...]

FALLING: Final[dict[str, _Curve]] = {
    "bod5": ((4, 100), (6, 75), (15, 50), (25, 25), (50, 10)),
    "cod": ((10, 100), (15, 75), (30, 50), (50, 25), (150, 10)),
    "toc": ((4, 100), (6, 75), (15, 50), (25, 25), (50, 10)),
    "nh4n": ((0.3, 75), (0.6, 50), (0.9, 25), (5, 10)),
    "no3n": ((2, 100), (5, 75), (10, 50), (15, 25)),
    "po4p": ((0.1, 100), (0.2, 75), (0.3, 50), (0.5, 25), (4, 10)),
}
"""mg/L to q, straight between the points. N-NH4 steps from 100 to 75 at 0.3, N-NO3 from 25 to 10 above 15."""
_OXYGEN: Final[_Curve] = ((20, 25), (50, 50), (75, 75), (88, 100), (112, 100), (125, 75), (150, 50), (200, 25))
_PH: Final[_Curve] = ((5.5, 50), (6, 100), (8.5, 100), (9, 50))
GROUP_I: Final = ("ph",)
GROUP_IV: Final = ("do", "bod5", "cod", "toc", "nh4n", "no3n", "no2n", "po4p")
LOWEST: Final = 10.0


class Level(NamedTuple):
    """One level of VN_WQI. `least`: its lowest index. Never for VN_AQI: its "Kém" and "Xấu" stand the other way
    round."""

    least: int
    name_vi: str
    name_en: str


LEVELS: Final = (
    Level(91, "Rất tốt", "Very good"),
    Level(76, "Tốt", "Good"),
    Level(51, "Trung bình", "Moderate"),
    Level(26, "Xấu", "Bad"),
    Level(10, "Kém", "Poor"),
    Level(0, "Ô nhiễm rất nặng", "Very heavily polluted"),
)


def level(index: int) -> Level:
    """The level of a rounded index."""
    return next((found for found in LEVELS if index >= found.least), LEVELS[-1])


def saturated_oxygen(temperature: float) -> float | None:
    """Dissolved oxygen at saturation in mg/L, of fresh water at sea level, by temperature in degrees Celsius. None
    outside 0 to 45, for which the polynomial is not meant."""
    t = temperature
    return 14.652 - 0.41022 * t + 0.0079910 * t**2 - 0.000077774 * t**3 if 0 <= t <= 45 else None


def sub_index(parameter: str, value: float) -> float | None:
    """q of one parameter, 10 to 100. `do` in % of saturation, pH as it is, others mg/L. None for negative values."""
    if not value >= 0:
        return None
    if parameter == "no2n":
        return 100.0 if value <= 0.05 else LOWEST
    if parameter == "do":
        return LOWEST if not 20 <= value <= 200 else _between(_OXYGEN, value)
    if parameter == "ph":
        return LOWEST if not 5.5 <= value <= 9 else _between(_PH, value)
    if parameter == "nh4n" and value < 0.3:
        return 100.0
    if parameter == "no3n" and value > 15:
        return LOWEST
    return _between(FALLING[parameter], value)


def _between(curve: _Curve, x: float) -> float:
    """On the straight lines through the points; level before the first and after the last."""
    if x <= curve[0][0]:
        return curve[0][1]
    for (x0, q0), (x1, q1) in pairwise(curve):
        if x <= x1:
            return q0 + (q1 - q0) * (x - x0) / (x1 - x0)
    return curve[-1][1]


def index(q: Mapping[str, float]) -> float | None:
    """The index of groups I and IV from their sub-indices. None without group IV, which the rule demands.

    Of groups II and III, which no sensor measures, the factor is 1. Group V (coliforms) is not measured either: the
    mean of group IV then stands for the root over IV and V. The latter is our reading; the rule has no such case.
    """
    four = [q[name] for name in GROUP_IV if name in q]
    if not four:
        return None
    return prod(q[name] / 100 for name in GROUP_I if name in q) * sum(four) / len(four)


def missing_for_publication(q: Mapping[str, float]) -> list[str]:
    """What an official VN_WQI would need besides: three of the five groups, and three parameters of group IV."""
    groups = sum(any(name in q for name in group) for group in (GROUP_I, GROUP_IV))
    four = sum(name in q for name in GROUP_IV)
    lacking = [f"groups: {groups} of at least 3 (II, III and V are not measured)"]
    return lacking if four >= 3 else [*lacking, f"group IV: {four} of at least 3 parameters"]


class Cell(NamedTuple):
    """What a class asks of a parameter. `memory`: known from memory alone; `beyond`: but that it is missed is known,
    because the copy of the rule prints the same number in the next cell (TSS "> 100" under C, TOC "> 8" under D).
    """

    low: float | None = None
    high: float | None = None
    memory: bool = False
    beyond: bool = False

    def holds(self, value: float) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


CLASSES: Final = ("A", "B", "C", "D")
CLASS_NAMES: Final = {"A": ("Tốt", False), "B": ("Trung bình", False), "C": ("Xấu", True), "D": ("Rất xấu", True)}
"""Vietnamese names; True: from memory."""
RIVERS: Final[dict[str, tuple[Cell, Cell, Cell]]] = {
    "ph": (Cell(6.5, 8.5), Cell(6.0, 8.5), Cell(6.0, 8.5)),
    "bod5": (Cell(high=4), Cell(high=6), Cell(high=10)),
    "cod": (Cell(high=10), Cell(high=15), Cell(high=20)),
    "toc": (Cell(high=4), Cell(high=6), Cell(high=8, memory=True, beyond=True)),
    "tss": (Cell(high=25), Cell(high=100, memory=True, beyond=True), Cell()),
    "do": (Cell(6.0, memory=True), Cell(5.0), Cell(4.0)),
    "tp": (Cell(high=0.1), Cell(high=0.3), Cell(high=0.5)),
    "tn": (Cell(high=0.6), Cell(high=1.5), Cell(high=2.0)),
    "coliform": (Cell(high=1000), Cell(high=5000), Cell(high=7500)),
}
"""What A, B and C ask; D is what is left. TSS over 100 is C or D by floating litter, which no sensor sees: C."""


def class_of(parameter: str, value: float, memory: bool = False) -> str | None:
    """The best class whose cell the value keeps. None where a cell known from memory alone would have to decide, and
    that is not allowed: a value that misses it is then as unsure as one that keeps it, but for `beyond`. Each class
    asks less than the one before: what does not keep a later cell does not keep the unsure one either."""
    unsure = False
    for name, cell in zip(CLASSES, RIVERS[parameter], strict=False):
        holds = cell.holds(value)
        if cell.memory and not memory:
            unsure = holds or not cell.beyond
        elif holds:
            return None if unsure else name
        else:
            unsure = False
    return None if unsure else "D"
