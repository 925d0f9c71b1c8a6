"""A chip of the kernel's own simulator (module gpio-sim), driven through configfs. Needs root."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

_HOME = Path("/sys/kernel/config/gpio-sim")


def why_not() -> str:
    """Why there is no simulated chip to be had here; empty if there is one."""
    if not _HOME.is_dir():
        return "this kernel has no gpio-sim: modprobe gpio-sim, and mount configfs"
    return "" if os.access(_HOME, os.W_OK) else "gpio-sim needs root"


class GpioSim:
    """A chip with eight pins. Its pins are moved by their simulated resistors."""

    def __init__(self, name: str) -> None:
        self._device = _HOME / name

    def __enter__(self) -> Self:
        bank = self._device / "bank0"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text("8")
        self.plug()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.unplug()
        (self._device / "bank0").rmdir()
        self._device.rmdir()

    @property
    def path(self) -> Path:
        return Path("/dev") / self._chip

    def plug(self) -> None:
        (self._device / "live").write_text("1")
        self._chip = (self._device / "bank0" / "chip_name").read_text().strip()
        platform = (self._device / "dev_name").read_text().strip()
        self._lines = Path("/sys/devices/platform") / platform / self._chip

    def unplug(self) -> None:
        if (self._device / "live").read_text().strip() == "1":
            (self._device / "live").write_text("0")

    def set(self, pin: int, level: int) -> None:
        (self._lines / f"sim_gpio{pin}" / "pull").write_text("pull-up" if level else "pull-down")
