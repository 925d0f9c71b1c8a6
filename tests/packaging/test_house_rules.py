"""Rules of the house that no linter knows. CONTRIBUTING.md lists them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "drivers", "vision", "buffer", "config")
MAY_CATCH_EVERYTHING = {"gateway/supervise.py", "gateway/api.py", "vision/child.py"}
FILE_LINES, FUNCTION_LINES, METHODS, PARAMETERS = 400, 50, 20, 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> dict[str, str]:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(sources()[name])


def functions(name: str) -> Iterator[Function]:
    return (node for node in ast.walk(tree(name)) if isinstance(node, Function))


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the repository, also those that are about to be added."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    return tuple(file for name in listed.split("\0") if name and (file := ROOT / name).is_file())


def texts() -> Iterator[tuple[str, str]]:
    for file in tracked():
        try:
            yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_files_are_short() -> None:
    assert {name: lines for name, text in sources().items() if (lines := text.count("\n")) > FILE_LINES} == {}


def test_functions_are_short() -> None:
    def length(node: Function) -> int:
        return (node.end_lineno or node.lineno) - node.lineno + 1

    long = {f"{name}:{node.name}": length(node) for name in sources() for node in functions(name)}
    assert {place: lines for place, lines in long.items() if lines > FUNCTION_LINES} == {}


def test_classes_have_few_methods() -> None:
    classes = [(name, node) for name in sources() for node in ast.walk(tree(name)) if isinstance(node, ast.ClassDef)]
    sizes = {f"{name}:{node.name}": sum(map(is_method, node.body)) for name, node in classes}
    assert {place: methods for place, methods in sizes.items() if methods > METHODS} == {}


def is_method(part: ast.stmt) -> bool:
    return isinstance(part, Function) and not (part.name.startswith("__") and part.name.endswith("__"))


def test_functions_take_few_parameters() -> None:
    # A verb's parameters are its options on the command line: they are counted by whoever reads --help.
    names = [name for name in sources() if not name.startswith("gateway/cli/")]
    found = {f"{name}:{node.name}": parameters(node) for name in names for node in functions(name)}
    assert {place: count for place, count in found.items() if count > PARAMETERS} == {}


def parameters(node: Function) -> int:
    named = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in named if name not in {"self", "cls"}])


def test_only_three_named_places_catch_everything() -> None:
    found = [name for name in sources() for node in ast.walk(tree(name)) if catches_everything(node)]
    assert set(found) - MAY_CATCH_EVERYTHING == set()
    assert len(found) == len(set(found)), "once in each"


def catches_everything(node: ast.AST) -> bool:
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("suppress"):
        return any(ast.unparse(argument) in {"Exception", "BaseException"} for argument in node.args)
    if not isinstance(node, ast.ExceptHandler):
        return False
    if node.type is None or ast.unparse(node.type) == "Exception":
        return True
    kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    broad = any(ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)
    ends_in_raise = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
    return broad and not ends_in_raise  # cleaning up and going on with the same exception swallows nothing


def test_nobody_catches_groups() -> None:
    # `except*` around an inner TaskGroup swallows cancellation together with errors.
    assert [name for name in sources() for node in ast.walk(tree(name)) if isinstance(node, ast.TryStar)] == []


@pytest.mark.parametrize("module", ["yaml", "requests", "logging.config"])
def test_some_modules_are_never_imported(module: str) -> None:
    """yaml: its YAML 1.1 turns `off` into False and 22:30 into 1350; ours is ruamel.yaml, in config.load."""
    users = {name for name in sources() for node in ast.walk(tree(name)) if module in imported(node)}
    assert users == set()


def test_yaml_is_read_in_one_place() -> None:
    users = {name for name in sources() for node in ast.walk(tree(name)) if "ruamel.yaml" in imported(node)}
    assert users - {"config/rehearsal.py"} == {"config/load.py"}  # the other one writes a copy of a site file


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_nothing_sleeps_inside_the_event_loop() -> None:
    async_names = [
        f"{name}:{node.name}"
        for name in sources()
        for node in functions(name)
        if isinstance(node, ast.AsyncFunctionDef) and "time.sleep(" in ast.unparse(node)
    ]
    assert async_names == []


def test_no_file_knows_this_machine() -> None:
    home = str(Path.home())
    machine = {str(ROOT)} | ({home} if len(home) > 1 else set())
    pattern = re.compile("|".join(map(re.escape, machine)) + r"|/(?:home|Users)/\w+/|/[w]ork/\w")
    assert [(name, found[0]) for name, text in texts() if (found := pattern.search(text))] == []


def test_no_file_names_a_package_registry() -> None:
    # Which index packages come from is the machine's business, not the repository's.
    pattern = re.compile(r"pypi[.]org|pythonhosted[.]org|--(extra-)?index[-]url|--find[-]links")
    assert [(name, found[0]) for name, text in texts() if (found := pattern.search(text))] == []


def test_text_files_end_with_one_line_end() -> None:
    assert [name for name, text in texts() if text and (not text.endswith("\n") or text.endswith("\n\n"))] == []
