"""One catalogue knows every code that a person can meet."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import pytest

import buffer
import config
import drivers
import gateway
from config import troubleshooting
from config.findings import Code
from gateway.model.codes import Explanation, catalogue
from gateway.model.errors import GatewayError
from gateway.model.measure import Reason

ROOT = Path(__file__).parents[2]
VIETNAMESE = re.compile("[àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđ]", re.IGNORECASE)


def errors(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from errors(child)


def test_every_error_class_has_an_entry() -> None:
    import_module("vision.driver")
    for package in (gateway, drivers, buffer, config):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    missing = {f"{kind.__name__}: {kind.code}" for kind in errors() if kind.code not in catalogue()}
    assert missing == set()
    assert {catalogue()[kind.code].kind for kind in errors()} == {"error"}


def test_every_finding_has_an_entry_and_every_entry_a_finding() -> None:
    assert {entry.code for entry in catalogue().values() if entry.kind == "finding"} == {str(code) for code in Code}


def test_every_reason_has_an_entry_and_every_entry_a_reason() -> None:
    assert {entry.code for entry in catalogue().values() if entry.kind == "reason"} == {
        str(reason) for reason in Reason
    }


def test_every_kind_of_finding_is_shown_by_a_case() -> None:
    here = Path(__file__).parent
    cases = [*(here / "cases").glob("*/expected.txt"), *(here.parent / "cli/cases").glob("*/*/expected.txt")]
    lines = [line for case in cases for line in case.read_text("utf-8").splitlines() if line[:1] not in {"", " "}]
    shown = {line.split()[1].rstrip(":") for line in lines}
    assert {str(code) for code in Code} - shown == {"not-readable"}  # has tests of its own, in test_load


@pytest.mark.parametrize("entry", catalogue().values(), ids=lambda entry: entry.code)
def test_an_entry_is_complete_in_both_languages(entry: Explanation) -> None:
    texts = asdict(entry)
    assert all(text and text == text.strip() for text in texts.values())
    for key, text in texts.items():
        if key.endswith("_vi"):
            assert VIETNAMESE.search(text), f"{key} has no diacritics"
        if key.endswith("_en"):
            assert not VIETNAMESE.search(text), f"{key} is not English"


def test_the_page_on_troubleshooting_is_what_the_catalogue_says() -> None:
    page = (ROOT / "TROUBLESHOOTING.md").read_text(encoding="utf-8")
    assert page == troubleshooting.document(), "run: python -P -m config.troubleshooting > TROUBLESHOOTING.md"
