"""Finding device profiles: first in `devices/` beside the site file, then among our own."""

from __future__ import annotations

import os
import pathlib
import re
from importlib import resources

from pydantic import TypeAdapter

from config import load
from config.findings import Code, Finding
from config.words import did_you_mean, validated
from drivers.profiles import AnyProfile, Profile

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
_ADAPTER: TypeAdapter[AnyProfile] = TypeAdapter(Profile)


def own_folder() -> pathlib.Path:
    """The folder of the profiles that come with the gateway."""
    return pathlib.Path(str(resources.files("config"))) / "devices"


class Shelf:
    """The profiles that a site file can name. Each file is read once."""

    def __init__(self, base: pathlib.Path) -> None:
        self._folders = (base / "devices", own_folder())
        self._read: dict[str, tuple[AnyProfile | None, list[Finding]]] = {}

    def names(self) -> list[str]:
        return sorted({file.stem for folder in self._folders for file in folder.glob("*.yaml")})

    def profile(self, name: str) -> AnyProfile | None:
        """The profile, or None if there is none or it has errors."""
        return self._take(name)[0]

    def knows(self, name: str) -> bool:
        return self._file(name) is not None

    def hint(self, name: str) -> str:
        return did_you_mean(name, self.names())

    def findings(self) -> list[Finding]:
        """What is wrong inside the profiles that were asked for."""
        return [finding for _, findings in self._read.values() for finding in findings]

    def _take(self, name: str) -> tuple[AnyProfile | None, list[Finding]]:
        if name not in self._read:
            file = self._file(name)
            self._read[name] = (None, []) if file is None else read_profile(file)
        return self._read[name]

    def _file(self, name: str) -> pathlib.Path | None:
        if not _NAME.fullmatch(name):
            return None
        files = (folder / f"{name}.yaml" for folder in self._folders)
        # os.path: also for names that no file system takes, and folders that this user may not enter
        return next((file for file in files if os.path.exists(file)), None)  # noqa: PTH110


def read_profile(file: pathlib.Path) -> tuple[AnyProfile | None, list[Finding]]:
    """One profile file, or None and everything that is wrong with it."""
    tree = load.read(file)
    if tree.findings and tree.data is None:
        return None, tree.findings
    checked = validated(tree, _ADAPTER)
    profile, findings = checked[0], [*tree.findings, *checked[1]]
    named = tree.get(("profile",))
    if isinstance(named, str) and named != file.stem:
        findings.append(
            tree.finding(Code.BAD_VALUE, ("profile",), f"'{named}' is not the file's name", f"write {file.stem}")
        )
    return (None if findings else profile), findings
