"""Inline commands: Redis's quoting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane.inline import split_line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"PING\r\n", [b"PING"]),
        (b"  set  k\tv \r\n", [b"set", b"k", b"v"]),
        (b"\r\n", []),
        (b"\x0bGET\x0c \x85k\xa0\r\n", [b"GET", b"\x85k\xa0"]),
        (b'\x0bGET\x0c \x85k\xa0 "\xff\x00"\r\n', [b"GET", b"\x85k\xa0", b"\xff\x00"]),
        (b'"\\xfF\\x0a\\x0"', [b"\xff\nx0"]),
        (b"PING\rPING\r\n", [b"PING", b"PING"]),
        (b'set k "a b"\r\n', [b"set", b"k", b"a b"]),
        (b'"\\x50\\n\\r\\t\\b\\a\\"\\\\\\q"\r\n', [b'P\n\r\t\b\a"\\q']),
        (b'"\\xzz"\r\n', [b"xzz"]),
        (b"'a\\'b\\n'\r\n", [b"a'b\\n"]),
        (b'get ""\r\n', [b"get", b""]),
        (b'a"b c"\r\n', [b"ab c"]),
    ],
)
def test_a_line_is_split_as_redis_does(line: bytes, words: list[bytes]) -> None:
    assert split_line(line) == words


@pytest.mark.parametrize("line", [b"set a 'b\r\n", b'set a "b\r\n', b'"b"c\r\n', b"'b'c\r\n", b'"a\\"\r\n'])
def test_quotes_that_are_not_balanced_give_nothing(line: bytes) -> None:
    assert split_line(line) is None


@given(st.lists(st.binary(max_size=12), max_size=5))
def test_quoted_words_come_back(words: list[bytes]) -> None:
    line = b" ".join(b'"' + b"".join(b"\\x%02x" % byte for byte in word) + b'"' for word in words)
    assert split_line(line + b"\r\n") == words


@given(st.binary(max_size=80))
def test_any_line_gives_words_or_nothing(line: bytes) -> None:
    words = split_line(line)
    assert words is None or all(isinstance(word, bytes) for word in words)
