"""What is asked of bytes in place: compiled, by those who ask, as only they can."""

from __future__ import annotations

import sys
from array import array

from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane import octets
from rproxy.dataplane.freshness import slot_of


@given(st.binary(min_size=8, max_size=30), st.data())
def test_a_word_is_eight_bytes_the_first_the_lowest(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 8))
    assert octets.word(data, at) == sum(byte << 8 * place for place, byte in enumerate(data[at : at + 8]))


@given(st.binary(max_size=5), st.binary(max_size=9), st.binary(max_size=9))
def test_a_part_stands_where_the_same_bytes_are(part: bytes, before: bytes, after: bytes) -> None:
    data = before + part + after
    for at in range(len(data) - len(part) + 1):
        assert octets.stands(part, data, at) == (data[at : at + len(part)] == part)


@given(st.binary(max_size=64))
def test_the_slot_of_a_key_is_the_same_whether_words_are_read_by_c_or_not(key: bytes) -> None:
    factor, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    number, last = len(key), int.from_bytes(key, "big")
    if len(key) >= 8:
        last = octets.word(key, len(key) - 8)
        for at in range(0, len(key) - 8, 8):
            number = (number ^ octets.word(key, at)) * factor & mask
            number ^= number >> 32
    number = (number ^ last) * factor & mask
    assert slot_of(key, 0, len(key)) == ((number ^ number >> 32) * factor & mask) >> 44


def test_memory_is_written_as_numbers() -> None:
    memory = bytearray(16)
    octets.numbers(memory)[1] = 1 << 63
    assert memory == bytes(8) + (1 << 63).to_bytes(8, sys.byteorder)
    found = array("i", [0, 0])
    octets.integers(found)[1] = -7
    assert found.tolist() == [0, -7]
