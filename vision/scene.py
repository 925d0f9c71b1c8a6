"""Can this camera see? A count from a blind camera is a lie, so a bad view becomes a reason instead.

First cut: dark, covered (no contrast) and frozen. Moved and blurred cameras are not noticed yet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DARK = "dark"
COVERED = "covered"
FROZEN = "frozen"

_DARK_MEAN = 15.0  # of 255
_FLAT_SPREAD = 8.0  # standard deviation of brightness, of 255
_FROZEN_S = 5.0  # no real camera sends the same picture twice: its sensor has noise
_CHECK_S = 0.5
_IN_A_ROW = 2  # one bad look may be a lorry in front of the lens
_WIDTH = 160


class SceneCheck:
    def __init__(self) -> None:
        self._next_s = 0.0
        self._before: NDArray[np.uint8] | None = None
        self._changed_s = 0.0
        self._bad = 0
        self.verdict = ""

    def look(self, picture: NDArray[np.uint8], at_s: float) -> str:
        """The verdict on the view: "" when it is clear. Looks twice a second, otherwise repeats itself.

        picture (height, width, 3), at_s seconds, growing.
        """
        if at_s < self._next_s:
            return self.verdict
        self._next_s = at_s + _CHECK_S
        step = max(1, picture.shape[1] // _WIDTH)
        small = picture[::step, ::step, 1].copy()
        if self._before is None or not np.array_equal(small, self._before):
            self._before, self._changed_s = small, at_s
        finding = self._finding(small, at_s)
        self._bad = self._bad + 1 if finding else 0
        if not finding or self._bad >= _IN_A_ROW:
            self.verdict = finding
        return self.verdict

    def _finding(self, small: NDArray[np.uint8], at_s: float) -> str:
        if small.mean() < _DARK_MEAN:
            return DARK
        if small.std() < _FLAT_SPREAD:
            return COVERED
        return FROZEN if at_s - self._changed_s >= _FROZEN_S else ""
