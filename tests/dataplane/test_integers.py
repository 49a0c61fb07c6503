"""Numbers are read as servers read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane.integers import integer


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_every_64_bit_integer_is_read(number: int) -> None:
    assert integer(b"%d" % number) == number


@pytest.mark.parametrize(
    "word", [b"", b"-", b"-0", b"00", b"01", b"-01", b"+1", b" 1", b"1 ", b"1_0", b"1.0", b"0x1", b"a", b"\xd9\xa1", b"9" * 5000]
)
def test_what_a_server_takes_for_no_integer_is_none(word: bytes) -> None:
    assert integer(word) is None


@given(st.one_of(st.integers(1 << 63, 1 << 70), st.integers(-(1 << 70), -(1 << 63) - 1)))
def test_what_does_not_fit_64_bits_is_none(number: int) -> None:
    assert integer(b"%d" % number) is None
