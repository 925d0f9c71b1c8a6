"""What a person wants to know of a station's files."""

from __future__ import annotations

import logging
from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """Times in ms UTC, 0 = never."""

    written: int = 0
    newest_ms: int = 0
    waiting: int = 0
    sent: int = 0
    last_sent: str = ""
    last_sent_ms: int = 0
    refused: int = 0


class Trouble:
    """What does not work now, by its name: one line in the log when it breaks, one when it is well again."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._broken: dict[str, str] = {}

    def __contains__(self, what: str) -> bool:
        return what in self._broken

    def text(self) -> str:
        return "; ".join(self._broken.values())

    def broke(self, what: str, error: object) -> None:
        if what not in self._broken:
            self._log.warning("%s", error)
        self._broken[what] = str(error)

    def mended(self, what: str) -> None:
        if self._broken.pop(what, None) is not None:
            self._log.warning("%s goes on", what)

    def say(self, text: str, *about: object) -> None:
        self._log.error(text, *about)
