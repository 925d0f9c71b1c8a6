"""Serial ports as drivers open them."""

from __future__ import annotations

import os
from pathlib import Path

from drivers.serial_port import SerialPort, SerialSettings


async def test_a_pty_can_be_opened_again_by_a_wire_with_parity(tmp_path: Path) -> None:
    near, far = os.openpty()
    link = tmp_path / "tty"
    link.symlink_to(os.ttyname(far))
    try:
        for parity in ("even", "even", "none", "odd", "even"):
            port = SerialPort(SerialSettings(link, 9600, parity), "w", lambda _: None, lambda _: None)
            await port.open()
            port.close()
    finally:
        os.close(near)
        os.close(far)
