"""Surface water: VN_WQI for reference, and the class of QCVN 08 by what is measured."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from gateway.indicators.formula import Formula, Given, Params, Result, Role
from gateway.indicators.formulas import wqi
from gateway.indicators.formulas.aqi import half_up
from gateway.indicators.formulas.slices import judged, partial
from gateway.indicators.periods import Span
from gateway.model.indicator import Indicator

_OPTIONAL: Final = Role(optional=True)


class WqiParams(Params):
    include_no3n: bool = Field(
        False, description="Let N-NO3 count. Two public programs differ on it between 10 and 15 mg/L: unsure."
    )


class ClassParams(Params):
    confirm_memory: bool = Field(
        False, description="The operator has read QCVN 08:2023 and confirms the cells that are known from memory alone."
    )


def _measured(span: Span, given: Given, role: str) -> tuple[float | None, Indicator | None]:
    track = given.one(role)
    if track is None:
        return None, None
    window = track.over(span)
    value = window.value
    return (None if value is None or isinstance(value, str) else float(value)), window


def _saturation(span: Span, given: Given) -> tuple[float | None, list[Indicator]]:
    """Oxygen in % of saturation: as measured, else from mg/L and temperature."""
    direct, window = _measured(span, given, "do_sat")
    if direct is not None and window is not None:
        return direct, [window]
    oxygen, one = _measured(span, given, "do")
    temperature, other = _measured(span, given, "temp")
    seen = [found for found in (window, one, other) if found is not None]
    if oxygen is None or temperature is None or one is None or other is None:
        return None, seen
    full = wqi.saturated_oxygen(temperature)
    return (None if full is None else 100 * oxygen / full), [one, other]


def _wqi(span: Span, given: Given, params: WqiParams) -> Result:
    """Uncertain where a parameter that is measured here gave nothing: without it the index may look better."""
    q: dict[str, float] = {}
    values: dict[str, float] = {}
    used: list[Indicator] = []
    seen: list[Indicator] = []
    lacking: list[str] = []
    for name in (*wqi.GROUP_I, *wqi.GROUP_IV):
        if name == "no3n" and not params.include_no3n:
            continue
        if name == "do":
            value, windows = _saturation(span, given)
        else:
            value, window = _measured(span, given, name)
            windows = [] if window is None else [window]
        seen += windows
        found = None if value is None else wqi.sub_index(name, value)
        if value is not None and found is not None:
            q[name], values[name] = found, value
            used += windows
        elif windows:
            lacking.append(name)
    exact = wqi.index(q)
    index = None if exact is None else half_up(exact)
    groups = {"I": [n for n in wqi.GROUP_I if n in q], "IV": [n for n in wqi.GROUP_IV if n in q]}
    result = judged(
        index,
        used,
        seen,
        method=wqi.METHOD,
        method_version=wqi.VERSION,
        publishable=False,
        missing_for_publication=wqi.missing_for_publication(q),
        groups={name: found for name, found in groups.items() if found},
        sub_indices=q,
        values=values,
        **({} if exact is None or index is None else _named(index, exact)),
        **({"unsure": ["no3n"]} if "no3n" in q else {}),
        **({"lacking": lacking} if lacking else {}),
    )
    return partial(result) if lacking else result


def _named(index: int, exact: float) -> dict[str, str | float]:
    level = wqi.level(index)
    return {"exact": exact, "level_vi": level.name_vi, "level_en": level.name_en}


def _class(span: Span, given: Given, params: ClassParams) -> Result:
    """The worst class of the parameters. One that cannot be decided, or gave no value, does not enter and is named:
    it could be worse, so the class is then uncertain and nothing is judged by it."""
    classes: dict[str, str] = {}
    values: dict[str, float] = {}
    undecided: list[str] = []
    used: list[Indicator] = []
    seen: list[Indicator] = []
    for name in wqi.RIVERS:
        value, window = _measured(span, given, name)
        if window is not None:
            seen.append(window)
        if value is None or window is None or value < 0:
            continue
        values[name] = value
        found = wqi.class_of(name, value, params.confirm_memory)
        if found is None:
            undecided.append(name)
        else:
            classes[name] = found
            used.append(window)
    worst = max(classes.values(), default=None)
    detail = {
        "basis": "QCVN 08:2023/BTNMT, table 2",
        "classes": classes,
        "values": values,
        "undecided": undecided,
        "not_measured": [name for name in wqi.RIVERS if name not in values],
        "decided_by": [name for name, found in classes.items() if found == worst],
    }
    if worst is not None:
        name_vi, memory = wqi.CLASS_NAMES[worst]
        detail |= {"name_vi": name_vi} if params.confirm_memory or not memory else {}
    result = judged(worst, used, seen, **detail)
    silent = any(window.value is None for window in seen)
    return partial(result) if undecided or silent else result


FORMULAS: Final = (
    Formula(
        "vn_wqi_ref",
        _wqi,
        dict.fromkeys(("ph", "do_sat", "do", "temp", *wqi.GROUP_IV[1:]), _OPTIONAL),
        WqiParams,
    ),
    Formula("class_qcvn08", _class, dict.fromkeys(wqi.RIVERS, _OPTIONAL), ClassParams),
)
