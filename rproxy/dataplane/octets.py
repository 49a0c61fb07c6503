"""What is asked of bytes in place, without a slice of them, and memory as numbers.

Called by `freshness`, `run`, `histograms` and `inlets`. This is what is done interpreted; compiled it is the C functions in `octets.pxd`, which know no
bounds: they must never be asked about places outside the bytes, and whoever has numbers of a memory keeps a view of that, so that it is not closed.
"""

from __future__ import annotations


def numbers(memory: object) -> memoryview[int]:
    """The writable memory as unsigned 64-bit numbers."""
    return memoryview(memory).cast("B").cast("Q")  # type: ignore[arg-type]


def integers(memory: object) -> memoryview[int]:
    """The writable memory as C integers."""
    return memoryview(memory).cast("B").cast("i")  # type: ignore[arg-type]


def word(data: bytes, at: int) -> int:
    """The eight bytes from `at` on as a number, the first the lowest."""
    return int.from_bytes(data[at : at + 8], "little")


def stands(part: bytes, data: bytes, at: int) -> bool:
    """Whether `part` stands in `data` at this place, which is one where it would fit."""
    return data.startswith(part, at)
