"""When the sun rises and sets. Equations of NOAA's solar calculator (Meeus, Astronomical Algorithms): right to a minute
or so between the polar circles, at sea level with a free horizon."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import acos, asin, cos, degrees, radians, sin, tan
from typing import Final

_J2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
_ZENITH: Final = radians(90.833)
"""The upper edge on the horizon: 34' of refraction and 16' of the sun's radius below the centre's."""


def sunrise_ms(day: date, lat: float, lon: float) -> int | None:
    """ms UTC of the sunrise of this local day (UTC+7). None where the sun does not rise."""
    return _event_ms(day, lat, lon, -1)


def sunset_ms(day: date, lat: float, lon: float) -> int | None:
    """ms UTC of the sunset of this local day (UTC+7). None where the sun does not set."""
    return _event_ms(day, lat, lon, 1)


def _event_ms(day: date, lat: float, lon: float, side: int) -> int | None:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    minutes = 720 - 4 * lon
    for _ in range(3):  # the sun moves on until it sets: each turn is closer
        found = _hour_angle(midnight + timedelta(minutes=minutes), lat)
        if found is None:
            return None
        angle, equation_of_time = found
        minutes = 720 - 4 * (lon - side * angle) - equation_of_time
    return round((midnight.timestamp() + minutes * 60) * 1000)


def _hour_angle(at: datetime, lat: float) -> tuple[float, float] | None:
    """Degrees from the meridian to the horizon, and the equation of time in minutes."""
    t = (at - _J2000) / timedelta(days=36_525)
    longitude = radians((280.46646 + t * (36_000.76983 + t * 0.0003032)) % 360)
    anomaly = radians(357.52911 + t * (35_999.05029 - t * 0.0001537))
    eccentricity = 0.016708634 - t * (0.000042037 + t * 0.0000001267)
    centre = (
        sin(anomaly) * (1.914602 - t * (0.004817 + t * 0.000014))
        + sin(2 * anomaly) * (0.019993 - t * 0.000101)
        + sin(3 * anomaly) * 0.000289
    )
    node = radians(125.04 - 1934.136 * t)
    apparent = longitude + radians(centre - 0.00569 - 0.00478 * sin(node))
    tilt = radians(23.4392911 - t * (0.0130042 + t * (0.00000016 - t * 0.000000504)) + 0.00256 * cos(node))
    declination = asin(sin(tilt) * sin(apparent))
    y = tan(tilt / 2) ** 2
    equation_of_time = 4 * degrees(
        y * sin(2 * longitude) - 2 * eccentricity * sin(anomaly)
        + 4 * eccentricity * y * sin(anomaly) * cos(2 * longitude)
        - y * y / 2 * sin(4 * longitude) - 1.25 * eccentricity**2 * sin(2 * anomaly)
    )  # fmt: skip
    cosine = cos(_ZENITH) / (cos(radians(lat)) * cos(declination)) - tan(radians(lat)) * tan(declination)
    return (degrees(acos(cosine)), equation_of_time) if -1 <= cosine <= 1 else None
