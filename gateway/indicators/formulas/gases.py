"""Concentrations of gases in the unit of the rules: ug/Nm3, at 25 degrees Celsius and 760 mmHg.

That "Nm3" of QCVN 05:2023/BTNMT means this state is from memory, held for sure; one mole then fills 24.45 litres.
Molar masses: IUPAC standard atomic weights. Nitrogen oxides (NOx) are counted as NO2.
"""

from __future__ import annotations

from typing import Final

from gateway.model.measure import Signal

MOLAR_LITRES: Final = 24.45
MOLAR_MASS: Final = {
    "so2": 64.06, "no2": 46.01, "nox": 46.01, "no": 30.01, "o3": 48.00, "co": 28.01, "co2": 44.01, "h2s": 34.08,
    "nh3": 17.03,
}  # fmt: skip
_MASS: Final = {"ug/m3": 1.0, "ug/Nm3": 1.0, "µg/m³": 1.0, "µg/Nm³": 1.0, "mg/m3": 1e3, "mg/Nm3": 1e3, "mg/m³": 1e3}
_SHARE: Final = {"[ppb]": 1.0, "ppb": 1.0, "[ppm]": 1e3, "ppm": 1e3}


def factor(substance: str, unit: str) -> float | None:
    """What a value in this unit is multiplied with to be in ug/m3 (ug/Nm3). None where that is not known: another
    unit, or parts per billion of what is no gas.

    A mass per m3 is taken as it is: whether a device means 25 degrees or another state, its maker says.
    """
    if unit in _MASS:
        return _MASS[unit]
    if unit in _SHARE and substance in MOLAR_MASS:
        return _SHARE[unit] * MOLAR_MASS[substance] / MOLAR_LITRES
    return None


def substance(signal: Signal) -> str:
    """What is measured, by the indicator's code: "so2" of "air.so2"."""
    return signal.indicator.partition(".")[2]


def factor_of(signal: Signal) -> float | None:
    """`factor` for what this signal measures."""
    return factor(substance(signal), signal.unit)
