"""The counting rule, on tracks drawn by hand. Boxes are 40 px high, so the dead band is 8 px each side."""

from __future__ import annotations

import random

import pytest

from vision.count import Line, LineCounter, Point

FLAT = Line("l1", 100, 200, 500, 200, ("up", "down"))
STEEP = Line("l2", 300, 100, 300, 400, ("left", "right"))
HEIGHT = 40.0
STEP_S = 0.125


def ways(line: Line, path: list[tuple[float, float] | None], height: float = HEIGHT) -> list[str]:
    """The ways counted for one object on `path`; None: it was not seen at that time."""
    counter = LineCounter(line)
    points = [Point(7, n * STEP_S, *at, height) for n, at in enumerate(path) if at is not None]
    return [event.way for point in points if (event := counter.see(point))]


def walk(*ys: float | None, x: float = 300) -> list[tuple[float, float] | None]:
    return [None if y is None else (x, y) for y in ys]


CASES: dict[str, tuple[list[tuple[float, float] | None], list[str]]] = {
    "straight down": (walk(140, 160, 180, 200, 220, 240), ["down"]),
    "straight up": (walk(260, 240, 220, 200, 180, 160), ["up"]),
    "fast: four pictures in all": (walk(100, 160, 230, 290), ["down"]),
    "fast: three pictures in all, at 5 a second": (walk(110, 170, 230), ["down"]),
    "stops short of the line": (walk(140, 160, 180, 190, 190, 190), []),
    "jitter on the line while standing there": (walk(140, 170, 195, 204, 197, 205, 194, 203, 198, 202), []),
    "stands on the line, then goes on": (walk(140, 170, 199, 203, 198, 202, 199, 230, 260), ["down"]),
    "stands on the line, then goes back": (walk(140, 170, 199, 203, 198, 202, 199, 170, 140), []),
    "parked, its box flickering around the line": (walk(*[196, 205, 193, 207, 201] * 20), []),
    "hidden at the line": (walk(140, 160, 180, None, None, None, None, 240, 260), ["down"]),
    "hidden long at the line": (walk(140, 160, 180, *[None] * 8, 240, 260), ["down"]),
    "crosses and turns back": (walk(150, 180, 220, 240, 220, 180, 150), ["down", "up"]),
    "turns back inside the band": (walk(150, 180, 205, 207, 180, 150), []),
    "passes beyond the right end": (walk(150, 180, 220, 240, x=530), []),
    "passes within the slack of the end": (walk(150, 180, 220, 240, x=510), ["down"]),
    "jumps across as soon as it is seen": (walk(180, 230), []),
    "a part of an object that flickers across": (walk(190.5, 195, 209.5), []),
}


@pytest.mark.parametrize(("path", "expected"), CASES.values(), ids=CASES.keys())
def test_a_path_gives_its_crossings(path: list[tuple[float, float] | None], expected: list[str]) -> None:
    assert ways(FLAT, path) == expected


def test_only_the_point_of_passage_must_lie_on_the_line() -> None:
    slanting_in = [(40.0, 150.0), (80.0, 180.0), (110.0, 205.0), (160.0, 240.0)]
    slanting_past = [(20.0, 150.0), (50.0, 180.0), (80.0, 205.0), (130.0, 240.0)]
    assert ways(FLAT, list(slanting_in)) == ["down"]
    assert ways(FLAT, list(slanting_past)) == []


def test_a_steep_line_counts_left_and_right() -> None:
    assert ways(STEEP, [(x, 250.0) for x in (240, 270, 290, 320, 350)]) == ["right"]
    assert ways(STEEP, [(x, 250.0) for x in (350, 320, 290, 270, 240)]) == ["left"]


@pytest.mark.parametrize("line", [FLAT, STEEP, Line("l3", 100, 150, 500, 250, ("up", "down"))])
def test_ways_belong_to_the_picture_not_to_the_order_of_the_ends(line: Line) -> None:
    turned = Line(line.name, line.x2, line.y2, line.x1, line.y1, line.ways)
    path = [(250.0 + 30 * n, 120.0 + 45 * n) for n in range(5)]
    assert ways(line, list(path)) == ways(turned, list(path))
    assert len(ways(line, list(path))) == 1


def test_the_moment_is_interpolated_between_the_pictures_around_the_line() -> None:
    counter = LineCounter(FLAT)
    events = [counter.see(Point(1, t, 300, y, HEIGHT)) for t, y in ((0, 140), (1, 170), (2, 190), (3, 230), (4, 260))]
    (event,) = [event for event in events if event]
    assert event.at_s == pytest.approx(2.25)


def test_the_band_grows_with_the_object() -> None:
    path = walk(150, 170, 185, 215, 185, 215)
    assert ways(FLAT, path, height=40) == ["down", "up", "down"]
    assert ways(FLAT, path, height=100) == []


def test_what_is_forgotten_takes_no_memory_and_is_not_continued() -> None:
    counter = LineCounter(FLAT)
    for number in range(1000):
        counter.see(Point(number, 0, 300, 150, HEIGHT))
        counter.see(Point(number, 1, 300, 170, HEIGHT))
        counter.forget([number])
    assert len(counter) == 0
    assert counter.see(Point(5, 2, 300, 230, HEIGHT)) is None


def test_noise_adds_no_crossing_to_a_thousand_noisy_passages() -> None:
    dice = random.Random(4)
    missed = 0
    for _ in range(1000):
        speed, start = dice.uniform(40, 300), dice.uniform(20, 100)
        ys = [start + speed * STEP_S * n + dice.gauss(0, 1.5) for n in range(120)]
        counted = ways(FLAT, walk(*[y if dice.random() > 0.2 else None for y in ys if y < 400]))
        assert counted in (["down"], [])
        missed += not counted
    assert missed <= 20, "seen less than twice before the line: nobody could tell"
