"""What every driver is given of the place it runs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.model.clock import Clock
from gateway.model.errors import ConfigError


def no_secrets(name: str) -> str:
    """For places without secrets. Raises ConfigError."""
    raise ConfigError(f"there is no secret {name!r} here", where=name, hint="run it through the site file")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """base: the site file's folder, from which its paths start. secret: the secret of a name; raises ConfigError."""

    clock: Clock
    base: Path
    secret: Callable[[str], str] = no_secrets
