"""Text to tree: what YAML 1.2 means, and where everything stood."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config.findings import Code
from config.load import parse, read


def codes(text: str) -> list[Code]:
    return [finding.code for finding in parse(text, "f").findings]


def test_times_switches_dates_and_octals_stay_what_was_written() -> None:
    tree = parse("a: off\nb: 22:30\nc: 010\nd: yes\ne: 2026-01-31\nf: 0x10\ng: 1e3\nh: 2026-13-99\n", "f")
    assert tree.data == {
        "a": "off", "b": "22:30", "c": 10, "d": "yes", "e": "2026-01-31", "f": 16, "g": 1000.0, "h": "2026-13-99",
    }  # fmt: skip


def test_numbers_that_are_none_stay_text_so_that_no_limit_lets_them_through() -> None:
    tree = parse("a: .inf\nb: .nan\nc: !!int x\nd: -.inf\n", "f")
    assert tree.data == {"a": ".inf", "b": ".nan", "c": "x", "d": "-.inf"}


def test_every_key_and_item_knows_its_place() -> None:
    tree = parse("wires:\n  pair: {kind: x, ports: [1, 22]}\n", "f")
    assert tree.at(("wires",)) == (1, 1)
    assert tree.at(("wires", "pair", "ports")) == (2, 19)
    assert tree.at(("wires", "pair", "ports", 1)) == (2, 30)


def test_the_place_of_something_missing_is_the_thing_around_it() -> None:
    tree = parse("a:\n  b: {c: 1}\n", "f")
    assert tree.at(("a", "b", "gone", "deeper")) == (2, 3)


def test_the_first_of_two_equal_keys_counts_and_all_repetitions_are_found() -> None:
    tree = parse("a: 1\nb: {c: 1, c: 2, c: 3}\na: 2\n", "f")
    assert tree.data == {"a": 1, "b": {"c": 1}}
    assert [(f.code, f.line, f.path) for f in tree.findings] == [
        (Code.DUPLICATE_KEY, 2, "b.c"),
        (Code.DUPLICATE_KEY, 2, "b.c"),
        (Code.DUPLICATE_KEY, 3, "a"),
    ]


def test_an_alias_is_the_thing_it_names() -> None:
    assert parse("a: &x {b: 1}\nc: *x\n", "f").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)
    )
    assert codes(bomb) == [Code.BAD_SYNTAX]


BROKEN = (
    *("a: [1", "a: b: c", "\ta: 1", "a: !x 1", "? [a]\n: b", "a: 1\n---\nb: 2", "a: &a [*a]", "a: \x01", "a: *q"),
    *("[" * 1500, "%YAML 1.1\n---\na: off", "- a\nb: c", "a: 'x", "a: !!set {b}", "a: '\ud800'", "%"),
)


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_document_is_one_finding(text: str) -> None:
    assert codes(text) == [Code.BAD_SYNTAX]


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"%@#,? \n\t\x00é0.~<="), max_size=40))
@example("{{}: 1}")
@example("- &a\n- *a")
def test_no_text_makes_an_exception(text: str) -> None:
    tree = parse(text, "f")
    assert all(finding.line >= 1 and finding.column >= 1 for finding in tree.findings)


@pytest.mark.parametrize("raw", [b"a: \xff\xfe", b"\xff\xfea\x00", b"x" * (1 << 18) + b"y"])
def test_a_file_that_is_no_text_is_a_finding(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "site.yaml"
    file.write_bytes(raw)
    assert [f.code for f in read(file).findings] == [Code.NOT_READABLE]


def test_a_missing_file_a_folder_and_an_impossible_name_are_findings(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.yaml", tmp_path, tmp_path / "a\0b"):
        (finding,) = read(path).findings
        assert finding.code is Code.NOT_READABLE
        assert finding.file == str(path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_bytes("\ufeffa: 1\n".encode())
    assert read(file).data == {"a": 1}
