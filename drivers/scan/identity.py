"""What a Modbus device says of itself: Read Device Identification (function 43, type 14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drivers.modbus.line import Line
from drivers.modbus.messages import Request
from gateway.model.errors import BadFrame, DeviceRefused, NoAnswer

_FUNCTION, _TYPE, _REGULAR = 0x2B, 0x0E, 0x02
_NAMES: Final = {0: "vendor", 1: "product code", 2: "revision", 3: "url", 4: "product", 5: "model", 6: "application"}
"""Objects of the basic and regular category (Modbus Application Protocol V1.1b3, 6.21)."""
_MOST_PARTS: Final = 4


@dataclass(frozen=True, slots=True)
class _Identify(Request):
    """An answer of any length is a good one if it is whole."""

    def is_answered_by(self, pdu: bytes) -> bool:
        return pdu.startswith(self.expect) and objects(pdu) is not None


async def identity(line: Line, unit: int, wait_s: float) -> dict[str, str]:
    """Its texts by name, as {"vendor": "...", "product code": "..."}; empty if it has none. Raises LinkDown."""
    found: dict[int, str] = {}
    at = 0
    for _ in range(_MOST_PARTS):
        pdu = bytes((_FUNCTION, _TYPE, _REGULAR, at))
        request = _Identify(pdu, pdu[:2], 0, "holding", 0)
        try:
            body = await line.exchange(unit, request, wait_s)
        except (NoAnswer, BadFrame, DeviceRefused):
            break
        found.update(objects(bytes((_FUNCTION,)) + body) or {})
        more, at = body[3], body[4]
        if more != 0xFF:
            break
    return {_NAMES[number]: text for number, text in sorted(found.items()) if number in _NAMES and text}


def objects(pdu: bytes) -> dict[int, str] | None:
    """The objects of an answer by number; None if it is cut off."""
    if len(pdu) < 7:
        return None
    found: dict[int, str] = {}
    cursor = 7
    for _ in range(pdu[6]):
        if len(pdu) < cursor + 2 or len(pdu) < cursor + 2 + pdu[cursor + 1]:
            return None
        text = pdu[cursor + 2 : cursor + 2 + pdu[cursor + 1]].decode("utf-8", errors="replace")
        found[pdu[cursor]] = "".join(c for c in text if c.isprintable()).strip()
        cursor += 2 + pdu[cursor + 1]
    return found
