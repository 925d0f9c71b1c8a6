"""The error tree. Every error has a code, a place, a hint a technician can act on, and says whether waiting helps.

    GatewayError
      ConfigError      findings of a document
      DriverError      LinkDown (retry; PortBusy) | NoAnswer (retry) | BadFrame (retry) | DeviceRefused | Unsupported
      StoreError       StoreFull | StoreDamaged | StoreBusy (retry) | StoreReadOnly | StoreDiskFailed (retry)
      UplinkError      Unreachable (retry) | NotAllowed | Rejected
      CommandRefused
      BadArgument      of a verb
      NotRunning       (retry)

Codes are explained, in English and Vietnamese, in `gateway.model.codes`; `gateway explain CODE` prints them.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """`where` names the wire, device, file or broker; `hint` says what a person can do about it."""

    code: ClassVar[str] = "gateway-error"
    retry: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" (hint: {self.hint})" if self.hint else ""
        return f"[{self.code}] {place}{self.what}{hint}"


class ConfigError(GatewayError):
    code = "config-invalid"


class DriverError(GatewayError):
    code = "driver-error"


class LinkDown(DriverError):
    """The whole wire is gone: port missing, connection refused or closed."""

    code = "link-down"
    retry = True


class PortBusy(LinkDown):
    """Another program has the port or the device's only connection."""

    code = "port-busy"


class NoAnswer(DriverError):
    code = "no-answer"
    retry = True


class BadFrame(DriverError):
    """Bytes came that are not a valid answer: checksum, length, or a wrong unit."""

    code = "bad-frame"
    retry = True


class DeviceRefused(DriverError):
    """The device answered that it will not: an exception reply."""

    code = "device-refused"


class Unsupported(DriverError):
    code = "unsupported"


class StoreError(GatewayError):
    code = "store-error"


class StoreFull(StoreError):
    code = "store-full"


class StoreDamaged(StoreError):
    code = "store-damaged"


class StoreBusy(StoreError):
    code = "store-busy"
    retry = True


class StoreReadOnly(StoreError):
    """Nothing can be written: rights, or a disk mounted read-only."""

    code = "store-read-only"


class StoreDiskFailed(StoreError):
    """The disk answered a write with an error of its own."""

    code = "store-disk-failed"
    retry = True


class UplinkError(GatewayError):
    code = "uplink-error"


class Unreachable(UplinkError):
    code = "broker-unreachable"
    retry = True


class NotAllowed(UplinkError):
    """The broker knows us and says no: credentials, or an ACL."""

    code = "broker-not-allowed"


class Rejected(UplinkError):
    """This one message will never be taken: too large, or refused by the broker with a reason."""

    code = "record-rejected"


class CommandRefused(GatewayError):
    code = "command-refused"


class BadArgument(GatewayError):
    """A verb was called with something it cannot use."""

    code = "bad-argument"


class NotRunning(GatewayError):
    """A verb asks a running gateway, and none answers."""

    code = "not-running"
    retry = True
