"""Modbus requests as bytes, and what a good answer to each looks like.

pymodbus encodes; its transaction layer is not used. It takes a late answer of a serial line for the answer to
the next request, accepts short ones, and repeats writes; the lines of this room do none of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pymodbus.constants import ExcCodes
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import (
    ReadCoilsRequest,
    ReadDiscreteInputsRequest,
    WriteMultipleCoilsRequest,
    WriteSingleCoilRequest,
)
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from drivers.profiles import Table
from gateway.model.errors import BadFrame, DeviceRefused, DriverError, NoAnswer

_READS: Final[dict[Table, type[ModbusPDU]]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_REFUSALS: Final[dict[int, tuple[str, str]]] = {
    ExcCodes.ILLEGAL_FUNCTION: ("it does not know this function", "check the table of the point in the profile"),
    ExcCodes.ILLEGAL_ADDRESS: (
        "it has no such address",
        "check `at` in the profile; if the manual counts from 1, write first_address: 1",
    ),
    ExcCodes.ILLEGAL_VALUE: ("it does not take this value or length", "check the value, or lower limits.max_registers"),
    ExcCodes.DEVICE_FAILURE: ("it failed inside", "look at the device's own display or log"),
    ExcCodes.ACKNOWLEDGE: ("it is still working on it", "ask again later"),
    ExcCodes.DEVICE_BUSY: ("it is busy", "ask it less often, or raise limits.quiet_ms"),
}
_GATEWAY_CODES: Final = frozenset({ExcCodes.GATEWAY_PATH_UNAVIABLE, ExcCodes.GATEWAY_NO_RESPONSE})


@dataclass(frozen=True, slots=True)
class Request:
    """One request without unit number, and its good answer: `expect` begins it, `length` is its whole length.

    pdu, expect and length count the function code and leave out unit number, checksum and TCP header.
    `table` and `start` say where it reads or writes.
    """

    pdu: bytes
    expect: bytes
    length: int
    table: Table
    start: int

    def is_answered_by(self, pdu: bytes) -> bool:
        return len(pdu) == self.length and pdu.startswith(self.expect)


def read(table: Table, start: int, count: int) -> Request:
    """Reads `count` bits or registers. The answer's values begin at its third byte."""
    message = _READS[table](address=start, count=count)
    size = (count + 7) // 8 if table in {"coil", "discrete"} else 2 * count
    function = message.function_code
    return Request(bytes((function,)) + message.encode(), bytes((function, size)), 2 + size, table, start)


def write_coil(at: int, words: Sequence[int], *, single: bool = True) -> Request:
    """One coil, 0 or 1: function 5, or 15 if not `single`."""
    on = [bool(word) for word in words]
    if single:
        return _echoed(WriteSingleCoilRequest(address=at, bits=on), "coil", at)
    return _acknowledged(WriteMultipleCoilsRequest(address=at, bits=on), "coil", at)


def write_registers(at: int, words: Sequence[int], *, single: bool = True) -> Request:
    """Function 6 for one register, 16 for more; 16 always if not `single`."""
    if single and len(words) == 1:
        return _echoed(WriteSingleRegisterRequest(address=at, registers=list(words)), "holding", at)
    return _acknowledged(WriteMultipleRegistersRequest(address=at, registers=list(words)), "holding", at)


def _echoed(message: ModbusPDU, table: Table, at: int) -> Request:
    """The answer repeats the request."""
    pdu = bytes((message.function_code,)) + message.encode()
    return Request(pdu, pdu, len(pdu), table, at)


def _acknowledged(message: ModbusPDU, table: Table, at: int) -> Request:
    """The answer repeats address and number."""
    pdu = bytes((message.function_code,)) + message.encode()
    return Request(pdu, pdu[:5], 5, table, at)


def refusal(code: int, where: str) -> DriverError:
    """The error of an exception answer. A TCP gateway's "no answer from the unit behind me" is NoAnswer."""
    if code in _GATEWAY_CODES:
        return NoAnswer(
            "the gateway in front of it got no answer", where=where, hint="check power, unit number and wiring"
        )
    what, hint = _REFUSALS.get(code, ("it refused", "look the code up in its manual"))
    return Refused(code, what, where=where, hint=hint)


class Refused(DeviceRefused):
    """An exception answer with its code."""

    def __init__(self, exception: int, what: str, *, where: str, hint: str) -> None:
        super().__init__(f"{what} (Modbus exception {exception})", where=where, hint=hint)
        self.exception = exception

    @property
    def is_accepted(self) -> bool:
        """True when the device took the request and needs longer for it than an answer may take."""
        return self.exception == ExcCodes.ACKNOWLEDGE

    @property
    def is_about_the_range(self) -> bool:
        """True when a smaller range may be taken."""
        return self.exception in {ExcCodes.ILLEGAL_ADDRESS, ExcCodes.ILLEGAL_VALUE}


def check(request: Request, pdu: bytes, where: str) -> DriverError | None:
    """None when `pdu` is the good answer to `request`, else what is wrong with it."""
    if request.is_answered_by(pdu):
        return None
    if len(pdu) == 2 and pdu[0] == request.pdu[0] | 0x80:
        return refusal(pdu[1], where)
    return BadFrame(
        f"an answer of {len(pdu)} bytes that does not fit the request", where=where, hint="check unit numbers"
    )
