"""Where pictures come from. A file gives every wanted picture, however long that takes; a stream gives the newest.

Runs in the child only.
"""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.model.errors import LinkDown, Unsupported
from vision.wire import Job

_TIMEOUT_MS = 4000  # OpenCV waits 30 s by default for a silent peer, to open and for each picture
_BACKOFF_S = (1.0, 2.0, 5.0, 10.0, 30.0)
_DEFAULT_FPS = 25.0  # of a file whose header does not say
WARM_UP_S = 2.0  # looked at before `start_s`, so that what crosses at the start is known
COOL_DOWN_S = 1.0  # looked at after `end_s`, so that what crossed at the end has left the dead band


@dataclass(frozen=True, slots=True)
class Frame:
    """`at_s` in video time, or seconds since the source was made. A new `session` means that pictures are missing
    before this one: nothing in it continues anything."""

    at_s: float
    session: int
    picture: NDArray[np.uint8]


class Source(Protocol):
    """`fps` pictures a second are wanted and expected; `decoded` counts what came."""

    width: int
    height: int
    fps: float
    whole_s: float
    decoded: int

    @property
    def state(self) -> str: ...

    @property
    def ended(self) -> bool: ...

    def next(self, wait_s: float) -> Frame | None:
        """The next picture, or None if none came within `wait_s`."""

    def close(self) -> None: ...


def open_source(job: Job) -> Source:
    """Raises LinkDown if there is no such file or stream, Unsupported if a file is no video."""
    return StreamSource(job) if job.stream else FileSource(job)


class FileSource:
    """Drops nothing, so the same file gives the same events on any machine."""

    state = "playing"

    def __init__(self, job: Job) -> None:
        self._path, self._loop = Path(job.source), job.loop
        self._capture = self._open()
        size = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT)
        self.width, self.height, count = (int(self._capture.get(one)) for one in size)
        self.source_fps = float(self._capture.get(cv2.CAP_PROP_FPS)) or _DEFAULT_FPS
        self.fps = min(job.fps, self.source_fps)
        length_s = max(0, count) / self.source_fps
        self._last_s = (job.end_s + COOL_DOWN_S) if job.end_s else float("inf")
        self.whole_s = min(length_s, self._last_s)
        self._first = round(max(0.0, job.start_s - WARM_UP_S) * self.source_fps)
        self.decoded = 0
        self.ended = False
        self._index = 0
        self._session, self._offset_s = 0, 0.0
        self._began = time.monotonic()

    def next(self, wait_s: float) -> Frame | None:
        if self._loop:
            ahead = self._offset_s + self._index / self.source_fps - (time.monotonic() - self._began)
            if ahead > 0:
                time.sleep(min(ahead, wait_s))
            if ahead > wait_s:
                return None
        while self._capture.grab():
            index = self._index
            self._index += 1
            at_s = index / self.source_fps
            if at_s > self._last_s:
                break
            if index < self._first:
                continue
            self.decoded += 1
            if self._wanted(index):
                fine, picture = self._capture.retrieve()
                if fine:
                    return Frame(self._offset_s + at_s, self._session, picture)
            elif self._loop:
                return None
        self._at_end()
        return None

    def close(self) -> None:
        self._capture.release()

    def _wanted(self, index: int) -> bool:
        """Evenly spread over the file: picture 0, and each one at which another 1/fps has passed."""
        step = self.fps / self.source_fps
        return index == 0 or int(index * step + 1e-9) != int((index - 1) * step + 1e-9)

    def _at_end(self) -> None:
        if not self._loop or self._index == 0:
            self.ended = True
            return
        self._capture.release()
        self._capture = self._open()
        self._offset_s += self._index / self.source_fps
        self._index = 0
        self._session += 1

    def _open(self) -> Any:
        if not self._path.is_file():
            raise LinkDown("there is no such video file", where=self._path.name, hint="check `source` in the site file")
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise Unsupported(
                "this file cannot be read as a video", where=self._path.name, hint="use MP4 (H.264) or AVI (MJPEG)"
            )
        return capture


class StreamSource:
    """A thread does nothing but grab and keeps the newest picture; FFmpeg would queue the past otherwise."""

    def __init__(self, job: Job) -> None:
        # Process-wide in OpenCV, which is one more reason for a process per camera. UDP smears pictures.
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "rtsp_transport;tcp"
        self._url = job.source
        self.fps = job.fps
        self.width = self.height = 0
        self.whole_s = 0.0
        self.decoded = 0
        self.ended = False
        self.state = "opening"
        self._began = time.monotonic()
        self._busy_since = self._began
        self._newest: Frame | None = None
        self._session = 0
        self._came = threading.Condition()
        self._closing = threading.Event()
        # A thread stuck in a dead stream cannot be ended, only its process can: it must not hold that up.
        self._thread = threading.Thread(target=self._grab_for_ever, name="grab", daemon=True)
        self._thread.start()
        self._first_picture()

    def next(self, wait_s: float) -> Frame | None:
        if time.monotonic() - self._busy_since > 3 * _TIMEOUT_MS / 1000:
            raise LinkDown("the camera's stream hangs and does not obey its time-out")
        with self._came:
            self._came.wait_for(lambda: self._newest is not None, wait_s)
            frame, self._newest = self._newest, None
        return frame

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=2 * _TIMEOUT_MS / 1000)

    def _first_picture(self) -> None:
        with self._came:
            self._came.wait_for(lambda: self._newest is not None or self.state == "waiting", 4 * _TIMEOUT_MS / 1000)
            if self._newest is None:
                self._closing.set()
                raise LinkDown(
                    "the camera does not answer or sends no picture",
                    hint="check its power, cable and address, and the user and password with any RTSP player",
                )
            self.height, self.width = self._newest.picture.shape[:2]

    def _grab_for_ever(self) -> None:
        tries = 0
        while not self._closing.is_set():
            self._busy_since = time.monotonic()
            before = self.decoded
            # Always a new capture object: an old one that lost its stream often never finds it again.
            self._play_once()
            tries = tries + 1 if self.decoded == before else 0
            with self._came:
                self.state = "waiting"
                self._came.notify_all()
            self._busy_since = float("inf")
            wait_s = _BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)]
            self._closing.wait(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries, hides nothing

    def _play_once(self) -> None:
        self.state = "opening"
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT_MS]
        # The limits are obeyed only with the backend named.
        capture = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, limits)
        self._session += 1
        due = 0.0
        try:
            while not self._closing.is_set() and capture.grab():
                now = self._busy_since = time.monotonic()
                self.decoded += 1
                self.state = "playing"
                if now < due:
                    continue
                due = max(due + 1 / self.fps, now - 1 / self.fps)
                fine, picture = capture.retrieve()
                if fine:
                    self._put(Frame(now - self._began, self._session, np.asarray(picture, np.uint8)))
        finally:
            capture.release()

    def _put(self, frame: Frame) -> None:
        with self._came:
            self._newest = frame
            self._came.notify_all()
