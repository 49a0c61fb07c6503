"""Arrows go one way, down: a room may import any room below it, never one above, and the data plane touches no outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rproxy

ROOT = Path(rproxy.__file__).parent
ORDER = ["errors", "dataplane", "settings", "embedded", "controlplane", "service", "admin", "front"]
"""From the lowest to the highest."""
ROOMS = {
    "errors": ["errors", "__init__"],
    "settings": ["settings", "config", "config_sources", "config_values", "tls", "toml_lines", "urls"],
    "embedded": ["embedded", "parent_process"],
}
FORBIDDEN_BELOW = {"asyncio", "redis", "hiredis", "logging", "time", "random", "socket", "threading", "uvloop"}
FILES = sorted(ROOT.rglob("*.py"))
TESTS = Path(__file__).parent
EACH_FIRST = """
import asyncio, hypothesis, importlib, os, pytest, redis.asyncio, sys
for name in sys.argv[1:]:
    if child := os.fork():
        if os.waitpid(child, 0)[1]:
            print(name, flush=True)
        continue
    importlib.import_module(name)
    os._exit(0)
"""
"""Imports each module as the first one of a process of its own: by forks, as what they all import of others takes longer than they do."""


def room(module: str) -> str:
    """The room in which `rproxy.<module>` stands."""
    first = module.split(".")[0]
    if first in ("dataplane", "controlplane", "service", "admin"):
        return first
    return next((name for name, files in ROOMS.items() if first in files), "front")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for name in imports(path):
        if name.startswith("rproxy."):
            there = room(name.removeprefix("rproxy.").replace("__version__", "errors"))
            assert ORDER.index(there) <= ORDER.index(here), f"{here} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "dataplane").glob("*.py")), ids=lambda path: path.name)
def test_the_data_plane_touches_no_outside(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & FORBIDDEN_BELOW


def names(root: Path, pattern: str) -> list[str]:
    """The modules below `root` whose files are called so, by their full names."""
    files = [path.relative_to(root.parent).with_suffix("") for path in root.rglob(pattern)]
    return sorted(".".join(file.parts).removesuffix(".__init__") for file in files)


@pytest.mark.parametrize(("root", "pattern"), [(ROOT, "*.py"), (TESTS, "test_*.py")], ids=["rproxy", "tests"])
def test_each_module_can_be_imported_first(root: Path, pattern: str) -> None:
    modules = names(root, pattern)
    assert len(modules) > 100
    done = subprocess.run([sys.executable, "-c", EACH_FIRST, *modules], capture_output=True, text=True, cwd=TESTS.parent)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_redis_py_lives_in_the_control_plane_and_nowhere_else() -> None:
    users = {path.relative_to(ROOT).parts[0] for path in FILES if any(name.split(".")[0] == "redis" for name in imports(path))}
    assert users <= {"controlplane", "demo.py"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_is_longer_than_50_lines(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < 50, f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
