"""The lines of a TOML text: every way to write a key."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.toml_lines import Path, lines_of


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a = 1", {("a",): 1}),
        ("# c\n\n[s]  # c\n a = '#'\n", {("s",): 3, ("s", "a"): 4}),
        ("a.b = 1\na.c = 2", {("a",): 1, ("a", "b"): 1, ("a", "c"): 2}),
        ("[ x . 'y z' ]\n\"q.r\" = 1.5", {("x", "y z"): 1, ("x", "y z", "q.r"): 2}),
        ("a = { b = 1, c.d = [2] }\ne = 1", {("a", "b"): 1, ("a", "c", "d"): 1, ("e",): 2}),
        ('a = [\n  "x", # ]\n\n  "y,",\n]\nb = 1', {("a",): 1, ("a", 0): 2, ("a", 1): 4, ("b",): 6}),
        ("a = [[1,\n2], [\n3]]\nb = 1", {("a", 0, 0): 1, ("a", 0, 1): 2, ("a", 1, 0): 3, ("b",): 4}),
        ('a = """\nb = 1\n[c]\\"""\n"""\nd = 1', {("a",): 1, ("d",): 5}),
        ("a = '''\n\"\n'''\nb = 2", {("b",): 4}),
        ("a = 1979-05-27 07:32:00\nb = -1.5e3\nc = true", {("b",): 2, ("c",): 3}),
        ("[[t]]\na = 1\n[[t]]\na = 2", {("t",): 1, ("t", "a"): 2}),
    ],
)
def test_a_key_stands_on_this_line(text: str, lines: dict[Path, int]) -> None:
    tomllib.loads(text)
    found = lines_of(text)
    assert {path: found.get(path) for path in lines} == lines


_KEYS = st.text("ab.'\" #=[]{},\\", min_size=1, max_size=4)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.integers(-9, 9), st.text("a]},#=\"'\\[{", max_size=5), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(_written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_written(key)} = {_written(item)}" for key, item in value.items()) + "}"
    return str(value)


@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_whatever_the_values_hold_every_key_is_found_on_its_line(table: dict[str, Any]) -> None:
    text, expected = "", {}
    for key, value in table.items():
        expected[(key,)] = text.count("\n") + 1
        text += f"{_written(key)} = {_written(value)}\n"
    assert tomllib.loads(text) == table
    found = lines_of(text)
    assert {path: line for path, line in found.items() if len(path) == 1} == expected
