"""Where keys stand: against the server's own COMMAND GETKEYS, and for any words at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane.commands import CommandTable
from rproxy.embedded import EmbeddedServer

TABLE = CommandTable()
LINES = """
GET k
SET k v EX 10
MGET a b c
MSET a 1 b 2
DEL a b
RENAME a b
COPY a b REPLACE
BITOP AND d a b
HSET h f v
LMOVE a b LEFT RIGHT
BLPOP a b 0
BLMPOP 0 2 a b LEFT
LMPOP 2 a b LEFT COUNT 2
ZUNION 2 a b WEIGHTS 1 2
ZUNIONSTORE d 2 a b
ZINTERCARD 2 a b LIMIT 1
SINTERCARD 2 a b
EVAL script 2 a b x
EVALSHA sha 1 a
FCALL f 2 a b x
XREAD COUNT 2 STREAMS a b 0 0
XREADGROUP GROUP g c STREAMS a b > >
XADD s * f v
PFMERGE d a b
OBJECT ENCODING k
MEMORY USAGE k
XINFO STREAM s
GEOSEARCHSTORE d s FROMLONLAT 1 1 BYRADIUS 1 m
EXISTS a b
PFCOUNT a b
SMOVE a b m
LCS a b
WATCH a b
""".strip().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_keys_are_those_that_the_server_finds(leader: EmbeddedServer, line: str) -> None:
    words = [word.encode() for word in line.split()]
    assert TABLE.find(*words[:2]).keys(words) == leader.call("COMMAND", "GETKEYS", *words)


@pytest.mark.parametrize(
    "line", ["PING", "CONFIG GET x", "EVAL s 0", "EVAL s 99 a", "EVAL s x a", "XREAD COUNT 1", "GET", "ZUNION", "NONSENSE k"]
)
def test_where_there_are_no_keys_or_the_command_is_malformed_none_are_found(line: str) -> None:
    words = [word.encode() for word in line.split()]
    assert TABLE.find(*words[:2]).keys(words) == []


@given(
    st.sampled_from(sorted(TABLE.commands)),
    st.lists(st.one_of(st.binary(max_size=6), st.sampled_from([b"2", b"STREAMS", b"-1"])), max_size=8),
)
def test_for_any_words_keys_are_among_them(name: bytes, rest: list[bytes]) -> None:
    words = [name, *rest]
    command = TABLE.find(*words[:2])
    assert all(key in rest for key in command.keys(words))
