"""The gateway as a source of readings: its own health, and counts that only it knows, through the ordinary path.

A probe is a plain function that gives a value or None. It is called on the event loop and must not wait for anything.
Who composes the gateway says which there are; which codes there can be, and what they are, stands in `OWN`.
"""

from __future__ import annotations

import asyncio
import ctypes
import shutil
import ssl
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gateway.indicators.own_signals import EVERY_S, NAME, signal_of
from gateway.model.clock import Clock
from gateway.model.measure import Reading, Reason, Signal, Value
from gateway.model.ports import DeviceHealth, Driver

Probe = Callable[[], Value | None]

_TIME_ERROR: Final = 5
_STATUS_NANO: Final = 0x2000
_VERSION_TAG: Final = 0xA0
_UTC_TIME: Final = 0x17
_PEM_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_PEM_END: Final = "-----END CERTIFICATE-----"
_CPU: Final = Path("/sys/class/thermal/thermal_zone0/temp")


class OwnSource:
    """A `Driver` without a wire: every probe once a turn, the first turn at once. It has no devices."""

    def __init__(
        self, probes: Mapping[str, Probe], clock: Clock, *, name: str = NAME, every_s: float = EVERY_S
    ) -> None:
        """`probes` by code. Raises KeyError for a code that is not in `OWN`."""
        self._name = name
        self._clock = clock
        self._every_s = every_s
        self._probes = [(signal_of(code, name, every_s), probe) for code, probe in probes.items()]

    @property
    def name(self) -> str:
        return self._name

    @property
    def signals(self) -> Sequence[Signal]:
        return [signal for signal, _ in self._probes]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """There is nothing to free."""

    async def batches(self) -> AsyncGenerator[Sequence[Reading], None]:
        due = self._clock.monotonic()
        while True:
            yield [self._read(signal, probe) for signal, probe in self._probes]
            due = max(due + self._every_s, self._clock.monotonic())
            await asyncio.sleep(due - self._clock.monotonic())

    def health(self) -> dict[str, DeviceHealth]:
        return {}

    def _read(self, signal: Signal, probe: Probe) -> Reading:
        """A probe that finds nothing, or cannot read what it asks, gives a missing reading; a bug goes on upwards."""
        now_ms = self._clock.now_ms()
        try:
            value = probe()
        except OSError:
            value = None
        return (
            Reading.missing(signal.id, now_ms, Reason.NO_ANSWER) if value is None else Reading(signal.id, now_ms, value)
        )


# --- probes -----------------------------------------------------------------------------------------------------------


def devices_online(drivers: Iterable[Driver]) -> float | None:
    """Percent of the devices that are online. None until one was asked, and where there are none."""
    devices = [health for driver in drivers for health in driver.health().values()]
    if not any(device.polls or device.last_seen_ms for device in devices):
        return None
    return 100 * sum(device.online for device in devices) / len(devices)


def disk_free(folder: Path) -> float:
    """Percent of the disk that holds this folder, to two places. Raises OSError."""
    usage = shutil.disk_usage(folder)
    return round(100 * usage.free / usage.total, 2)


def has_cpu_temp() -> bool:
    return _CPU.exists()


def cpu_temp() -> float | None:
    """Degrees Celsius of the kernel's first thermal zone. Raises OSError."""
    text = _CPU.read_text(encoding="ascii").strip()
    return int(text) / 1000 if text.lstrip("-").isdigit() else None


class _Timex(ctypes.Structure):
    """The beginning of struct timex, adjtimex(2); the rest is only room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 448),
    )


def clock_offset() -> float | None:
    """Seconds that the kernel still has to correct; None while nothing keeps its clock right. A time service that
    steers by frequency alone (chrony) leaves 0 here."""
    timex = _Timex()
    state: int = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))  # modes 0 only reads
    if not 0 <= state < _TIME_ERROR:
        return None
    return float(timex.offset) / (1e9 if timex.status & _STATUS_NANO else 1e6)


def cert_days(file: Path, clock: Clock) -> float | None:
    """Days until the first certificate of a PEM file runs out, negative afterwards; None if it cannot be made out.
    Raises OSError."""
    try:
        return (not_after_ms(file.read_text(encoding="utf-8", errors="replace")) - clock.now_ms()) / 86_400_000
    except ValueError:
        return None


def not_after_ms(pem: str) -> int:
    """The end of validity of the first certificate, in ms UTC. Raises ValueError for what is none.

    Only so much of X.509 (RFC 5280, 4.1) as it takes: the fifth field of the signed part, after a version that may be
    left out. Neither the standard library nor what the gateway ships for other reasons gives it more cheaply.
    """
    _, begin, rest = pem.partition(_PEM_BEGIN)
    body, end, _ = rest.partition(_PEM_END)
    if not begin or not end:
        raise ValueError("no certificate in PEM form")
    try:
        (_, certificate), *_ = _items(ssl.PEM_cert_to_DER_cert(begin + body + end))
        (_, signed), *_ = _items(certificate)
        fields = _items(signed)
        _, validity = fields[4 if fields[0][0] == _VERSION_TAG else 3]
        tag, text = _items(validity)[1]
    except IndexError as error:
        raise ValueError("a certificate that ends too early") from error
    moment = text.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 and later are of the last century
        moment = ("19" if moment >= "50" else "20") + moment
    return round(datetime.strptime(moment, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000)


def _items(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element. Raises IndexError when one is cut off."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(der[at : at + size])
            at += size
        if at + length > len(der):
            raise IndexError
        found.append((tag, der[at : at + length]))
        at += length
    return found
