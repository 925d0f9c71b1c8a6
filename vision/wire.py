"""What crosses the pipe between the daemon and a camera's child process: JSON, one message a line.

Frames stay in the child. No type here can hold a picture: fields are words, numbers and flags, and a line is at
most 4 kB. The job goes to the child on its standard input, so that a password is in no process list.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from gateway.model.errors import BadFrame

MAX_LINE = 4096


@dataclass(frozen=True, slots=True)
class LineJob:
    """A counting line. `pixels` says whether its ends are pixels or shares of the picture's width and height.
    `ways`: names of crossing towards smaller and towards larger coordinates."""

    name: str
    x1: float
    y1: float
    x2: float
    y2: float
    pixels: bool
    ways: tuple[str, str]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What a child is started with. `end_s` 0: to the end. `loop`: play a file in real time, over and over.
    `classes` of a line empty: count every class."""

    source: str
    stream: bool
    loop: bool
    fps: float
    every_s: float
    model: str
    threads: int
    anchor: str
    lines: tuple[LineJob, ...]
    start_s: float = 0.0
    end_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ready:
    """The source is open and the method loaded. `fps` of the source, 0 if it does not say."""

    method: str
    width: int
    height: int
    fps: float


@dataclass(frozen=True, slots=True)
class Crossing:
    """One object crossed a line at `at_s` (video time of a file, else seconds since the child began).
    `share`: part of the object's votes that name its class."""

    line: str
    cls: str
    way: str
    at_s: float
    share: float


@dataclass(frozen=True, slots=True)
class Report:
    """What was done since the last report; the crossings came before it, one message each.

    state     playing, or why there is no picture: opening, waiting (for the next try)
    scene     "" for a clear view, else what the newest picture suffers from: dark, covered, frozen
    expected  pictures that should have been looked at; `decoded` came, `seen` were looked at with a clear view,
              `blind` were looked at and showed nothing that may be counted
    at_s      position in the source; `whole_s` its length, 0 for a stream
    """

    state: str
    scene: str
    expected: int
    decoded: int
    seen: int
    blind: int
    at_s: float
    whole_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The child gives up. `code` is the code of a GatewayError."""

    code: str
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class Done:
    """A file is at its end; everything was reported before."""

    decoded: int


Message = Ready | Crossing | Report | Failed | Done

_TYPES: dict[str, type[Message]] = {kind.__name__: kind for kind in (Ready, Crossing, Report, Failed, Done)}
_KINDS: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int)}


def encode(message: Message) -> bytes:
    """One line, newline included. ValueError if it would be longer than 4 kB: a bug, not a condition."""
    line = json.dumps({"t": type(message).__name__, **asdict(message)}, separators=(",", ":")).encode() + b"\n"
    if len(line) > MAX_LINE:
        raise ValueError(f"a {type(message).__name__} of {len(line)} bytes does not belong on this wire")
    return line


def decode(line: bytes) -> Message:
    """Raises BadFrame for anything that is not exactly one of the messages."""
    try:
        found: dict[str, Any] = json.loads(line)
        kind: Any = _TYPES[found.pop("t")]
        wanted = {field.name: _KINDS[str(field.type)] for field in fields(kind)}
        if all(type(found[name]) in kinds for name, kinds in wanted.items()):
            message: Message = kind(**found)
            return message
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise BadFrame(
        f"the camera process said something that is no message ({len(line)} bytes)", hint="restart the gateway"
    )


def encode_job(job: Job) -> bytes:
    return json.dumps(asdict(job)).encode()


def decode_job(text: bytes) -> Job:
    """Only ever reads what `encode_job` wrote; KeyError, TypeError or ValueError for anything else."""
    found = json.loads(text)
    lines = [{**line, "ways": tuple(line["ways"]), "classes": tuple(line["classes"])} for line in found.pop("lines")]
    return Job(**found, lines=tuple(LineJob(**line) for line in lines))
