"""From words to bytes: every message that leaves the gateway is written here, by pure functions.

The shapes are those of `schemas/*.json`. `record` is the hot path (one call for each reading or window), so it
writes JSON by hand and remembers what is constant for a signal; everything else goes through `json`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from gateway.model.alarm import Alarm, AlarmState
from gateway.model.indicator import Indicator, Parts
from gateway.model.limit import Verdict
from gateway.model.measure import Quality, Reason, Signal, Value
from gateway.model.ports import Batch, Lane, Waiting

INF = float("inf")
GZIP_FROM = 1024  # a smaller batch gains nothing

# Signal id -> (the signal it was made of, its constant opening). Bounded by the signals of a site.
_openings: dict[str, tuple[Signal, str]] = {}


class Catalogue(NamedTuple):
    """What the names in records mean. `hash` is 8 hex digits of the content; records refer to it."""

    body: bytes
    hash: str


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What every message of one connection says of its sender: gateway, store epoch, session number, catalogue."""

    gateway: str
    epoch: str
    session: int
    catalogue: str


def record(indicator: Indicator) -> bytes:
    """A record (contract: `tele/1`, an element of `m`) without its opening `{"rid":N,`, which the store gives it.

    `v` is null exactly when `q` is missing: a value that JSON cannot carry (NaN, infinity) is sent as missing,
    with the reason device_fault if nothing else was said of it.
    """
    signal = indicator.signal
    opening = _openings.get(signal.id)
    if opening is None or opening[0] is not signal:
        opening = _openings[signal.id] = (signal, _opening(signal))
    value = indicator.value
    text = repr(value) if type(value) is float and -INF < value < INF else _value(value)
    if indicator.quality is Quality.GOOD and text != "null" and not indicator.reasons:
        quality = '"q":"good"'
    else:
        quality = _quality(text, indicator)
    parts = indicator.parts
    counts = "" if parts is None else f'"n":{parts.n},"ne":{parts.expected},'
    rest = "}" if parts is None or parts.total is None else _parts(parts)
    start = "" if indicator.start_ms is None else f'"t0":{indicator.start_ms},'
    if indicator.verdict or indicator.detail or indicator.revision:
        counts += _derived(indicator)
    return f'{opening[1]}{start}"t1":{indicator.end_ms},"v":{text},{counts}{quality}{rest}'.encode("utf-8", "replace")


def _opening(signal: Signal) -> str:
    # `k` and `u` are left out on purpose: the catalogue is made of the same signals, so they never differ.
    tags = f'"tg":{_dumps(dict(sorted(signal.tags.items())))},' if signal.tags else ""
    return f'"pt":{encode_basestring(signal.point)},"ind":{encode_basestring(signal.indicator)},{tags}'


def _value(value: Value | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):  # also subclasses, whose own repr may be anything
        return float.__repr__(value) if -INF < value < INF else "null"
    return "null" if value is None else encode_basestring(value)


def _quality(text: str, indicator: Indicator) -> str:
    quality, reasons = indicator.quality, indicator.reasons
    if text == "null":
        quality = Quality.MISSING
        if indicator.value is not None and not reasons:
            reasons = (Reason.DEVICE_FAULT,)
    elif quality is Quality.MISSING:  # a value that its maker says is none
        quality = Quality.BAD
    if not reasons:
        return f'"q":"{quality}"'
    why = '","'.join(reasons)
    return f'"q":"{quality}","f":["{why}"]'


def _parts(parts: Parts) -> str:
    total, low, high, first, last = parts.total, parts.low, parts.high, parts.first, parts.last
    try:
        # One comparison for all five; a sum that overflows goes the slow way too, which does no harm.
        if -INF < total + low + high + first + last < INF:  # type: ignore[operator]  # None is what the except is for
            return f',"p":{{"sum":{total!r},"min":{low!r},"max":{high!r},"first":{first!r},"last":{last!r}}}}}'
    except TypeError:
        pass
    named = {"sum": total, "min": low, "max": high, "first": first, "last": last}
    kept = {name: number for name, number in named.items() if number is not None and -INF < number < INF}
    return f',"p":{_dumps(kept)}}}' if kept else "}"


def _derived(indicator: Indicator) -> str:
    """What only derived indicators have. Where the limit comes from is in the catalogue, not in every record."""
    said: dict[str, Any] = {"rv": indicator.revision} if indicator.revision else {}
    if indicator.verdict:
        said["lm"] = _limit(indicator.verdict)
    if detail := _plain(indicator.detail or {}):
        said["d"] = detail
    # A blank keeps what a formula says from looking like the seam between two records: see `historical`.
    return _dumps(said)[1:-1].replace(',{"rid":', ', {"rid":') + "," if said else ""


def _limit(verdict: Verdict) -> dict[str, Any]:
    limit, deviation = verdict.limit, verdict.deviation
    said = {"st": verdict.status, "op": limit.op, "lim": limit.value, "over": limit.over_s, "pf": limit.profile}
    if deviation is not None and -INF < deviation < INF:
        said["dev"] = round(deviation, 6)
    return said


def _plain(content: Any) -> Any:
    """Without what JSON cannot carry: such members are left out, in a list they are null."""
    if isinstance(content, float):
        return content if -INF < content < INF else None
    if isinstance(content, Mapping):
        return {str(k): plain for k, each in content.items() if (plain := _plain(each)) is not None or each is None}
    return [_plain(each) for each in content] if isinstance(content, list | tuple) else content


def alarm(message: Alarm) -> bytes:
    """One message of an alarm as a record without its opening `{"rid":N,`, for the urgent lane.

    Its indicator is `gw.alarm`, and never the measured one, so that nobody takes `v`, the level (0: cleared), for
    something measured; `tg` names the rule and the indicator it is about.
    """
    is_over = message.state is AlarmState.CLEARED
    said = {
        "id": message.id,
        "st": message.state,
        "lvl": message.level,
        "sig": message.signal,
        "opened": message.opened_ms,
        "val": message.value,
        "peak": message.peak,
        "peak_t": message.peak_ms,
        "cleared": message.cleared_ms,
        "by": message.by or None,
        "ack": message.acknowledged_ms,
        "text": {"vi": message.text_vi, "en": message.text_en},
        "communes": list(message.communes) or None,
    }
    content = {
        "pt": message.point,
        "ind": "gw.alarm",
        "tg": {"of": message.indicator, "rule": message.rule},
        "k": "event",
        "t1": message.at_ms,
        "v": 0 if is_over else message.level,
        "q": "good",
        "al": {key: each for key, each in said.items() if _plain(each) is not None},
    }
    return _message(content)[1:]


def envelope(head: Letterhead, batch: Batch, sent_ms: int, *, synced: bool) -> bytes:
    """A batch as it goes on the wire (`tele/1`). Records of the BACK lane are marked historical (`"h":true`)."""
    back = batch.lane is Lane.BACK
    opening = (
        f'{{"s":"tele/1","gw":"{head.gateway}","ep":"{head.epoch}","sid":{head.session},"sent":{sent_ms},'
        f'"clk":"{_clk(synced)}","cat":"{head.catalogue}","lane":"{"back" if back else "live"}",'
        f'"lo":{batch.lo},"hi":{batch.hi},"n":{batch.n},"m":['
    )
    return opening.encode() + (historical(batch.body) if back else batch.body) + b"]}"


def historical(body: bytes) -> bytes:
    """Marks every record of a batch's body as historical, without parsing it.

    Safe because the bytes `},{"rid":` can only be the seam between two records: inside a JSON string every quote
    is escaped, so the string `},{"rid":` is written `},{\\"rid\\":`, and `record` writes an object in a list whose
    first key is `rid` with a blank before it. The store writes the seam without spaces.
    """
    return b'{"h":true,' + body[1:].replace(b'},{"rid":', b'},{"h":true,"rid":')


def packed(payload: bytes) -> bytes:
    """The payload compressed. The same input gives the same bytes (no time stamp inside)."""
    return gzip.compress(payload, compresslevel=6, mtime=0)


def catalogue(
    gateway: str,
    site: str,
    place: Mapping[str, Any],
    signals: Iterable[Signal],
    *,
    geo: Mapping[str, Any] | None = None,
    meanings: Mapping[str, Any] | None = None,
) -> Catalogue:
    """The retained `cat/1` message: points, indicators, units, kinds, periods, names, place.

    `place` holds province and commune codes (strings) and lat, lon in degrees, with names and the list they come from;
    `geo`, a GeoJSON FeatureCollection, holds zones, routes and where points are (`config.geography`); `meanings`, what
    codes, agencies and limits are (`config.meanings`). The hash depends on the content only, not on the order of the
    signals.
    """
    points = [_point(signal) for signal in sorted(signals, key=lambda signal: signal.id)]
    about = {**({"geo": geo} if geo else {}), **(meanings or {})}
    content = {"gw": gateway, "site": site, "place": dict(place), **about, "points": points}
    digest = sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:8]
    return Catalogue(_message({"s": "cat/1", "cat": digest, **content}), digest)


def _point(signal: Signal) -> dict[str, Any]:
    point: dict[str, Any] = {
        "id": signal.id,
        "pt": signal.point,
        "ind": signal.indicator,
        "u": signal.unit,
        "k": str(signal.kind),
        "every_s": signal.every_s,
        "window_s": signal.window_s,
        "fwd": str(signal.forward),
    }
    if signal.tags:
        point["tg"] = dict(sorted(signal.tags.items()))
    if signal.writable:
        point["w"] = True
    names = {"en": signal.name_en, "vi": signal.name_vi}
    if any(names.values()):
        point["name"] = {language: name for language, name in names.items() if name}
    return point


def birth(
    head: Letterhead, span: tuple[int, int], now_ms: int, *, synced: bool, about: Mapping[str, Any] | None = None
) -> bytes:
    """The retained `state/1` message of a gateway that is there. `about` adds software version, boot id and so on."""
    low, high = span
    return _message(
        {
            "s": "state/1",
            "online": True,
            "gw": head.gateway,
            "sid": head.session,
            "ep": head.epoch,
            "ts": now_ms,
            "clk": _clk(synced),
            "cat": head.catalogue,
            "rid_lo": low,
            "rid_hi": high,
            **(about or {}),
        }
    )


def death(gateway: str, session: int, *, why: str = "", span: tuple[int, int] | None = None) -> bytes:
    """`state/1` of a gateway that is gone: as a will (no time in it: it is frozen at CONNECT), or before a clean
    stop with the reason and the span of records."""
    message: dict[str, Any] = {"s": "state/1", "online": False, "gw": gateway, "sid": session}
    if why:
        message["why"] = why
    if span is not None:
        message["rid_lo"], message["rid_hi"] = span
    return _message(message)


def journal(head: tuple[int, str]) -> dict[str, Any]:
    """The newest entry of the journal, for birth and heartbeat: a journal that is rewritten afterwards does not match
    what was said of it. Nothing for an empty one."""
    seq, digest = head
    return {"journal": {"seq": seq, "head": digest}} if seq else {}


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a heartbeat says of the store. `waiting` by lane: urgent, live, back. `journal`: number and hash of its
    newest entry."""

    span: tuple[int, int]
    waiting: Sequence[Waiting]
    journal: tuple[int, str] = (0, "")


def heartbeat(
    head: Letterhead, pulse: Pulse, now_ms: int, *, synced: bool, health: Mapping[str, Any] | None = None
) -> bytes:
    """The `hb/1` message: alive, what is stored, what waits, and what the gateway says of its own health."""
    low, high = pulse.span
    oldest = [lane.oldest_ms for lane in pulse.waiting if lane.oldest_ms]
    return _message(
        {
            "s": "hb/1",
            "gw": head.gateway,
            "ep": head.epoch,
            "sid": head.session,
            "ts": now_ms,
            "clk": _clk(synced),
            "rid_lo": low,
            "rid_hi": high,
            "wait": {lane.name.lower(): pulse.waiting[lane].records for lane in Lane},
            **({"oldest": min(oldest)} if oldest else {}),
            **journal(pulse.journal),
            **({"health": dict(health)} if health else {}),
        }
    )


def _clk(synced: bool) -> str:
    return "sync" if synced else "unsync"


def _message(content: Mapping[str, Any]) -> bytes:
    return _dumps(content).encode("utf-8", "replace")


def _dumps(content: Mapping[str, Any]) -> str:
    # allow_nan=False: an invalid message must fail here, on our desk, and not at the centre.
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
