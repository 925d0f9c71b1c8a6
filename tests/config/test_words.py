"""What a finding says of a value, and what it keeps to itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from config.load import Tree, parse
from config.schema import Site
from config.site import findings
from config.words import NAME_RULES, shown, validated
from drivers.profiles import Profile
from drivers.settings import ModbusRtuWire

ADAPTER: TypeAdapter[Site] = TypeAdapter(Site)


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from patterns(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from patterns(value)


def test_every_pattern_of_every_room_is_said_in_words() -> None:
    asked = {*patterns(ADAPTER.json_schema()), *patterns(TypeAdapter(Profile).json_schema())}
    assert asked - set(NAME_RULES) == set()


@pytest.mark.parametrize("path", [("uplink", "password"), ("token",), ("a", "api_key"), ("users", "pwd")])
def test_a_value_that_could_be_a_password_is_never_shown(path: tuple[str, ...]) -> None:
    assert "hunter2" not in shown("hunter2", path)


def test_the_password_in_an_address_is_never_shown() -> None:
    assert shown("rtsp://admin:hunter2@camera/sub") == '"rtsp://admin:…@camera/sub"'


def test_a_long_value_is_cut() -> None:
    assert len(shown("x" * 1000)) == 58


def test_a_switch_is_no_number_and_a_number_no_switch() -> None:
    tree = parse("kind: modbus_rtu\nport: ./tty\nbaud: true\necho: 1\n", "f")
    value, findings = validated(tree, TypeAdapter(ModbusRtuWire))
    assert value is None
    assert [(f.line, str(f.code), f.message) for f in findings] == [
        (3, "wrong-type", "true is not a whole number"),
        (4, "wrong-type", "1 is not true or false"),
    ]


def test_every_key_a_technician_may_write_is_described() -> None:
    def bare(schema: Any) -> Iterator[str]:
        for name, definition in schema.get("$defs", {}).items():
            for key, entry in definition.get("properties", {}).items():
                if "description" not in entry and "const" not in entry:
                    yield f"{name}.{key}"

    assert sorted(bare(ADAPTER.json_schema())) == []


_leaf = st.none() | st.booleans() | st.integers(-9, 99999) | st.floats(allow_nan=False) | st.text(max_size=8)
_word = st.sampled_from(["kind", "port", "modbus_rtu", "profile", "unit", "a", "from", "lines", "tls", "to", "allow"])
_data = st.recursive(_leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_word, inner, max_size=4))


@given(st.dictionaries(st.sampled_from(list(Site.model_fields)), _data))
def test_whatever_stands_in_a_document_has_words(data: dict[str, Any]) -> None:
    tree = Tree("f", data=data)
    value, findings = validated(tree, ADAPTER)
    assert (value is None) == bool(findings)
    assert all(f.message and not re.search(r"tagged-union|discriminator|NoneType", f.message) for f in findings)


def test_the_examples_are_sound() -> None:
    for file in (Path(__file__).parents[2] / "config/sites").glob("*.yaml"):
        assert [str(f) for f in findings(file) if f.severity == "error"] == []
