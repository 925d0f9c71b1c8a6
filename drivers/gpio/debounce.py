"""When a bouncing pin is believed, and what its levels mean. Pure: no pins, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drivers.profiles import ContactPoint, ContactProfile


class Debouncer:
    """Believes a level once it has stood for `still_ns`. Edges come in order of their times; repeated levels are
    taken as a sign of a lost edge in between, and the waiting begins anew.

    A believed edge bears the time from which the level stood.
    """

    def __init__(self, still_ns: int, level: int) -> None:
        self.level = level
        self._still_ns = still_ns
        self._since: int | None = None

    @property
    def due_ns(self) -> int | None:
        """When `settle` is worth calling; None while nothing is open."""
        return None if self._since is None else self._since + self._still_ns

    def edge(self, at_ns: int, level: int) -> Iterator[tuple[int, int]]:
        """The pin changed to this level. Yields what is believed by now: (time, level)."""
        yield from self.settle(at_ns)
        self._since = None if level == self.level else at_ns
        yield from self.settle(at_ns)

    def settle(self, now_ns: int) -> Iterator[tuple[int, int]]:
        """No edge came until now. Yields the level that is believed at last, if one is: (time, level)."""
        if self._since is not None and now_ns - self._since >= self._still_ns:
            since, self._since = self._since, None
            self.level = 1 - self.level
            yield since, self.level


class Contact:
    """What the believed levels of one pin mean by its point: a state, or a count of pulses."""

    def __init__(self, point: ContactPoint) -> None:
        self._point = point
        self._active = 0 if point.active_low else 1
        self._level = 1 - self._active
        self._pulses = 0

    @property
    def level(self) -> int:
        return self._level

    @property
    def value(self) -> float | bool:
        """True while the contact says so; for pulses the counter, in the point's unit."""
        if self._point.mode == "contact":
            return self._level == self._active
        # Rounded, so that three tips of 0.2 are 0.6.
        return round(self._pulses * self._point.per_pulse, 9)

    def begin(self, level: int) -> None:
        """The level at the start. A pulse that is under way is not counted: it may have been already."""
        self._level = level

    def take(self, level: int) -> None:
        """A believed edge to this level."""
        if level == self._active and self._level != level:
            self._pulses += 1
        self._level = level


def decoded(profile: ContactProfile, given: Sequence[int]) -> dict[str, float | bool]:
    """What an example's levels mean, the first being the level at the start."""
    [(name, point)] = profile.points.items()
    contact = Contact(point)
    contact.begin(given[0])
    for level in given[1:]:
        contact.take(level)
    return {name: contact.value}
