"""Integers in clients' and servers' bytes, as servers read them.

Used wherever the data plane takes a number from a command or a reply. Python's `int` takes signs, spaces, underscores and leading zeros that servers refuse,
and raises ValueError above 4,300 digits, so it must never be given bytes that came from outside.
"""

from __future__ import annotations

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_LONGEST = 20  # characters of the least number (LONG_STR_SIZE, util.h, with its NUL)


def integer(word: bytes) -> int | None:
    """The 64 bit integer that a server takes `word` for (string2ll, util.c), None where it takes it for none."""
    digits = word[1:] if word[:1] == b"-" else word
    if len(word) > _LONGEST or not digits.isdigit() or (digits[:1] == b"0" and word != b"0"):
        return None
    number = int(word)
    return number if _LEAST <= number <= _MOST else None
