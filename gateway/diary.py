"""What the gateway notes of itself in the journal: starts, stops, and the configuration it runs with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from config.site import LoadedSite
from gateway import __version__
from gateway.model.ports import Journal


class Diary(Journal, Protocol):
    """A journal that can be asked for its newest entry of some kinds."""

    async def last(self, *kinds: str) -> tuple[str, dict[str, Any]] | None: ...


async def started(journal: Diary, now: Mapping[str, Any]) -> None:
    """Notes the start, whether the last stop was orderly, and the configuration if it is not that of the last time."""
    earlier = await journal.last("start", "stop")
    before = "" if earlier is None else earlier[1].get("config", "")
    if before != now["config"]:
        journal.note("config", {**now, "before": before})
    after = "first" if earlier is None else "clean" if earlier[0] == "stop" else "unclean"
    journal.note("start", {"version": now["version"], "config": now["config"], "after": after})


def stopped(journal: Journal, now: Mapping[str, Any]) -> None:
    journal.note("stop", {"version": now["version"], "config": now["config"]})


def configuration(site: LoadedSite) -> dict[str, Any]:
    """What this gateway runs with, as hashes; nothing of its content. `config` is the hash of all of it together."""
    profiles = {profile.profile: _hash(profile.model_dump(mode="json")) for profile in site.profiles.values()}
    parts = {"sha256": _of_file(site.file), "profiles": profiles, "version": __version__}
    if site.events:
        parts["events"] = {name: _of_file(event.source.file) for name, event in site.events.items()}
    return {"file": str(site.file), **parts, "config": _hash(parts)}


def _of_file(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sha256(text.encode("utf-8", "replace")).hexdigest()
