"""Provinces and communes of the two tiers of 2025, by code and by name, from the package vietnam-provinces.

Only the package's JSON is read, and nothing of it is kept: a daemon asks twice in its life, and importing the package
would keep every commune as an enum. A caller with several questions asks `communes` once, or keeps a `Gazetteer`.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from config import load

_PACKAGE = "vietnam_provinces"
_JSON = "data/nested-divisions.json"
_BOUNDS = Path(__file__).parent / "places/bounds.yaml"
_DATE = re.compile(r"^__data_version__ = '([0-9-]+)'", re.MULTILINE)


class Province(NamedTuple):
    """`code`: two digits. `name`: "Thanh Hóa", "Thành phố Hà Nội"."""

    code: str
    name: str


class Commune(NamedTuple):
    """`code`: five digits. `name` with its type: "Phường Hạc Thành". `province`: code of the province it is in."""

    code: str
    name: str
    province: str


class Bounds(NamedTuple):
    """Boxes of one province: (west, south, east, north) in degrees, the margin not included."""

    boxes: tuple[tuple[float, float, float, float], ...]
    margin_deg: float

    def hold(self, lat: float, lon: float) -> bool:
        m = self.margin_deg
        return any(w - m <= lon <= e + m and s - m <= lat <= n + m for w, s, e, n in self.boxes)


class Gazetteer(NamedTuple):
    """The whole list, about 1 MB. Both mappings by code, in the order of the list."""

    provinces: Mapping[str, Province]
    communes: Mapping[str, Commune]

    def search(self, text: str, province: str | None = None) -> list[Province | Commune]:
        """What is called like `text`, best first. Case, diacritics, đ or d, order and spacing do not matter, and a word
        may be cut short; digits are a code. Two communes that are one word without diacritics are both found.

        Looks at names first, and where none fits, at commune and province together ("hac thanh thanh hoa").
        """
        words, squeezed = plain(text).split(), plain(text).replace(" ", "")
        if not words:
            return []
        units = self._units(province)
        found = [unit for unit in units if _fits(words, squeezed, plain(unit.name)) or unit.code == text.strip()]
        if not found:
            found = [unit for unit in units if _fits(words, "", plain(self.full_name(unit)))]
        return sorted(found, key=lambda unit: _distance(text, squeezed, unit.name))

    def near(self, text: str, province: str | None = None) -> list[Province | Commune]:
        """Up to five units whose names are spelt like `text`, nearest first."""
        units = self._units(province)
        words = difflib.get_close_matches(_bare_name(text), {_bare_name(u.name) for u in units}, n=5, cutoff=0.7)
        return [unit for word in words for unit in units if _bare_name(unit.name) == word][:5]

    def full_name(self, unit: Province | Commune) -> str:
        """ "Phường Hạc Thành, Thanh Hóa"; of a province its name."""
        return unit.name if isinstance(unit, Province) else f"{unit.name}, {self.provinces[unit.province].name}"

    def _units(self, province: str | None) -> list[Province | Commune]:
        """All, or the communes of one province."""
        if province is None:
            return [*self.provinces.values(), *self.communes.values()]
        return [commune for commune in self.communes.values() if commune.province == province]


def gazetteer() -> Gazetteer:
    """The list, read anew (about 10 ms); the caller keeps it as long as it is needed."""
    provinces, communes = {}, {}
    for entry in json.loads((_folder() / _JSON).read_bytes()):
        code = f"{entry['code']:02d}"
        # Newer issues of the package write "Tỉnh Thanh Hóa", older ones "Thanh Hóa".
        provinces[code] = Province(code, entry["name"].removeprefix("Tỉnh "))
        for ward in entry["wards"]:
            commune = Commune(f"{ward['code']:05d}", ward["name"], code)
            communes[commune.code] = commune
    return Gazetteer(provinces, communes)


def provinces() -> Mapping[str, Province]:
    """All 34, by code."""
    return gazetteer().provinces


def province(code: str) -> Province | None:
    return provinces().get(code)


def communes(codes: Iterable[str]) -> dict[str, Commune]:
    """Those of the codes that there are."""
    known = gazetteer().communes
    return {code: known[code] for code in codes if code in known}


def commune(code: str) -> Commune | None:
    return communes([code]).get(code)


def search(text: str, province: str | None = None) -> list[Province | Commune]:
    """See `Gazetteer.search`."""
    return gazetteer().search(text, province)


@cache
def version() -> str:
    """The list and the day its data was taken: "vietnam-provinces 2025-10-18"."""
    told = _DATE.search((_folder() / "__init__.py").read_text(encoding="utf-8"))
    return f"vietnam-provinces {told[1] if told else installed_version('vietnam-provinces')}"


def bounds(province: str) -> Bounds | None:
    """Boxes around a province's land, None for a code that has none."""
    return _land()[0].get(province)


def scattered() -> frozenset[str]:
    """Communes of islands too far apart for a box: coordinates there cannot be checked."""
    return _land()[1]


def holding(lat: float, lon: float) -> list[str]:
    """Codes of the provinces whose boxes hold a place; near a border they are several."""
    return [code for code, found in _land()[0].items() if found.hold(lat, lon)]


@cache
def _land() -> tuple[dict[str, Bounds], frozenset[str]]:
    content = load.read(_BOUNDS).data
    margin = content["margin_deg"]
    boxes = {code: tuple((w, s, e, n) for w, s, e, n in rows) for code, rows in content["boxes"].items()}
    return {code: Bounds(rows, margin) for code, rows in boxes.items()}, frozenset(content["scattered"])


def plain(text: str) -> str:
    """Small letters and digits without diacritics, one space between words."""
    flat = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", "".join(c for c in flat if not unicodedata.combining(c))).split())


def _bare_name(name: str) -> str:
    """A name without its type, plain: "Phường Hạc Thành" gives "hac thanh"."""
    return re.sub(r"^(phuong|xa|dac khu|thanh pho|tinh) (?=.)", "", plain(name))


def _fits(words: list[str], squeezed: str, name: str) -> bool:
    """Each word begins a word of its own in the name, or all of it stands there without spaces."""
    if squeezed and squeezed in name.replace(" ", ""):
        return True
    free = name.split()
    for word in words:
        hit = next((part for part in free if part == word), next((p for p in free if p.startswith(word)), None))
        if hit is None:
            return False
        free.remove(hit)
    return True


def _distance(text: str, squeezed: str, name: str) -> tuple[bool, bool, bool, int]:
    """Sorts: exactly so first, then the same without diacritics, then what begins so, then the shortest."""
    bare = _bare_name(name).replace(" ", "")
    same = unicodedata.normalize("NFC", text.strip().lower()) in unicodedata.normalize("NFC", name.lower())
    return (squeezed not in {bare, plain(name).replace(" ", "")}, not same, not bare.startswith(squeezed), len(bare))


def _folder() -> Path:
    spec = find_spec(_PACKAGE)  # finds it without running it
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(_PACKAGE)
    return Path(spec.origin).parent
