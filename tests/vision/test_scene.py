"""A blind camera says so."""

from __future__ import annotations

import numpy as np
import pytest

from vision.scene import SceneCheck

DICE = np.random.default_rng(2)
STREET = DICE.integers(40, 200, (36, 64, 3)).repeat(10, 0).repeat(10, 1).astype(np.uint8)


def noisy(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture + DICE.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


def verdicts(picture: np.ndarray, seconds: float, *, frozen: bool = False) -> list[str]:
    check = SceneCheck()
    still = noisy(picture)
    return [check.look(still if frozen else noisy(picture), n / 8) for n in range(round(seconds * 8))]


def test_a_street_is_a_clear_view() -> None:
    assert set(verdicts(STREET, 12)) == {""}


@pytest.mark.parametrize(
    ("picture", "verdict"),
    [(np.full_like(STREET, 5), "dark"), (np.full_like(STREET, 120), "covered"), (STREET // 40, "dark")],
)
def test_a_view_that_shows_nothing_is_named_within_a_second(picture: np.ndarray, verdict: str) -> None:
    seen = verdicts(picture, 3)
    assert set(seen[8:]) == {verdict}
    assert seen[0] == "", "one bad look may be a lorry in front of the lens"


def test_the_same_picture_for_ever_is_frozen() -> None:
    seen = verdicts(STREET, 10, frozen=True)
    assert set(seen[: 8 * 5]) == {""}
    assert set(seen[8 * 7 :]) == {"frozen"}


def test_a_view_that_clears_is_clear_at_the_next_look() -> None:
    check = SceneCheck()
    for n in range(16):
        check.look(np.zeros_like(STREET), n / 8)
    assert check.verdict == "dark"
    assert [check.look(noisy(STREET), 2 + n / 8) for n in range(5)][-1] == ""
