"""Only numbers and words cross the pipe."""

from __future__ import annotations

import dataclasses
import types
import typing

import pytest

from gateway.model.errors import BadFrame
from vision import wire
from vision.wire import Crossing, Done, Failed, Job, LineJob, Ready, Report

PLAIN = {str, int, float, bool, type(None)}
MESSAGES = (
    Ready("yolox", 640, 360, 25.0),
    Crossing("l1", "motorcycle", "up", 12.375, 0.91),
    Report("playing", "", 8, 25, 8, 0, 12.5, 0.0),
    Failed("unsupported", "the vision extra is not installed", 'pip install "x[vision]"'),
    Done(327),
)
JOB = Job(
    source="rtsp://u:p@camera/1",
    stream=True,
    loop=False,
    fps=8,
    every_s=1,
    model="",
    threads=1,
    anchor="foot",
    lines=(LineJob("l1", 0.1, 0.5, 0.9, 0.5, False, ("up", "down"), ("car", "bus")),),
)


def leaves(kind: object) -> set[object]:
    """Every type that a value of `kind` can be made of. Containers count as what they hold."""
    if dataclasses.is_dataclass(kind):
        return {leaf for hint in typing.get_type_hints(kind).values() for leaf in leaves(hint)}
    parts = [part for part in typing.get_args(kind) if part is not Ellipsis]
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) in {typing.Union, tuple, dict}:
        return {leaf for part in parts for leaf in leaves(part)}
    return {kind}


@pytest.mark.parametrize("kind", [*typing.get_args(wire.Message), Job], ids=lambda kind: kind.__name__)
def test_no_type_can_carry_a_picture(kind: type) -> None:
    assert leaves(kind) <= PLAIN


@pytest.mark.parametrize("kind", typing.get_args(wire.Message), ids=lambda kind: kind.__name__)
def test_what_leaves_the_child_holds_no_container_at_all(kind: type) -> None:
    assert set(typing.get_type_hints(kind).values()) <= PLAIN


def test_the_walk_would_notice() -> None:
    assert not leaves(dict[str, tuple[bytes, ...] | None]) <= PLAIN
    assert not leaves(tuple[memoryview, ...]) <= PLAIN


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: wire.Message) -> None:
    line = wire.encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert wire.decode(line) == message


def test_a_job_comes_back_as_it_was() -> None:
    assert wire.decode_job(wire.encode_job(JOB)) == JOB


def test_a_line_beyond_4_kb_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="does not belong"):
        wire.encode(Failed("driver-error", "x" * 5000, ""))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b'{"t":"Picture"}\n',
        b'{"t":"Job"}\n',
        b'{"t":"Done"}\n',
        b'{"t":"Done","decoded":"many"}\n',
        b'{"t":"Done","decoded":true}\n',
        b'{"t":"Done","decoded":1,"picture":[1,2,3]}\n',
        b'{"t":["Done"],"decoded":1}\n',
        b"\xff\xfe\n",
    ],
)
def test_nonsense_is_a_bad_frame(line: bytes) -> None:
    with pytest.raises(BadFrame):
        wire.decode(line)
