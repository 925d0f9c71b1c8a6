"""Documentation cannot lie: verbs, site files, versions and links in it are tried."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from typer.main import get_command

import gateway
from config import catalogue_of_devices
from config.load import parse
from config.site import findings
from gateway.cli import app

ROOT = Path(__file__).parents[2]
_NOT_PAGES = ("config/troubleshooting.md",)  # the beginning of TROUBLESHOOTING.md; its links lead into the rest
PAGES = sorted(
    page
    for page in ROOT.rglob("*.md")
    if not str(page.relative_to(ROOT)).startswith(".") and str(page.relative_to(ROOT)) not in _NOT_PAGES
)
ROOMS = ("buffer", "config", "drivers", "vision", "systemd", "gateway/uplink", "gateway/ioc")
_BLOCK = re.compile(r"^```yaml([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


def verbs(command: click.Command, path: str = "gateway") -> Iterator[str]:
    for name, child in getattr(command, "commands", {}).items():
        if getattr(child, "commands", None):
            yield from verbs(child, f"{path} {name}")
        else:
            yield f"{path} {name}"


VERBS = sorted(verbs(get_command(app)))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme(verb: str) -> None:
    assert verb in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_verb_a_page_speaks_of_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    groups = {verb.rpartition(" ")[0] for verb in VERBS}
    said = {" ".join(match.split()) for match in re.findall(r"`(gateway (?!drivers)[a-z0-9]+(?: [a-z]+)?)", text)}
    unknown = {words for words in said if words not in {*VERBS, *groups} and words.rpartition(" ")[0] not in set(VERBS)}
    assert unknown == set()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_does_and_what_it_does_not(room: str) -> None:
    text = (ROOT / room / "README.md").read_text(encoding="utf-8").lower()
    assert "never" in text
    assert "known limits" in text


def test_every_driver_room_has_a_page() -> None:
    rooms = [file.parent for file in (ROOT / "drivers").glob("*/driver.py")]
    assert rooms
    assert [title(room) for room in rooms if not (room / "README.md").exists()] == []


def test_every_kind_of_wire_and_every_profile_is_in_a_page_of_the_drivers() -> None:
    from drivers import KINDS

    pages = "".join(
        page.read_text(encoding="utf-8") for page in [*(ROOT / "drivers").rglob("*.md"), ROOT / "DEVICES.md"]
    )
    profiles = {file.stem for file in (ROOT / "config/devices").glob("*.yaml")}
    assert {word for word in {*KINDS, *profiles} if word not in pages} == set()


def test_the_page_of_devices_is_what_the_profiles_say() -> None:
    page = (ROOT / "DEVICES.md").read_text(encoding="utf-8")
    assert page == catalogue_of_devices.document(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_yaml_in_a_page_is_sound(page: Path, tmp_path: Path) -> None:
    """A block that opens with ```yaml is YAML; one that opens with ```yaml site is a whole site file."""
    for kind, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        assert [str(finding) for finding in parse(text, title(page)).findings] == []
        if "site" in kind.split():
            file = tmp_path / "site.yaml"
            file.write_text(text, encoding="utf-8")
            assert [str(finding) for finding in findings(file) if finding.severity == "error"] == []


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_inside_the_house_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for link in _LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as the usual viewers make them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_changelog_knows_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?([0-9]+\.[0-9]+\.[0-9]+)", text, re.MULTILINE)
    assert newest is not None
    assert newest[1] == gateway.__version__


def test_the_demo_site_uses_every_section() -> None:
    from config.schema import Site

    text = (ROOT / "config/sites/demo.yaml").read_text(encoding="utf-8")
    assert set(parse(text, "demo").data) == set(Site.model_fields)
