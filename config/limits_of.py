"""Finding limit profiles: first in `limits/` beside the site file, then among our own."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable
from importlib import resources

from pydantic import TypeAdapter

from config.findings import Finding
from config.named import read_named
from config.words import did_you_mean
from gateway.indicators.limit_profiles import LimitProfile

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_ADAPTER: TypeAdapter[LimitProfile] = TypeAdapter(LimitProfile)


def own_folder() -> pathlib.Path:
    """The folder of the limit profiles that come with the gateway."""
    return pathlib.Path(str(resources.files("config"))) / "limits"


class LimitShelf:
    """The limit profiles that a site file can name. Each file is read once. `base`: the folder of the site file."""

    def __init__(self, base: pathlib.Path) -> None:
        self._folders = (base / "limits", own_folder())
        self._read: dict[str, tuple[LimitProfile | None, list[Finding]]] = {}

    def files(self) -> dict[str, pathlib.Path]:
        """Every profile that can be named, by name."""
        found = {file.stem: file for folder in reversed(self._folders) for file in folder.glob("*.yaml")}
        return dict(sorted(found.items()))

    def profile(self, name: str) -> LimitProfile | None:
        """The profile, or None if there is none or it has errors."""
        if name not in self._read:
            file = self._file(name)
            self._read[name] = (None, []) if file is None else read_limits(file)
        return self._read[name][0]

    def profiles(self, names: Iterable[str] | None = None) -> dict[str, LimitProfile]:
        """The sound ones among these names, or of all, by name: what `thresholds` takes."""
        wanted = self.files() if names is None else names
        return {name: profile for name in wanted if (profile := self.profile(name)) is not None}

    def knows(self, name: str) -> bool:
        return self._file(name) is not None

    def hint(self, name: str) -> str:
        return did_you_mean(name, self.files()) or "gateway limits list"

    def findings(self) -> list[Finding]:
        """What is wrong inside the profiles that were asked for."""
        return [finding for _, findings in self._read.values() for finding in findings]

    def _file(self, name: str) -> pathlib.Path | None:
        if not _NAME.fullmatch(name):
            return None
        files = (folder / f"{name}.yaml" for folder in self._folders)
        return next((file for file in files if os.path.exists(file)), None)  # noqa: PTH110 - also for folders we may not enter


def profiles(base: pathlib.Path, names: Iterable[str] | None = None) -> dict[str, LimitProfile]:
    """The sound limit profiles that a site file in this folder can name, by name; of these names, or all."""
    return LimitShelf(base).profiles(names)


def read_limits(file: pathlib.Path) -> tuple[LimitProfile | None, list[Finding]]:
    """One limit profile, or None and everything that is wrong with it."""
    read = read_named(file, _ADAPTER, "profile", "config/limits")
    return read[1], read[2]
