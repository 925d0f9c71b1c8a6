"""The one catalogue of codes: errors, findings of a document, reasons of a value. The texts stand in codes.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a code means and what to do about it, for a technician, in English and Vietnamese.

    kind: `error` is raised by a running gateway, `finding` is what `gateway check` says of a document,
    `reason` travels with a value to the operations centre.
    """

    code: str
    kind: Literal["error", "finding", "reason"]
    title_en: str
    title_vi: str
    meaning_en: str
    meaning_vi: str
    action_en: str
    action_vi: str


@cache
def catalogue() -> Mapping[str, Explanation]:
    """Every code there is, in the order of codes.toml."""
    text = resources.files("gateway.model").joinpath("codes.toml").read_text(encoding="utf-8")
    return MappingProxyType({code: Explanation(code=code, **entry) for code, entry in tomllib.loads(text).items()})
