"""Rows that no tree leads to any more: every page of a damaged file is looked at as if it were a table's leaf.

A row found so may have been deleted long ago, or be none at all: the caller must know it by what it holds.
The layout is that of https://www.sqlite.org/fileformat2.html#b_tree_pages.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LEAF = 0x0D
# More than any row of ours takes; what claims more is none.
MOST_BYTES = 1 << 20
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

Values = tuple[Any, ...]


class Pages:
    """The pages of a file, those in its write-ahead log instead of those they replace. A page that the disk does not
    give is an empty one."""

    def __init__(self, file: Path, size: int) -> None:
        self.size = size
        self._file = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        self.count = os.fstat(self._file).st_size // size
        log = file.with_name(file.name + "-wal")
        self._log = log.read_bytes() if log.exists() else b""
        self._in_log: dict[int, int] = {}
        for at in range(32, len(self._log) - 24 - size + 1, 24 + size):
            if self._log[at + 8 : at + 16] == self._log[16:24]:
                self._in_log[int.from_bytes(self._log[at : at + 4], "big")] = at + 24
        self.count = max(self.count, *self._in_log, 0)

    def close(self) -> None:
        os.close(self._file)

    def __getitem__(self, number: int) -> bytes:
        at = self._in_log.get(number)
        if at is not None:
            return self._log[at : at + self.size]
        try:
            return os.pread(self._file, self.size, (number - 1) * self.size).ljust(self.size, b"\0")
        except OSError:
            return bytes(self.size)


def rows(pages: Pages, types: str, over: Callable[[], bool]) -> Iterator[Values]:
    """(rowid, value, ...) of whatever looks like a row of these columns; `types` has a letter for each: `0` for the one
    that is the rowid, `i` an integer, `b` a blob."""
    for number in range(2, pages.count + 1):
        if over():
            return
        page = pages[number]
        if page[0] != LEAF:
            continue
        cells = int.from_bytes(page[3:5], "big")
        for at in struct.unpack(f">{cells}H", page[8 : 8 + 2 * cells]) if 8 + 2 * cells <= pages.size else ():
            try:
                yield _row(pages, page, at, types)
            except (IndexError, ValueError):
                continue


def _row(pages: Pages, page: bytes, at: int, types: str) -> Values:
    """Raises IndexError, ValueError for what is no such row."""
    length, at = _varint(page, at)
    rowid, at = _varint(page, at)
    if length > MOST_BYTES:
        raise ValueError(length)
    record = _payload(pages, page, at, length)
    end, at = _varint(record, 0)
    values: list[Any] = [rowid]
    start = end
    for kind in types:
        serial, at = _varint(record, at)
        size = _size(serial, kind)
        if kind != "0":
            part = record[start : start + size]
            values.append(part if kind == "b" else int.from_bytes(part, "big", signed=True) if size else serial - 8)
        start += size
    if at != end or start != len(record):
        raise ValueError("not of these columns")
    return tuple(values)


def _size(serial: int, kind: str) -> int:
    if kind == "0" and serial == 0:
        return 0
    if kind == "i" and (serial in _INTEGERS or serial in (8, 9)):
        return _INTEGERS.get(serial, 0)
    if kind == "b" and serial >= 12 and serial % 2 == 0:
        return (serial - 12) // 2
    raise ValueError(serial)


def _payload(pages: Pages, page: bytes, at: int, length: int) -> bytes:
    usable = pages.size
    if length <= usable - 35:
        return page[at : at + length]
    least = (usable - 12) * 32 // 255 - 23
    here = least + (length - least) % (usable - 4)
    if here > usable - 35:
        here = least
    parts, left = [page[at : at + here]], length - here
    number = int.from_bytes(page[at + here : at + here + 4], "big")
    while left > 0:
        if not 2 <= number <= pages.count:
            raise ValueError(number)
        more = pages[number]
        parts.append(more[4 : 4 + left])
        left -= usable - 4
        number = int.from_bytes(more[:4], "big")
    return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for step in range(9):
        byte = data[at + step]
        if step == 8:
            value = value << 8 | byte
        else:
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value, at + step + 1
    return value, at + 9
