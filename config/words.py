"""What pydantic found, said in our words: one plain finding for each wrong place."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from config.findings import Code, Finding, Path
from config.load import Tree

T = TypeVar("T")
SECRET_KEY = re.compile(r"pass(word|wd|phrase)?$|pwd|secret|token|api_?key|private", re.IGNORECASE)
_RANGE = {
    "greater_than": ("gt", "{} is not above {}"),
    "greater_than_equal": ("ge", "{} is below {}"),
    "less_than": ("lt", "{} is not below {}"),
    "less_than_equal": ("le", "{} is above {}"),
}
_TYPES = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
}
_BEGINNING = 4
"""Shorter ones begin too much."""
_NUMBER = re.compile(r"[-+]?[0-9]*\.?[0-9]+")
_PLACE_IN_MESSAGE = re.compile(r"([a-z0-9_.-]+): (.+)")
NAME_RULES = {
    r"^[a-z0-9][a-z0-9-]{2,47}$": "small letters, digits and hyphens, 3 to 48 of them",
    r"^[a-z][a-z0-9_-]*$": "a small letter first, then small letters, digits, _ and -",
    r"^[a-z0-9][a-z0-9_-]{0,31}$": "small letters, digits, _ and -, at most 32 of them",
    r"^[a-z0-9][a-z0-9_]*$": "small letters, digits and _",
    r"^[a-z0-9][a-z0-9-]*$": "small letters, digits and hyphens",
    r"^[A-Za-z0-9_-]+$": "letters, digits, _ and -",
    r"^[a-z][a-z0-9]*\.[a-z][a-z0-9_]*$": "two words with a dot between: light.power",
    r"^[a-z][a-z0-9_-]{0,63}$": "the name of a secret: a small letter first, then small letters, digits, _ and -",
    r"^[^\s/+#?]{1,64}$": "a name without spaces and without / + # ?",
    r"^\S+$": "text without spaces",
    r"^\S*$": "text without spaces",
    r"^\S{1,32}$": "at most 32 letters without spaces",
    r"^[^\t\r\n]+$": "one line of text without TAB",
    r"^[^\t\r\n]*$": "one line of text without TAB",
    r"^[A-Za-z0-9]+_[A-Za-z0-9]+_[A-Za-z0-9]+$": "TINH_COSO_TRAM: three words of letters and digits, _ between them",
    r"^(ssh-|ecdsa-|sk-)\S+ [A-Za-z0-9+/]+=*( .*)?$": 'a public key: "ssh-ed25519 AAAA..."',
    r"^(/([^/~]|~[01])*)*$": "a place in the JSON that begins with /; a ~ in it is written ~0",
    r"^(https?://\S+)?$": "an address that begins with https:// or http://",
    r"^https?://[^\s@]+$": "an address that begins with https:// or http://, without a password in it",
    r"^[0-9a-f]{2}( ?[0-9a-f]{2})*$": 'bytes in small hex digits: "42 4d"',
    r"^[0-9]{1,4}\+[0-9]{3}$": 'kilometre and metres: "324+500"',
    r"^[0-9]{2}$": "two digits in quotes",
    r"^[0-9]{5}$": "five digits in quotes",
}


def validated(tree: Tree, adapter: TypeAdapter[T], path: Path = ()) -> tuple[T | None, list[Finding]]:
    """The value at `path` as the adapter's type, or None and what is wrong with it.

    Strict, through JSON: `"1883"` is no number and `1` is not true, but a list may become a tuple.
    """
    text = json.dumps(tree.get(path), ensure_ascii=False)
    try:
        return adapter.validate_json(text, strict=True), []
    except ValidationError as error:
        schema = _schema(adapter)
        problems = [_Problem(tree, path, entry, schema) for entry in error.errors(include_url=False)]
        return None, list(_one_each(problems))


@cache
def _schema(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    return adapter.json_schema()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest known word, or all of them if there are few, or nothing."""
    words = sorted(set(known))
    longer = [known for known in words if len(word) >= _BEGINNING and known.startswith(word)]  # qcvn-05: qcvn-05-2023
    near = longer or difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known here: {', '.join(words)}" if 0 < len(words) <= 32 else ""


def shown(value: Any, path: Path = ()) -> str:
    """A value as a finding may show it: short, and never one that could be a password."""
    if any(isinstance(part, str) and SECRET_KEY.search(part) for part in path):
        return "this value"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=False)
    text = re.sub(r"(://[^/@\s:]*:)[^/@\s]*@", r"\1…@", text)
    return text if len(text) <= 60 else text[:57] + "…"


class _Problem:
    """One entry of a ValidationError, with its place found in the tree.

    pydantic's location also names members of unions ("modbus_tcp", "int"): those do not stand in the
    document and are dropped from the path. A missing key is kept, as the last part.
    """

    def __init__(self, tree: Tree, root: Path, entry: Any, schema: dict[str, Any]) -> None:
        self.tree = tree
        self._root = tree.get(root)
        self.kind: str = entry["type"]
        self.context: dict[str, Any] = entry.get("ctx", {})
        self.value: Any = entry["input"]
        self.message: str = entry["msg"]
        self.path, self.in_union = _place(tree, root, entry["loc"], self.kind)
        if self.kind.startswith("union_tag"):
            self.path = (*self.path, str(self.context["discriminator"]).strip("'"))
            self.value = tree.get(self.path)
        if self.kind == "value_error":
            self.message = self._nearer(str(self.context["error"]))
        self._schema, self._relative = schema, self.path[len(root) :]

    def _nearer(self, message: str) -> str:
        """A room may begin what it says with a dotted place inside; then the finding goes there."""
        told = _PLACE_IN_MESSAGE.fullmatch(message)
        inner: Path = ()
        for part in told[1].split(".") if told else ():
            inner = (*inner, int(part) if part.isdecimal() else part)
        if told is None or self.tree.get(self.path + inner) is None:
            return message
        self.path += inner
        return told[2]

    def finding(self) -> Finding:
        code, message, hint = self._say()
        return self.tree.finding(code, self.path, message, hint)

    def _say(self) -> tuple[Code, str, str]:
        last = str(self.path[-1]) if self.path else ""
        value = shown(self.value, self.path)
        if self.kind == "extra_forbidden":
            known = known_keys(self._schema, self._relative[:-1], self._root)
            return Code.UNKNOWN_KEY, "this key is not known here", did_you_mean(last, known)
        if self.kind in {"missing", "union_tag_not_found"}:
            return Code.MISSING_KEY, f"'{last}' is missing", self._about()
        if self.kind in _RANGE:
            limit, words = _RANGE[self.kind]
            return Code.OUT_OF_RANGE, words.format(value, f"{self.context[limit]:g}"), self._about()
        if self.kind in {"string_too_short", "too_short", "string_too_long", "too_long"}:
            return Code.OUT_OF_RANGE, self._length(), self._about()
        if self.kind in {"literal_error", "enum", "union_tag_invalid"}:
            return self._choice(value)
        if self.kind == "string_pattern_mismatch":
            rule = NAME_RULES.get(self.context["pattern"], f"text like {self.context['pattern']}")
            return Code.BAD_NAME, f"{value} is not a good name", f"allowed: {rule}"
        if self.kind in {"value_error", "assertion_error"}:
            return Code.BAD_VALUE, self.message, self._about()
        return self._type(value)

    def _length(self) -> str:
        short = "short" in self.kind
        limit = self.context["min_length" if short else "max_length"]
        if short and limit == 1:
            return "this is empty"
        return f"{'too short' if short else 'too long'}: at {'least' if short else 'most'} {limit}"

    def _choice(self, value: str) -> tuple[Code, str, str]:
        allowed = re.findall(r"'([^']*)'", str(self.context.get("expected_tags") or self.context.get("expected", "")))
        return Code.BAD_CHOICE, f"{value} is not one of {', '.join(allowed)}", did_you_mean(value.strip('"'), allowed)

    def _type(self, value: str) -> tuple[Code, str, str]:
        wanted = next((words for start, words in _TYPES.items() if self.kind.startswith(start)), "")
        if not wanted:
            return Code.BAD_VALUE, self.message, self._about()
        hint = self._about()
        if wanted == "a text" and isinstance(self.value, int | float):
            hint = f'write it in quotes: "{value}"'
        elif wanted.endswith("number") and isinstance(self.value, str) and _NUMBER.fullmatch(self.value):
            hint = "write the number without quotes"
        elif wanted == "a list" and isinstance(self.value, dict):
            hint = f"begin each entry with '- ', or write [ ] around them. {hint}".rstrip()
        return Code.WRONG_TYPE, f"{value} is not {wanted}" if self.value is not None else f"{wanted} belongs here", hint

    def _about(self) -> str:
        """What the room says of this key."""
        if not self._relative:
            return ""
        parents = _objects(self._schema, self._relative[:-1], self._root)
        entries = [parent["properties"].get(self._relative[-1], {}) for parent in parents]
        return next((str(entry["description"]) for entry in entries if "description" in entry), "")


def _place(tree: Tree, root: Path, location: tuple[str | int, ...], kind: str) -> tuple[Path, bool]:
    path, dropped = root, False
    for index, part in enumerate(location):
        here = tree.get(path)
        last = index == len(location) - 1
        known = part in here if isinstance(here, dict) else isinstance(here, list) and isinstance(part, int)
        if known or (last and kind == "missing"):
            path = (*path, part)
        elif part != "[key]":
            dropped = True
    return path, dropped


def _one_each(problems: list[_Problem]) -> Iterator[Finding]:
    """One finding for each place: what the members of a union say about one value is one problem to a reader."""
    seen: set[Path] = set()
    for problem in problems:
        if problem.path in seen and problem.in_union:
            continue
        seen.add(problem.path)
        yield problem.finding()


def known_keys(schema: dict[str, Any], path: Path, data: Any) -> set[str]:
    """Keys allowed at a path; of a union, those of the member that the data names."""
    return {key for branch in _objects(schema, path, data) for key in branch["properties"]}


def _objects(schema: dict[str, Any], path: Path, data: Any) -> list[dict[str, Any]]:
    """Every object schema that could hold the value at a path of the data."""
    definitions = schema.get("$defs", {})
    front = _fitting(_open(schema, definitions), data)
    for part in path:
        known = part in data if isinstance(data, dict) else isinstance(data, list) and isinstance(part, int)
        data = data[part] if known else None
        front = _fitting(
            [opened for s in front for step in _step(s, part) for opened in _open(step, definitions)], data
        )
    return [s for s in front if "properties" in s]


def _fitting(schemas: list[dict[str, Any]], data: Any) -> list[dict[str, Any]]:
    """The members of a union that the data's own tag (`kind: …`) points to; all of them if it points nowhere."""
    return [s for s in schemas if _tag_fits(s, data)] or schemas


def _tag_fits(schema: dict[str, Any], data: Any) -> bool:
    tags = {key: sub["const"] for key, sub in schema.get("properties", {}).items() if "const" in sub}
    return isinstance(data, dict) and all(data.get(key) == tag for key, tag in tags.items())


def _step(schema: dict[str, Any], part: str | int) -> list[dict[str, Any]]:
    if isinstance(part, int):
        prefix = schema.get("prefixItems", [])
        found = prefix[part] if part < len(prefix) else schema.get("items")
    else:
        found = schema.get("properties", {}).get(part) or schema.get("additionalProperties")
        if not isinstance(found, dict):
            found = next(iter(schema.get("patternProperties", {}).values()), None)
    return [found] if isinstance(found, dict) else []


def _open(schema: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    """The schema itself, or the members of a union, with references followed."""
    if "$ref" in schema:
        return _open(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    members = schema.get("anyOf") or schema.get("oneOf") or []
    if not members:
        return [schema]
    return [opened for member in members for opened in _open(member, definitions)]
