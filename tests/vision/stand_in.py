"""A camera's child that does as it is told: python stand_in.py MODE [FILE]. Speaks the real wire."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from vision.wire import Crossing, Done, Failed, Message, Ready, Report, decode_job, encode

GOOD = Report("playing", "", 2, 2, 2, 0, 1.0, 0.0)


def say(*messages: Message) -> None:
    for message in messages:
        os.write(1, encode(message))


def report(count: int) -> None:
    """`count` periods: one vehicle up and two down in each."""
    for number in range(count):
        ways = ("down", "up", "down")
        say(*(Crossing("l1", "vehicle", way, float(number), 1.0) for way in ways), GOOD)
        time.sleep(0.05)


def sleep_for_ever() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)


def has_a_hanging_child() -> None:
    os.fork()
    sleep_for_ever()


def hangs() -> None:
    say(Crossing("l1", "vehicle", "up", 9.0, 1.0))
    sleep_for_ever()


def garbage() -> None:
    os.write(1, b'{"t":"Report","picture":[1,2,3]}\n')
    sleep_for_ever()


def endless_line() -> None:
    os.write(1, b"x" * 20_000)
    sleep_for_ever()


AT_ONCE = {
    "deaf": sleep_for_ever,
    "refused": lambda: say(Failed("unsupported", "the vision extra is not installed", "install it")),
    "no camera": lambda: say(Failed("link-down", "no picture", "check its cable")),
}
AFTER_TWO_REPORTS = {
    "good": lambda: report(1000),
    "hangs": hangs,
    "has a hanging child": has_a_hanging_child,
    "crashes": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "gives up": lambda: say(Failed("driver-error", "ValueError in chain.py:12", "report it")),
    "garbage": garbage,
    "endless line": endless_line,
    "ends": lambda: say(Done(10)),
}
FOR_EVER = {
    "covered": Report("playing", "covered", 2, 2, 0, 2, 1.0, 0.0),
    "half covered": Report("playing", "covered", 4, 4, 2, 2, 1.0, 0.0),
    "stream lost": Report("waiting", "", 2, 0, 0, 0, 1.0, 0.0),
    "silent stream": Report("playing", "", 2, 0, 0, 0, 1.0, 0.0),
    "too slow": Report("playing", "", 10, 10, 3, 0, 1.0, 0.0),
    "far too slow": Report("playing", "", 10, 10, 0, 0, 1.0, 0.0),
}


def main(mode: str, *more: str) -> None:
    decode_job(sys.stdin.buffer.read())
    if mode in AT_ONCE:
        AT_ONCE[mode]()
        return
    say(Ready("motion", 640, 360, 10.0))
    if mode == "hangs once":
        mode = "good" if Path(more[0]).exists() else "hangs"
        Path(more[0]).write_text(str(os.getpid()), encoding="ascii")
    report(2)
    if mode in AFTER_TWO_REPORTS:
        AFTER_TWO_REPORTS[mode]()
    while mode in FOR_EVER:
        say(FOR_EVER[mode])
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
