"""What a played site came to, as lines that a person can hold against the scenario: `expected.yaml`.

Neighbouring periods that say the same are one line; `n` is how many. Local times. Values have five digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from tests.sites.played import LOCAL, Outcome

_ALARM: Final = "gw.alarm"
_OWN: Final = "gw.*"

Row = Mapping[str, Any]
Show = Mapping[str, Sequence[str]]


def golden(outcome: Outcome, show: Show) -> str:
    """The text of `expected.yaml`. `show`: codes, as patterns, with the keys of their details."""
    lines = ["indicators:"]
    for head, rows in _series(outcome, show):
        lines += [f"  {_text(head)}:", *(f"    - {line}" for line in rows)]
    lines += ["alarms:", *_listed(_alarm(row) for row in outcome.records if row["ind"] == _ALARM)]
    lines += ["violations:", *_listed(_violation(body) for body in outcome.violations)]
    return "\n".join(lines) + "\n"


def _series(outcome: Outcome, show: Show) -> Iterator[tuple[str, list[str]]]:
    derived = {(one.signal.point, one.signal.indicator) for one in outcome.site.plan.derived if one.published}
    series: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for row in sorted(outcome.records, key=lambda row: (row["ind"], row["pt"], row["t1"])):
        keys = _keys(row["ind"], show)
        wanted = keys is not None and row["ind"] != _ALARM and not row["ind"].startswith("gw.")
        if wanted and ((row["pt"], row["ind"]) in derived or row["ind"] in show):
            head = ", ".join(part for part in (row["ind"], row["pt"], *row.get("tg", {}).values(), row["u"]) if part)
            begin = _clock(row["t0"]) if "t0" in row else ""
            series.setdefault(head, []).append((begin, _clock(row["t1"]), _said(row, keys or ())))
    for head, rows in series.items():
        yield head, [_line(*joined) for joined in _joined(rows)]


def _keys(code: str, show: Show) -> Sequence[str] | None:
    """The last pattern that fits decides."""
    return next((keys for pattern, keys in reversed([*show.items()]) if fnmatchcase(code, pattern)), None)


def _said(row: Row, keys: Sequence[str]) -> dict[str, Any]:
    said: dict[str, Any] = {"v": _rounded(row["v"]), "q": row["q"]}
    if reasons := row.get("f"):
        said["f"] = reasons
    if limit := row.get("lm"):
        said["limit"] = f"{limit['st']} {limit['op']} {limit['lim']:g} {limit['pf']}"
    detail = row.get("d", {})
    if picked := {key: _rounded(detail[key]) for key in keys if key in detail}:
        said["d"] = picked
    if "rv" in row:
        said["revision"] = row["rv"]
    return said


def _joined(rows: Iterable[tuple[str, str, dict[str, Any]]]) -> Iterator[tuple[str, str, int, dict[str, Any]]]:
    found: list[tuple[str, str, int, dict[str, Any]]] = []
    for begin, end, said in rows:
        if found and found[-1][3] == said:
            first, _, n, _ = found.pop()
            found.append((first, end, n + 1, said))
        else:
            found.append((begin, end, 1, said))
    yield from found


def _line(begin: str, end: str, n: int, said: Mapping[str, Any]) -> str:
    return _flow({"t": f"{begin} - {end}" if begin else end, **({"n": n} if n > 1 else {}), **said})


def _alarm(row: Row) -> dict[str, Any]:
    about, said = row["tg"], row["al"]
    found = {"t": _clock(row["t1"]), "state": said["st"], "level": said["lvl"], "of": about["of"], "pt": row["pt"]}
    more = {key: _rounded(said[key]) for key in ("val", "peak") if key in said}
    return {**found, "rule": about["rule"], "opened": _clock(said["opened"]), **more, "vi": said["text"]["vi"]}


def _violation(body: Row) -> dict[str, Any]:
    limit = body["limit"]
    return {
        "state": body["state"],
        "of": body["indicator"],
        "pt": body["place"],
        "start": _clock(body["start_ms"]),
        "end": _clock(body["end_ms"]) if body.get("end_ms") else None,
        "peak": _rounded(body["peak"]),
        "mean": _rounded(body.get("mean")),
        "n": f"{body['n']}/{body['expected']}",
        "limit": f"{limit['op']} {limit['value']:g} over {limit['over_s']} s, {limit['profile']}, {limit['basis']}",
    }


def _listed(found: Iterable[Mapping[str, Any]]) -> list[str]:
    return [f"  - {_flow(one)}" for one in found] or ["  []"]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        near = float(f"{value:.5g}")
        return int(near) if near.is_integer() else near
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def _clock(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, LOCAL).strftime("%d %H:%M" + (":%S" if ms % 60_000 else ""))


def _flow(content: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_text(each)}" for key, each in content.items()) + "}"


def _text(value: Any) -> str:
    """JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
