"""Text to a plain tree that remembers where everything stood. Bad input makes findings, never an exception.

YAML 1.2: `off` and `22:30` stay text, `010` is ten. Dates stay text too. A repeated key is a finding, the first one
counts. Tags (`!name`), merge keys (`<<`) and other YAML versions are not part of our documents.
"""

from __future__ import annotations

import math
import pathlib
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from config.findings import Code, Finding, Path, Severity, dotted

_MAX_BYTES = 1 << 18
_MAX_NODES = 50_000  # aliases of aliases grow without end; no real document comes near this
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value", f"{_TAG}merge"}
_TAB = "found character '\\t' that cannot start any token"


@dataclass(slots=True)
class Tree:
    """A document. `data` holds only dict, list, str, int, float, bool, None, and every key of a dict is text."""

    file: str
    data: Any = None
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def at(self, path: Path) -> tuple[int, int]:
        """(line, column) of a key or list item, or of the nearest thing around it that stands in the text."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, (1, 1))

    def get(self, path: Path) -> Any:
        """The value at a path, None if there is nothing."""
        value = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def finding(self, code: Code, path: Path, message: str, hint: str = "", severity: Severity = "error") -> Finding:
        line, column = self.at(path)
        return Finding(
            file=self.file,
            line=line,
            column=column,
            code=code,
            path=dotted(path),
            message=message,
            hint=hint,
            severity=severity,
        )


def read(path: pathlib.Path) -> Tree:
    """The tree of a file. An unreadable one gives a tree without data and one finding."""
    tree = Tree(str(path))
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        tree.marks[()] = (before.count(b"\n") + 1, 1)
        tree.findings.append(tree.finding(Code.NOT_READABLE, (), "this is not UTF-8 text", "save the file as UTF-8"))
        return tree
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        tree.findings.append(
            tree.finding(Code.NOT_READABLE, (), f"cannot be read: {why}", "check the name and the rights of the file")
        )
        return tree
    if len(raw) > _MAX_BYTES:
        tree.findings.append(tree.finding(Code.NOT_READABLE, (), "larger than 256 KiB; this is not a site file"))
        return tree
    return parse(text, str(path))


def parse(text: str, file: str) -> Tree:
    tree = Tree(file)
    version = re.search(r"^%", text, re.MULTILINE)
    if version:
        tree.marks[()] = (text.count("\n", 0, version.start()) + 1, 1)
        tree.findings.append(
            tree.finding(Code.BAD_SYNTAX, (), "lines that start with % are not used here", "remove this line")
        )
        return tree
    try:
        root = YAML(typ="safe", pure=True).compose(text)
        if root is not None:
            tree.marks[()] = _mark(root)
            tree.data = _Builder(tree).value(root, ())
    except MarkedYAMLError as error:
        _syntax_error(tree, error)
    except YAMLError as error:
        _bad_character(tree, text, error)
    except RecursionError:
        tree.findings.append(tree.finding(Code.BAD_SYNTAX, (), "nested too deeply"))
    return tree


def _mark(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _syntax_error(tree: Tree, error: MarkedYAMLError) -> None:
    mark = error.problem_mark or error.context_mark
    if mark is not None:
        tree.marks[()] = (mark.line + 1, mark.column + 1)
    what = " ".join(str(part) for part in (error.context, error.problem) if part)
    hint = ""
    if _TAB in what:
        what, hint = "a tab is used to indent", "indent with spaces; set your editor to do so"
    elif "mapping values are not allowed" in what:
        hint = "a text that holds ': ' needs quotes; or the line is indented too far"
    elif "flow" in what:
        hint = "a bracket that opens above is not closed, or a comma is missing"
    tree.findings.append(tree.finding(Code.BAD_SYNTAX, (), what, hint))


def _bad_character(tree: Tree, text: str, error: YAMLError) -> None:
    # ReaderError knows an offset, not a line.
    position = getattr(error, "position", 0)
    before = text[:position]
    tree.marks[()] = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    tree.findings.append(
        tree.finding(Code.BAD_SYNTAX, (), "a character that does not belong in a text file", "type this line again")
    )


class _Builder:
    """Plain values of nodes, with the place of each noted in the tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._constructor = YAML(typ="safe", pure=True).constructor
        self._open: set[int] = set()
        self._nodes = 0

    def value(self, node: ScalarNode | MappingNode | SequenceNode, path: Path) -> Any:
        self._nodes += 1
        if self._nodes > _MAX_NODES:
            raise MarkedYAMLError(
                problem="more values than any site has, once aliases are written out", problem_mark=node.start_mark
            )
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            raise MarkedYAMLError(problem="an alias stands inside the thing it names", problem_mark=node.start_mark)
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            return self._sequence(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        self._only_tag(node, "map")
        out: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise MarkedYAMLError(problem="a key must be a plain word", problem_mark=key_node.start_mark)
            key = _key(self._scalar(key_node))
            here = (*path, key)
            if key in out:
                self._duplicate(here, key_node)
                continue
            self._tree.marks[here] = _mark(key_node)
            out[key] = self.value(value_node, here)
        return out

    def _sequence(self, node: SequenceNode, path: Path) -> list[Any]:
        self._only_tag(node, "seq")
        out = []
        for index, item in enumerate(node.value):
            self._tree.marks[*path, index] = _mark(item)
            out.append(self.value(item, (*path, index)))
        return out

    def _scalar(self, node: ScalarNode) -> str | float | bool | None:
        text, tag = str(node.value), str(node.tag)
        if tag in _TEXT_TAGS:
            return text
        if tag == f"{_TAG}null":
            return None
        try:
            if tag == f"{_TAG}bool":
                return bool(self._constructor.construct_yaml_bool(node))
            if tag == f"{_TAG}int":
                return int(self._constructor.construct_yaml_int(node))
            if tag == f"{_TAG}float":
                number = float(self._constructor.construct_yaml_float(node))
                return number if math.isfinite(number) else text
        except (ValueError, KeyError, IndexError):
            return text  # `!!int x`, `.inf`, ten thousand digits: the schema will say that a number is missing here
        raise MarkedYAMLError(problem=f"the tag {_short(tag)} is not used here", problem_mark=node.start_mark)

    def _only_tag(self, node: Node, name: str) -> None:
        if str(node.tag) != _TAG + name:
            raise MarkedYAMLError(
                problem=f"the tag {_short(str(node.tag))} is not used here", problem_mark=node.start_mark
            )

    def _duplicate(self, path: Path, key_node: Node) -> None:
        first, (line, column) = self._tree.marks[path], _mark(key_node)
        self._tree.findings.append(
            Finding(
                file=self._tree.file,
                line=line,
                column=column,
                code=Code.DUPLICATE_KEY,
                path=dotted(path),
                message=f"this key stands twice; the first is on line {first[0]}",
                hint="keep one of the two",
            )
        )


def _short(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _key(value: str | float | bool | None) -> str:
    """A key as JSON would write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
