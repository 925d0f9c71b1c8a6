from __future__ import annotations

from pathlib import Path
from typing import Any

from drivers.settings import ModbusRtuWire
from tests.drivers.kinds.modbus import EVERY_S, FAULTS, GOOD, WRITES, apart, profiles
from tests.drivers.kit import TIMEOUT_S

__all__ = ["EVERY_S", "FAULTS", "GOOD", "SHARED", "WRITES", "apart", "profiles", "wire"]

SHARED = ""


def wire(base: Path, **more: Any) -> ModbusRtuWire:
    return ModbusRtuWire(kind="modbus_rtu", port="run/tty", baud=115200, **{"timeout_s": TIMEOUT_S, **more})
