"""The codes of errors."""

from __future__ import annotations

import pytest

from rproxy.dataplane.codes import CODES, code_at


@pytest.mark.parametrize(
    "reply, code",
    [
        (b"-WRONGTYPE Operation\r\n", "WRONGTYPE"),
        (b"-ERR no\r\n", "ERR"),
        (b"!8\r\nOOM what\r\n", "OOM"),
        (b"-user:17 is not known\r\n", "other"),
        (b"-\r\n", "other"),
        (b"-WRO", "other"),
    ],
)
def test_only_codes_that_are_known_have_a_count_of_their_own(reply: bytes, code: str) -> None:
    assert CODES[code_at(b"+OK\r\n" + reply, 5)] == code
