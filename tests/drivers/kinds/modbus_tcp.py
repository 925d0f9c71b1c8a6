from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.settings import ModbusTcpWire
from tests.drivers.kinds.modbus import EVERY_S, FAULTS, GOOD, WRITES, apart, profiles
from tests.drivers.kit import TIMEOUT_S, free_port

__all__ = ["EVERY_S", "FAULTS", "GOOD", "SHARED", "WRITES", "apart", "profiles", "wire"]

SHARED = "a TCP host decides itself how many connections it takes"


def wire(base: Path, **more: Any) -> ModbusTcpWire:
    return ModbusTcpWire(kind="modbus_tcp", host="127.0.0.1", port=free_port(), **{"timeout_s": TIMEOUT_S, **more})
