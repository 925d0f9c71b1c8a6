"""Where pictures come from: a file gives them all, a silent camera is given up in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from gateway.model.errors import LinkDown, Unsupported
from vision import source
from vision.source import FileSource, Frame, StreamSource
from vision.wire import Job


def job(path: object, **changes: object) -> Job:
    plain = {"stream": False, "loop": False, "fps": 10.0, "every_s": 1.0, "model": "", "threads": 1}
    return Job(**{"source": str(path), "anchor": "foot", "lines": (), **plain, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 25 pictures a second; the brightness of picture n is 5 n."""
    path = tmp_path_factory.mktemp("clip") / "bright.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for n in range(50):
        writer.write(np.full((48, 64, 3), 5 * n, np.uint8))
    writer.release()
    return path


def frames(one: FileSource) -> list[Frame]:
    found = []
    while not one.ended:
        frame = one.next(1.0)
        if frame is not None:
            found.append(frame)
    one.close()
    return found


def test_a_file_gives_every_wanted_picture_evenly_spread(clip: Path) -> None:
    one = FileSource(job(clip))
    found = frames(one)
    assert len(found) == 20
    assert one.decoded == 50
    gaps = np.diff([frame.at_s for frame in found])
    assert set(np.round(gaps * 25).astype(int)) == {2, 3}
    assert [round(float(frame.picture.mean()) / 5) for frame in found] == [round(frame.at_s * 25) for frame in found]


def test_more_pictures_than_there_are_cannot_be_wanted(clip: Path) -> None:
    one = FileSource(job(clip, fps=60))
    assert one.fps == 25
    assert len(frames(one)) == 50


def test_a_part_of_a_file_comes_with_what_is_needed_around_it(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "WARM_UP_S", 0.4)
    monkeypatch.setattr(source, "COOL_DOWN_S", 0.2)
    found = frames(FileSource(job(clip, fps=25, start_s=0.8, end_s=1.2)))
    assert found[0].at_s == pytest.approx(0.4)
    assert found[-1].at_s == pytest.approx(1.4)


def test_in_real_time_a_file_plays_as_long_as_it_lasts_and_begins_again(clip: Path) -> None:
    one = FileSource(job(clip, loop=True))
    began = time.monotonic()
    found = []
    while time.monotonic() - began < 2.6:
        frame = one.next(0.2)
        if frame is not None:
            found.append((frame.at_s, time.monotonic() - began, frame.session))
    one.close()
    assert not one.ended
    assert all(-0.01 <= came - at_s < 0.2 for at_s, came, _ in found), "neither early nor late"
    assert {session for at_s, _, session in found if at_s < 1.99} == {0}
    assert {session for at_s, _, session in found if at_s > 2.01} == {1}


def test_no_file_may_come_later_and_no_video_never_will(tmp_path: Path) -> None:
    with pytest.raises(LinkDown, match="no such video"):
        FileSource(job(tmp_path / "none.mp4"))
    text = tmp_path / "text.mp4"
    text.write_text("this is no video", encoding="utf-8")
    with pytest.raises(Unsupported, match="cannot be read"):
        FileSource(job(text))


@contextlib.contextmanager
def hung_camera(says: bytes) -> Iterator[int]:
    """Its port. Accepts connections, says that much and then nothing more."""
    held: list[socket.socket] = []
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(server.accept()[0])
                held[-1].sendall(says)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for connection in held:
            connection.close()


def test_a_camera_that_accepts_and_stays_silent_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_TIMEOUT_MS", 700)
    began = time.monotonic()
    with hung_camera(b"") as port, pytest.raises(LinkDown, match="does not answer") as caught:
        StreamSource(job(f"rtsp://127.0.0.1:{port}/stream", stream=True))
    assert time.monotonic() - began < 4
    assert caught.value.hint


def test_a_stream_that_stalls_is_left_in_time_and_opened_anew(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # FFmpeg plays this over HTTP; what matters is that the peer stops in the middle and keeps the connection.
    monkeypatch.setattr(source, "_TIMEOUT_MS", 700)
    monkeypatch.setattr(source, "_BACKOFF_S", (0.05,))
    whole = clip.read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: video/avi\r\nContent-Length: {len(whole)}\r\n\r\n".encode()
    with hung_camera(head + whole[: len(whole) * 3 // 4]) as port:
        one = StreamSource(job(f"http://127.0.0.1:{port}/clip.avi", stream=True))
        sessions, states = collect(one, seconds=5, until=3)
        one.close()
    assert len(sessions) >= 3
    assert states >= {"playing", "waiting"}


def test_a_stream_that_ends_is_opened_anew_and_its_newest_picture_wins(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_BACKOFF_S", (0.05,))
    one = StreamSource(job(clip, stream=True, fps=1000))
    time.sleep(0.3)  # nobody looks for a while
    frame = one.next(1)
    assert frame is not None
    assert frame.at_s > 0.2, "the newest, not the first that waits"
    sessions, _ = collect(one, seconds=5, until=3)
    assert one.decoded >= 50
    one.close()
    assert len(sessions) >= 3
    assert not one._thread.is_alive()


def collect(one: StreamSource, *, seconds: float, until: int) -> tuple[set[int], set[str]]:
    """Sessions of the pictures, and states, until so many sessions were seen."""
    sessions: set[int] = set()
    states: set[str] = set()
    end = time.monotonic() + seconds
    while len(sessions) < until and time.monotonic() < end:
        frame = one.next(0.01)
        states.add(one.state)
        if frame is not None:
            sessions.add(frame.session)
    return sessions, states


def test_a_camera_that_is_not_there_is_link_down_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_TIMEOUT_MS", 700)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(LinkDown):
        StreamSource(job(f"rtsp://127.0.0.1:{port}/stream", stream=True))
