"""What is asked of bytes in place, without a slice of them.

Called by `freshness` and `run`. This is what is done interpreted; compiled it is the C functions in `octets.pxd`. They must never be asked about places
outside the bytes.
"""

from __future__ import annotations


def word(data: bytes, at: int) -> int:
    """The eight bytes from `at` on as a number, the first the lowest."""
    return int.from_bytes(data[at : at + 8], "little")


def stands(part: bytes, data: bytes, at: int) -> bool:
    """Whether `part` stands in `data` at this place, which is one where it would fit."""
    return data.startswith(part, at)
