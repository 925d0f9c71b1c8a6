"""A camera's own process: frames in, counts out. Started by name, never imported by the daemon.

    python -m vision.child < job.json        a technician can run it by hand on a recorded file

Whatever goes wrong here ends this process with one last message. Its main is one of the three places of the
house that may catch everything.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable

from gateway.model.errors import GatewayError
from vision.wire import Done, Failed, Job, Message, Ready, Report, decode_job, encode

Send = Callable[[Message], None]

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Exit code 0 for a file that was read to its end, 1 after a Failed message."""
    _close_the_doors()
    send = _sender()
    try:
        run(decode_job(sys.stdin.buffer.read()), send)
    except BrokenPipeError:  # the daemon is gone; there is nobody left to tell
        return 1
    except GatewayError as error:
        send(Failed(error.code, error.what, error.hint))
        return 1
    except ImportError as error:
        hint = 'pip install "ioc-edge-gateway[vision]"'
        send(Failed("unsupported", f"the vision extra is not installed (no {error.name or 'module'})", hint))
        return 1
    except Exception as error:  # noqa: BLE001 - see the docstring of this module
        # Type and place only: an exception's own text may show the contents of an array.
        place = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__} in {os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - a name
        send(Failed("driver-error", what, "this is a mistake in the program: report it with this line"))
        return 1
    return 0


def run(job: Job, send: Send) -> None:
    """Reads the source to its end, for ever if it has none."""
    from vision.chain import Chain
    from vision.source import open_source

    source = open_source(job)
    try:
        chain = Chain(job, (source.width, source.height), source.fps)
        send(Ready(chain.method, source.width, source.height, source.fps))
        tally = Tally(job.every_s, source.fps if job.stream or job.loop else 0.0)
        while not source.ended:
            frame = source.next(tally.left_s())
            if frame is not None:
                crossings = chain.look(frame)
                tally.looked(frame.at_s, blind=crossings is None)
                for crossing in crossings or ():
                    send(crossing)
            if tally.left_s() <= 0 or source.ended:
                send(tally.report(source.state, chain.scene, source.decoded, source.whole_s))
        send(Done(source.decoded))
    finally:
        source.close()


class Tally:
    """Counts pictures from report to report. `fps` 0: whatever comes is what was expected."""

    def __init__(self, every_s: float, fps: float) -> None:
        self._every_s, self._fps = every_s, fps
        self._began = time.monotonic()
        self._decoded = 0
        self._owed = 0.0
        self._seen = self._blind = 0
        self._at_s = 0.0

    def left_s(self) -> float:
        """Seconds until the next report is due, never negative."""
        return max(0.0, self._began + self._every_s - time.monotonic())

    def looked(self, at_s: float, *, blind: bool) -> None:
        self._at_s = at_s
        self._blind += blind
        self._seen += not blind

    def report(self, state: str, scene: str, decoded: int, whole_s: float) -> Report:
        """Closes the period. `decoded` counts from the start."""
        now = time.monotonic()
        looked = self._seen + self._blind
        # Fractions are carried over, so that 8 pictures a second are expected to be 8, not 7 or 9.
        self._owed += (now - self._began) * self._fps if self._fps else looked
        expected = int(self._owed)
        self._owed -= expected
        report = Report(
            state, scene, expected, decoded - self._decoded, self._seen, self._blind, round(self._at_s, 3), whole_s
        )
        self._began, self._decoded, self._seen, self._blind = now, decoded, 0, 0
        return report


def _close_the_doors() -> None:
    """No core dump may hold a frame, and a child whose parent died must not go on alone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _sender() -> Send:
    """Keeps the pipe for messages only: whatever a library prints goes to standard error."""
    pipe = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def send(message: Message) -> None:
        pipe.write(encode(message))

    return send


if __name__ == "__main__":
    sys.exit(main())
