"""VN_AQI, the mathematics: decision 1459/QĐ-TCMT of 12 November 2019, tables 1 and 2. Certainty: high.

Concentrations are in ug/m3 (gases: ug/Nm3), of all parameters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import floor, isfinite
from typing import Final, NamedTuple

METHOD: Final = "VN_AQI, 1459/QĐ-TCMT (2019), NowCast normalised"
VERSION: Final = 1
INDEX: Final = (0, 50, 100, 150, 200, 300, 400, 500)
BREAKPOINTS: Final[dict[str, tuple[float, ...]]] = {
    "o3_1h": (0, 160, 200, 300, 400, 800, 1000, 1200),
    "o3_8h": (0, 100, 120, 170, 210, 400),
    "co": (0, 10_000, 30_000, 45_000, 60_000, 90_000, 120_000, 150_000),
    "so2": (0, 125, 350, 550, 800, 1600, 2100, 2630),
    "no2": (0, 100, 200, 700, 1200, 2350, 3100, 3850),
    "pm10": (0, 50, 150, 250, 350, 420, 500, 600),
    "pm25": (0, 25, 50, 80, 150, 250, 350, 500),
}
"""Table 2. The 8-hour column of ozone ends at 400: above that only the 1-hour column applies."""
O3_8H_TOP: Final = 400.0
NOWCAST_HOURS: Final = 12


class Level(NamedTuple):
    """One level of VN_AQI. `upto`: its highest index. The English names are ours. Never for VN_WQI: its "Kém" and
    "Xấu" stand the other way round."""

    upto: int
    name_vi: str
    name_en: str
    rgb: str


LEVELS: Final = (
    Level(50, "Tốt", "Good", "0;228;0"),
    Level(100, "Trung bình", "Moderate", "255;255;0"),
    Level(150, "Kém", "Poor", "255;126;0"),
    Level(200, "Xấu", "Bad", "255;0;0"),
    Level(300, "Rất xấu", "Very bad", "143;63;151"),
    Level(500, "Nguy hại", "Hazardous", "126;0;35"),
)


class Nowcast(NamedTuple):
    """`weight`: how much less each hour counts than the one after it; `hours`: how many had a value."""

    value: float
    weight: float
    hours: int


def sub_index(column: str, concentration: float) -> float | None:
    """The index of one column of table 2, not rounded. None for what is no concentration (negative, not a number) and
    above the end of the 8-hour column. Above the last breakpoint of the others it stays 500: the table goes no
    further (`beyond` tells)."""
    if not isfinite(concentration) or concentration < 0:
        return None
    points = BREAKPOINTS[column]
    if concentration >= points[-1]:
        return None if column == "o3_8h" and concentration > O3_8H_TOP else float(INDEX[len(points) - 1])
    i = bisect_right(points, concentration) - 1
    share = (concentration - points[i]) / (points[i + 1] - points[i])
    return INDEX[i] + (INDEX[i + 1] - INDEX[i]) * share


def beyond(column: str, concentration: float) -> bool:
    """Whether the concentration lies above the table, so that its index 500 says "500 or more"."""
    return column != "o3_8h" and concentration > BREAKPOINTS[column][-1]


def nowcast(hours: Sequence[float | None]) -> Nowcast | None:
    """NowCast of up to 12 hourly means, the newest first; None for an hour without one. None where fewer than two of
    the three newest are known.

    The weighted mean divides by the weights of the hours that are known, for w = 1/2 too. The decision writes the sum
    of (1/2)^i c_i for that case; the two agree on 12 known hours (but for 0.02 %), and with gaps its sum reads far
    too low: 51 instead of 82 for 100, none, 10.
    """
    hours = hours[:NOWCAST_HOURS]
    known = [value for value in hours if value is not None]
    if sum(value is not None for value in hours[:3]) < 2:
        return None
    high = max(known)
    weight = max(min(known) / high, 0.5) if high > 0 else 1.0
    weights = [weight**i for i, value in enumerate(hours) if value is not None]
    total = sum(w * value for w, value in zip(weights, known, strict=True))
    return Nowcast(total / sum(weights), weight, len(known))


def half_up(value: float) -> int:
    """To the nearest integer, halves up, as the decision's examples are (109.5 is 110). What a binary fraction lacks
    behind the ninth digit is given back first."""
    return floor(round(value, 9) + 0.5)


def level(index: int) -> Level:
    """The level of a rounded VN_AQI."""
    return next((found for found in LEVELS if index <= found.upto), LEVELS[-1])
