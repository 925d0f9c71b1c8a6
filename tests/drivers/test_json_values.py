"""Values in JSON texts: what a pointer leads to, what it means, and what is no reading."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.json_values import LARGEST, fields, told, values
from drivers.profiles import JsonPoint
from gateway.model.errors import BadFrame
from tests.drivers.kit import point

TREE = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0", ""]), inner, max_size=3)
    ),
    max_leaves=12,
)


def a_point(pointer: str = "/v", **more: Any) -> JsonPoint:
    return JsonPoint.model_validate(point(source="s", pointer=pointer, **more))


def meant(text: str | bytes, pointer: str = "/v", **more: Any) -> Any:
    return values({"p": a_point(pointer, **more)}, "s", text).get("p", "absent")


@pytest.mark.parametrize(
    ("pointer", "expected"),
    [  # RFC 6901, section 5
        ("/foo/0", "bar"),
        ("/", "empty"),
        ("/a~1b", "slash"),
        ("/c%d", "percent"),
        ("/m~0n", "tilde"),
        ("/ ", "blank"),
        ("/~01", "both"),
        ("/foo/2", "absent"),
        ("/foo/-", "absent"),
        ("/foo/00", "absent"),
        ("/foo/bar", "absent"),
        ("/a~1b/c", "absent"),
        ("/nothing", "absent"),
    ],
)
def test_pointers_lead_where_the_standard_says(pointer: str, expected: str) -> None:
    text = json.dumps(
        {
            "foo": ["bar", "baz"],
            "": "empty",
            "a/b": "slash",
            "c%d": "percent",
            "m~n": "tilde",
            " ": "blank",
            "~1": "both",
        }
    )
    assert meant(text, pointer, type="text") == expected


def test_the_empty_pointer_is_the_whole_text() -> None:
    assert meant("23.5", "") == 23.5
    assert meant(b"\xef\xbb\xbf23.5", "") == 23.5


@pytest.mark.parametrize("pointer", ["v", "/a~2", "/a~", "a/b"])
def test_a_pointer_that_cannot_be_right_is_refused(pointer: str) -> None:
    with pytest.raises(ValidationError):
        a_point(pointer)


@pytest.mark.parametrize(
    ("found", "more", "expected"),
    [
        ("2.5", {}, 2.5),
        ("253", {"scale": 0.1, "offset": -5}, pytest.approx(20.3)),
        ("true", {}, None),
        ('"2.5"', {}, None),
        ('"2.5"', {"values": {"2.5": 2.5}}, 2.5),
        ("null", {}, None),
        ("[1]", {}, None),
        ("{}", {}, None),
        ("1e999", {}, None),
        ("1" + "0" * 400, {}, None),
        ("1e308", {"scale": 1000}, None),
        ("-999", {"not_available": [-999]}, None),
        ('"ERR"', {"type": "text", "not_available": ["ERR"]}, None),
        ("true", {"type": "bool"}, True),
        ("0", {"type": "bool"}, False),
        ("1.0", {"type": "bool"}, True),
        ("2", {"type": "bool"}, None),
        ('"ON"', {"type": "bool", "values": {"ON": True, "OFF": False}}, True),
        ('"OPEN"', {"type": "bool", "values": {"ON": True, "OFF": False}}, None),
        ("1", {"type": "bool", "not_available": [1]}, None),
        ("true", {"type": "bool", "not_available": [1]}, True),
        ("3", {"type": "text", "values": {"3": "fault"}}, "fault"),
        ("4", {"type": "text", "values": {"3": "fault"}}, None),
        ('"tilt"', {"type": "text"}, "tilt"),
        ('"\\ud800"', {"type": "text"}, None),
        (json.dumps("x" * 256), {"type": "text"}, None),
    ],
)
def test_what_is_found_means_what_its_type_takes(found: str, more: dict[str, Any], expected: Any) -> None:
    said = meant(f'{{"v": {found}}}', **more)
    assert said == expected
    assert isinstance(said, bool) == isinstance(expected, bool)


@pytest.mark.parametrize(
    "text", ["", "{", "on", '{"v": NaN}', '{"v": -Infinity}', b"\xa5" * 40, b"\xff\xfe", "[" * 100_000]
)
def test_what_is_no_json_is_a_bad_frame(text: str | bytes) -> None:
    with pytest.raises(BadFrame) as caught:
        meant(text)
    assert caught.value.where == "s"


def test_too_much_json_is_a_bad_frame() -> None:
    with pytest.raises(BadFrame, match="too many"):
        meant('{"v": "' + "x" * LARGEST + '"}')


def test_points_of_other_sources_are_not_spoken_of() -> None:
    points = {"p": a_point(), "q": JsonPoint.model_validate(point(source="o", pointer="/v"))}
    assert values(points, "s", '{"v": 1}') == {"p": 1}


def test_the_text_at_the_place_is_shown_to_people() -> None:
    assert fields({"p": a_point("/v/1", scale=0.1)}, "s", '{"v": [0, 253]}')["p"][0] == "253"


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "bool", "scale": 2},
        {"scale": 0},
        {"type": "bool", "values": {"ON": "yes"}},
        {"type": "bool", "values": {"ON": 1}},
        {"type": "number", "values": {"ON": True}},
        {"type": "text", "values": {"1": 1.0}},
    ],
)
def test_a_point_that_cannot_be_right_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_point(**broken)


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60), TREE.map(json.dumps)))
def test_any_text_is_a_bad_frame_or_gives_values_that_can_be_sent(text: str | bytes) -> None:
    points = {
        f"{kind}{n}": a_point(pointer, type=kind)
        for n, pointer in enumerate(["", "/a", "/0", "/a/0", "/a/b/", "/b/0/a"])
        for kind in ("number", "bool", "text")
    }
    try:
        found = values(points, "s", text)
    except BadFrame:
        return
    for name, value in found.items():
        assert value is None or isinstance(value, {"n": float, "b": bool, "t": str}[name[0]])
        assert not isinstance(value, float) or math.isfinite(value)
        str(value).encode()


PLACES = ["/a", "/b/c", "/b/d/0", "/b/d/2", "/x~1y", "/list/1/deep"]


@given(st.dictionaries(st.sampled_from(PLACES), st.floats(-1e6, 1e6) | st.booleans() | st.text(max_size=5), min_size=1))
def test_what_a_far_end_tells_is_what_is_read(said: dict[str, Any]) -> None:
    kinds = {bool: {"type": "bool", "values": {"ON": True, "OFF": False}}, str: {"type": "text"}}
    points = {
        place: a_point(place, **kinds.get(type(value), {"scale": 0.5, "offset": -40})) for place, value in said.items()
    }
    found = values(points, "s", json.dumps(told(points, "s", said.__getitem__)))
    assert found == {
        place: pytest.approx(value, rel=1e-9, abs=1e-6) if isinstance(value, float) else value
        for place, value in said.items()
    }
