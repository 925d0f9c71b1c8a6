"""CPU time of our chain per decoded picture, against bare decoding and onnxruntime. By hand:

    python tests/bench/bench_vision.py [FOLDER_OF_CLIPS]

The bare loop decodes every picture and runs the model on every third with the same session settings; ours does the
same and counts. CPU seconds of the process, one thread, best of two.
"""

import json
import os
import sys
import time
from pathlib import Path

import cv2

from vision.chain import Chain
from vision.detect import Detector
from vision.source import FileSource
from vision.wire import Job, LineJob

ROOT = Path(__file__).parents[2]
EVERY = 3


def cpu(work):
    """(pictures, CPU ms a picture), best of two."""
    best = None
    for _ in range(2):
        began = time.process_time()
        pictures = work()
        spent = 1000 * (time.process_time() - began) / pictures
        best = min(best, spent) if best else spent
    return pictures, best


def bare(clip, model):
    detector = Detector(model)
    canvas = None

    def work():
        nonlocal canvas
        capture, pictures = cv2.VideoCapture(str(clip)), 0
        while capture.grab():
            fine, picture = capture.retrieve()
            if fine and pictures % EVERY == 0:
                canvas = canvas or detector._layout.prepare(picture, detector._shape)[0]
                detector._session.run(None, canvas)
            pictures += 1
        return pictures

    return work


def ours(clip, model, entry):
    line = entry["line"]
    ends = (line["x1"], line["y1"], line["x2"], line["y2"])
    job = Job(
        source=str(clip), stream=False, loop=False, fps=entry["fps"] / EVERY, every_s=1, model=str(model or ""),
        threads=1, anchor="foot", lines=(LineJob("l", *ends, True, ("up", "down"), ()),),
    )  # fmt: skip

    def work():
        source = FileSource(job)
        chain = Chain(job, (source.width, source.height), source.fps)
        while not source.ended:
            frame = source.next(1)
            if frame:
                chain.look(frame)
        return source.decoded

    return work


def main():
    cv2.setNumThreads(1)
    default = os.environ.get("GATEWAY_TEST_DATA", ROOT.parent / "shared" / "data")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    model = folder / "models" / "yolox_nano_416.onnx"
    entries = {entry["id"]: entry for entry in json.loads((folder / "truth.json").read_text(encoding="utf-8"))}
    print(f"{'clip':16} {'pictures':>8} {'bare ms':>8} {'ours ms':>8} {'ratio':>6} {'motion ms':>10}")
    for name in ("hyderabad_line", "plaza_line"):
        clip = folder / entries[name]["file"]
        pictures, floor = cpu(bare(clip, model))
        _, spent = cpu(ours(clip, model, entries[name]))
        _, motion = cpu(ours(clip, None, entries[name]))
        print(f"{name:16} {pictures:8} {floor:8.2f} {spent:8.2f} {spent / floor:6.2f} {motion:10.2f}")


if __name__ == "__main__":
    main()
