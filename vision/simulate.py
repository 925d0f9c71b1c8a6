"""A traffic clip with a known truth, for the demo and for tests: the other end of the camera's wire.

    python -m vision.simulate traffic.mp4 --seconds 20 --line 0.05,0.55,0.95,0.55

Writes the clip and, beside it with the suffix .json, every crossing of the line. A road seen from a gantry:
two lanes each way, vehicles of several sizes and speeds, camera noise. No real pictures are in it.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.model.errors import GatewayError

WIDTH, HEIGHT, FPS = 640, 360, 15.0
LANES = (150.0, 255.0, 385.0, 490.0)  # x of the middle of each lane; the two left ones come towards the camera
DEFAULT_LINE = (0.05, 0.55, 0.95, 0.55)

# Length and width in pixels: motorbike, car, van, bus. Shares of the traffic.
_SIZES = ((34, 16), (58, 36), (72, 42), (110, 52))
_SHARES = (0.4, 0.35, 0.15, 0.1)
_SPEEDS = (90.0, 190.0)  # pixels a second
_GAP_S = (0.3, 2.2)  # between two vehicles of a lane, beyond what keeps them apart
_BLANK_S = 1.5  # nothing drives at first: motion needs an empty road to learn

Ends = tuple[float, float, float, float]
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Vehicle:
    """Enters the picture at `from_s` and drives straight through. `way` +1 down, -1 up; pixels, seconds."""

    lane: int
    from_s: float
    speed: float
    way: int
    length: int
    width: int
    colour: tuple[int, int, int]

    def foot_y(self, at_s: float) -> float:
        """y of the lower edge of its box."""
        gone = (at_s - self.from_s) * self.speed
        return gone if self.way > 0 else HEIGHT + self.length - gone

    def gone_s(self) -> float:
        """When it has left the picture."""
        return self.from_s + (HEIGHT + self.length) / self.speed


@dataclass(frozen=True, slots=True)
class Passage:
    """The lower edge of a vehicle crosses the line: picture number, video time, way."""

    frame: int
    t_s: float
    direction: str


def traffic(seconds: float, seed: int = 1) -> list[Vehicle]:
    """Vehicles that have left the picture when `seconds` of video are over."""
    dice = np.random.default_rng(seed)
    vehicles = []
    for lane in range(len(LANES)):
        at_s = _BLANK_S + float(dice.uniform(0, 2))
        while True:
            length, width = _SIZES[int(dice.choice(len(_SIZES), p=_SHARES))]
            # One speed a lane, nearly: nobody drives through the one ahead.
            speed = _SPEEDS[0] + (_SPEEDS[1] - _SPEEDS[0]) * (lane % 2) + float(dice.uniform(-4, 4))
            colour = tuple(int(shade) for shade in dice.choice((40, 60, 190, 215, 235), 3))
            one = Vehicle(lane, at_s, speed, 1 if lane < 2 else -1, length, width, (colour[0], colour[1], colour[2]))
            if one.gone_s() > seconds:
                break
            vehicles.append(one)
            at_s += (length + 30) / speed + float(dice.uniform(*_GAP_S))
    return sorted(vehicles, key=lambda vehicle: vehicle.from_s)


def truth(vehicles: list[Vehicle], line: Ends) -> list[Passage]:
    """Every crossing of `line` (shares of the picture, more horizontal than vertical), in order of time."""
    x1, y1, x2, y2 = (share * side for share, side in zip(line, (WIDTH, HEIGHT, WIDTH, HEIGHT), strict=True))
    passages = []
    for vehicle in vehicles:
        x = LANES[vehicle.lane]
        if not min(x1, x2) <= x <= max(x1, x2):
            continue
        y = y1 + (x - x1) / (x2 - x1) * (y2 - y1)
        way = y if vehicle.way > 0 else HEIGHT + vehicle.length - y
        at_s = vehicle.from_s + way / vehicle.speed
        passages.append(Passage(math.ceil(at_s * FPS), round(at_s, 3), "down" if vehicle.way > 0 else "up"))
    return sorted(passages, key=lambda passage: passage.t_s)


def make_clip(path: Path, seconds: float, *, line: Ends = DEFAULT_LINE, traffic_s: float = 0, seed: int = 1) -> Any:
    """Writes the clip (.avi: MJPEG, else MPEG-4) and its truth beside it (.json), and returns the truth.

    `traffic_s`: the road is empty from then on (0: until the end). The truth: {"width", "height", "fps", "frames",
    "seconds", "line", "crossings": [{"frame", "t_s", "direction"}], "total": {"down": n, "up": n}}.
    The same arguments give the same clip. Raises GatewayError if the file cannot be written.
    """
    vehicles = traffic(traffic_s or seconds, seed)
    frames = round(seconds * FPS)
    code = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), FPS, (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise GatewayError("the clip cannot be written", where=str(path), hint="is the folder there and writable?")
    dice = np.random.default_rng(seed)
    road, noise = _road(dice), _noise(dice)
    try:
        for frame in range(frames):
            writer.write(_draw(road, noise, vehicles, frame))
    finally:
        writer.release()
    passages = truth(vehicles, line)
    told = {
        "width": WIDTH,
        "height": HEIGHT,
        "fps": FPS,
        "frames": frames,
        "seconds": seconds,
        "line": list(line),
        "crossings": [asdict(passage) for passage in passages],
        "total": {way: sum(passage.direction == way for passage in passages) for way in ("down", "up")},
    }
    path.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def _road(dice: np.random.Generator) -> Picture:
    """Grey asphalt with grain, kerbs and lane marks: something for the eye to hold on to."""
    grain = dice.normal(0, 9, (HEIGHT // 2, WIDTH // 2)).astype(np.float32)
    shade = 105 + cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    road: Any = np.repeat(np.clip(shade, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    cv2.rectangle(road, (0, 0), (60, HEIGHT), (70, 110, 80), -1)
    cv2.rectangle(road, (WIDTH - 60, 0), (WIDTH, HEIGHT), (70, 110, 80), -1)
    cv2.line(road, (WIDTH // 2, 0), (WIDTH // 2, HEIGHT), (200, 200, 200), 3)
    for x in (202, 437):
        for y in range(0, HEIGHT, 40):
            cv2.line(road, (x, y), (x, y + 18), (185, 185, 185), 2)
    return np.asarray(road, np.uint8)


def _noise(dice: np.random.Generator) -> list[NDArray[np.int8]]:
    """A few pictures of sensor noise, shown in turn: drawing new noise for each would cost most of the time."""
    return [dice.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.int8) for _ in range(7)]


def _draw(road: Picture, noise: list[NDArray[np.int8]], vehicles: list[Vehicle], frame: int) -> Picture:
    at_s = frame / FPS
    picture: Any = road.copy()
    for vehicle in vehicles:
        if vehicle.from_s <= at_s <= vehicle.gone_s():
            _paint(picture, vehicle, at_s)
    noisy = np.clip(picture.astype(np.int16) + noise[frame % len(noise)], 0, 255)
    return np.asarray(noisy, np.uint8)


def _paint(picture: Any, vehicle: Vehicle, at_s: float) -> None:
    bottom = vehicle.foot_y(at_s)
    left = LANES[vehicle.lane] - vehicle.width / 2
    high, wide = vehicle.length, vehicle.width

    def block(box: tuple[float, float, float, float], colour: tuple[int, int, int]) -> None:
        """`box` in shares of the vehicle: left, top, right, bottom."""
        corner = (round(left + box[0] * wide), round(bottom - high + box[1] * high))
        other = (round(left + box[2] * wide) - 1, round(bottom - high + box[3] * high) - 1)
        cv2.rectangle(picture, corner, other, colour, -1)

    block((0, 0, 1, 1), vehicle.colour)
    block((0.12, 0.25, 0.88, 0.4), (30, 30, 30))
    block((0.12, 0.7, 0.88, 0.8), (45, 40, 40))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vision.simulate", description="Make a traffic clip with a truth.")
    parser.add_argument("out", type=Path, help="the clip; its truth is written beside it as .json")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the clip")
    parser.add_argument("--traffic-seconds", type=float, default=0.0, help="the road is empty after this (0: never)")
    parser.add_argument("--line", default=",".join(map(str, DEFAULT_LINE)), help="x1,y1,x2,y2 as shares 0 to 1")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another traffic")
    given = parser.parse_args()
    x1, y1, x2, y2 = (float(part) for part in given.line.split(","))
    make_clip(given.out, given.seconds, line=(x1, y1, x2, y2), traffic_s=given.traffic_seconds, seed=given.seed)


if __name__ == "__main__":
    main()
