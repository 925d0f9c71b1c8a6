"""A file that only takes up room, to be given up when somebody else has filled the partition.

Once it is full SQLite can neither insert, nor delete, nor carry its write-ahead log over into the file. The ballast is
larger than that log may become, so giving it up is always enough to carry the log over.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger("buffer")

SCANT = 256 * 1024
"""Bytes: with less free the partition counts as full."""


def free_bytes(folder: Path) -> int:
    """What a program without root's privileges may still write there; nothing when the disk does not answer."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def total_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize


def allocated(path: Path) -> int:
    """Bytes a file really takes; 0 when there is none."""
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def reserve(path: Path, size: int) -> None:
    """Allocates the first `size` bytes of a file that is there, as far as the disk has them. What it holds stays."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        log.debug("%s: %s", path, error)
    finally:
        os.close(fd)


class Ballast:
    """`size` bytes beside the store, really allocated; with a size of 0 there is none."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size

    @property
    def held(self) -> bool:
        """All of it is there; true when there is to be none."""
        return self.size == 0 or allocated(self.path) >= self.size

    def build(self) -> bool:
        """Makes it, in the right size. False when the disk does not take it; then nothing of it stays."""
        try:
            if self.size == 0 or allocated(self.path) > 2 * self.size:
                self.path.unlink(missing_ok=True)
            if self.size:
                fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
                try:
                    os.posix_fallocate(fd, 0, self.size)
                    os.fsync(fd)
                finally:
                    os.close(fd)
        except OSError as error:
            log.warning("no ballast: %s: %s", self.path, error.strerror)
            self.release()
            return False
        return True

    def release(self) -> bool:
        """Gives it up. True when there was something to give."""
        try:
            self.path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            log.error("the ballast cannot be given up: %s: %s", self.path, error.strerror)
            return False
        return True
