"""Files of data that are named by what stands in them: scenarios, limit profiles, events."""

from __future__ import annotations

import pathlib
from typing import TypeVar

from pydantic import TypeAdapter

from config import load
from config.findings import Code, Finding
from config.load import Tree
from config.words import validated

T = TypeVar("T")


def read_named(
    file: pathlib.Path, adapter: TypeAdapter[T], key: str, like: str
) -> tuple[Tree, T | None, list[Finding]]:
    """One file, whose `key` says its name: what stands in it, or None and everything that is wrong with it. `like`:
    where there are others to copy."""
    tree = load.read(file)
    if tree.data is None:
        empty = tree.finding(Code.MISSING_KEY, (), "this file is empty", f"copy one of {like}")
        return tree, None, tree.findings or [empty]
    checked = validated(tree, adapter)
    found, findings = checked[0], [*tree.findings, *checked[1]]
    named = tree.get((key,))
    if isinstance(named, str) and named != file.stem:
        what, hint = f"'{named}' is not the file's name", f"write {file.stem}"
        findings.append(tree.finding(Code.BAD_VALUE, (key,), what, hint))
    return tree, None if findings else found, findings
