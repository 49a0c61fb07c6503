"""On which line of a TOML text each key stands: tomllib reads values and forgets their places, and an error
must name its line.

Called by the settings' sources, for a text that tomllib has already accepted: what would be wrong TOML is
never looked at here, and no value is read. It must never raise for such a text; a key that it misses is
reported without a line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

Path = tuple[str | int, ...]  # ("timeouts", "connect"); ("servers", 1) is the second item of an array

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<string>\"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*')
      | (?P<mark>[\[\]{}=,.])
      | (?P<word>[^\s\#"'\[\]{}=,.]+)""",
    re.VERBOSE | re.DOTALL,
)


def lines_of(text: str) -> dict[Path, int]:
    """Line numbers, from 1, of every table, key and array item of a valid TOML text, by path."""
    return _Scanner(text).scan()


class _Scanner:
    """Walks over the tokens once. `token` is the current one's text, "" at the end; `kind` its group; `line`
    where it begins.
    """

    def __init__(self, text: str) -> None:
        self._tokens = self._cut(text)
        self._lines: dict[Path, int] = {}
        self._next()

    @staticmethod
    def _cut(text: str) -> Iterator[tuple[str, str, int]]:
        line = 1
        for found in _TOKEN.finditer(text):
            kind = found.lastgroup or ""
            if kind != "space":
                yield kind, found[0], line
            line += found[0].count("\n")

    def _next(self) -> None:
        self.kind, self.token, self.line = next(self._tokens, ("end", "", 0))

    def scan(self) -> dict[Path, int]:
        table: Path = ()
        while self.kind != "end":
            if self.kind == "newline":
                self._next()
            elif self.token == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _header(self) -> Path:
        while self.token == "[":
            self._next()
        line, table = self.line, self._key()
        while self.token == "]":
            self._next()
        self._lines.setdefault(table, line)
        return table

    def _key(self) -> Path:
        """The parts of a dotted key, up to the mark that ends it."""
        parts: list[str] = []
        while self.token == "." or self.kind in ("word", "string"):
            if self.kind == "string":
                parts.append(tomllib.loads(f"key = {self.token}")["key"])
            elif self.kind == "word":
                parts.append(self.token)
            self._next()
        return tuple(parts)

    def _pair(self, table: Path) -> None:
        line, path = self.line, table + self._key()
        self._lines.setdefault(path, line)
        for size in range(len(table) + 1, len(path)):  # `timeouts.connect = ...` also makes the table `timeouts`
            self._lines.setdefault(path[:size], line)
        self._next()  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        if self.token == "{":
            self._inline_table(path)
        elif self.token == "[":
            self._array(path)
        else:
            while self.kind not in ("newline", "end") and self.token not in (",", "]", "}"):
                self._next()

    def _inline_table(self, path: Path) -> None:
        self._next()
        while self.token != "}" and self.kind != "end":
            if self.kind == "newline" or self.token == ",":
                self._next()
            else:
                self._pair(path)
        self._next()

    def _array(self, path: Path) -> None:
        self._next()
        index = 0
        while self.token != "]" and self.kind != "end":
            if self.kind == "newline":
                self._next()
            elif self.token == ",":
                index += 1
                self._next()
            else:
                self._lines[(*path, index)] = self.line
                self._value((*path, index))
        self._next()
