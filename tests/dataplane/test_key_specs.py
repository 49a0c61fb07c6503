"""Where keys stand, as a real server says it by COMMAND GETKEYS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import hiredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rproxy.dataplane.command_table import FACTS
from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.key_specs import KeySpec, positions, read
from rproxy.embedded import EmbeddedServer

TABLE = CommandTable()
LINES = """
GET k|SET k v EX 10|MGET a b c|MGET a a|MSET a 1 b 2|MSETNX a 1|DEL a b|EXISTS a|UNLINK a b c|TOUCH a b|GETEX k EX 3|SETRANGE k 0 x
APPEND k v|INCR k|RENAME a b|COPY a b DB 1|MOVE k 1|TYPE k|OBJECT ENCODING k|OBJECT HELP|MEMORY USAGE k SAMPLES 0|MEMORY STATS|DUMP k|PFMERGE a b c
RESTORE k 0 x|PFCOUNT a b|PFADD k|BITOP AND d a b|BITFIELD k GET u8 0|BITCOUNT k|LCS a b LEN|LCS a b
LPUSH k a b|LMOVE a b LEFT RIGHT|BLMOVE a b LEFT RIGHT 0|RPOPLPUSH a b|BRPOPLPUSH a b 0|BLPOP a b 0|BRPOP a 0|LMPOP 2 a b LEFT|BLMPOP 0 2 a b LEFT COUNT 3
BLMPOP 0 1 a LEFT|BZMPOP 0 2 a b MIN|BZPOPMIN a b 0|ZMPOP 1 z MAX|SINTERCARD 2 a b LIMIT 1|SINTERSTORE d a b|SUNION a b|SMOVE a b m|SDIFFSTORE d a
ZUNIONSTORE d 2 a b WEIGHTS 1 2|ZINTER 2 a b WITHSCORES|ZDIFF 1 a|ZDIFFSTORE d 2 a b|ZINTERCARD 2 a b|ZRANGESTORE d s 0 -1|ZADD z 1 m|ZRANGE z 0 -1
GEOADD g 1 2 m|GEORADIUS g 1 2 3 km|GEORADIUS g 1 2 3 km STORE d|GEORADIUS g 1 2 3 km ASC STOREDIST d|GEORADIUSBYMEMBER g m 3 km STORE d
GEORADIUS g 1 2 3 km STORE a STORE b|GEORADIUSBYMEMBER g m 3 km STOREDIST STORE STORE b
GEORADIUS_RO g 1 2 3 km|GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 km|HSET h f v|HSCAN h 0|SCAN 0|KEYS *|DBSIZE|RANDOMKEY|FLUSHALL|SWAPDB 0 1
EVAL s 2 a b c|EVAL s 0|EVAL s 0 a|EVALSHA x 1 a|EVAL_RO s 1 a|FCALL f 2 a b|FCALL_RO f 0 x|SCRIPT LOAD s|FUNCTION LIST
XADD s * f v|XREAD STREAMS a b 0 0|XREAD COUNT 2 BLOCK 0 streams a $|XREADGROUP GROUP g c STREAMS a b > >|XREADGROUP GROUP g STREAMS STREAMS s >
XREADGROUP GROUP STREAMS c NOACK STREAMS s >|XINFO STREAM s FULL|XINFO GROUPS s|XGROUP CREATE s g $ MKSTREAM|XPENDING s g|XACK s g 1-1|XINFO HELP
SORT k|SORT k STORE d|SORT k BY w* LIMIT 0 5 GET # GET x* ASC ALPHA STORE d|SORT k STORE a STORE b|SORT k BY store GET store STORE d|SORT_RO k BY w*
MIGRATE h 1 k 0 100|MIGRATE h 1 k 0 100 COPY REPLACE|MIGRATE h 1 EMPTY 0 100 KEYS a b|MIGRATE h 1 EMPTY 0 100 AUTH keys KEYS a
MIGRATE h 1 EMPTY 0 100 COPY AUTH2 u keys KEYS a b
SUBSCRIBE c|SSUBSCRIBE c|SPUBLISH c m|PUBLISH c m|WATCH a b|MULTI|PING|CLIENT ID|CLIENT KILL x|CONFIG GET a|DEBUG OBJECT k|SELECT 1|AUTH a b|HELLO 3
MSETEX 2 a 1 b 2 EX 5|DELIFEQ k v|HGETEX h FIELDS 1 f|COMMAND GETKEYS GET k|INFO|CLUSTERSCAN 0
GET|GET a b|MGET|EVAL s 3 a|EVAL s -1 a|EVAL s x a|ZUNIONSTORE d 0 a|ZUNIONSTORE d 99999999999999999999 a|LMPOP 5 a b|XREAD COUNT 2|LCS a
""".replace("\n", "|").strip("|")
WORDS = "a b k 0 1 2 3 10 -1 01 STREAMS KEYS keys STORE STOREDIST AUTH AUTH2 BY GET LIMIT km * COUNT BLOCK EMPTY".replace(
    "EMPTY", "''"
).split()


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as started:
        yield started


def words_of(line: str) -> list[bytes]:
    return [b"" if word == "EMPTY" else word.encode() for word in line.split()]


def ours(args: Sequence[bytes]) -> list[bytes]:
    return TABLE.find(args[0], args[1] if len(args) > 1 else b"").keys(args)


def theirs(server: EmbeddedServer, args: Sequence[bytes]) -> list[bytes]:
    """What the server answers; nothing where it says that there are no keys, or that the command is malformed."""
    try:
        keys: list[bytes] = server.call("COMMAND", "GETKEYS", *args)
    except hiredis.ReplyError as refusal:
        reasons = ("no key arguments", "Invalid number of arguments", "Invalid arguments", "Invalid command")
        assert any(reason in str(refusal) for reason in reasons), refusal
        return []
    return keys


def spelt_out(name: str, arity: int, specs: Sequence[str], more: int) -> list[bytes]:
    """A command that fits its specifications, with as many words as it needs and `more`."""
    args = [word.encode() for word in name.split("|")]
    args += [b"k%d" % at for at in range(len(args), abs(arity) + (more if arity < 0 else 0))]
    for spec in specs:
        begin, kind, *rest = spec.split()[-5:] if spec != "unknown" else ("0", "")
        if kind == "keynum":
            args[int(begin) + int(rest[0])] = b"1"
        elif spec.startswith("STREAMS"):
            args = [*args[: int(begin)], b"STREAMS", b"s1", b"s2", b"0", b"0"]
    return args


@pytest.mark.parametrize("line", [line for line in LINES.split("|") if line])
def test_the_keys_are_those_that_the_server_names(server: EmbeddedServer, line: str) -> None:
    args = words_of(line)
    assert sorted(ours(args)) == sorted(theirs(server, args))


@pytest.mark.parametrize("more", [0, 1, 2])
def test_every_command_of_the_table_has_the_keys_that_the_server_names(server: EmbeddedServer, more: int) -> None:
    lines = [spelt_out(*row[:2], row[3], more) for row in FACTS if row[3]]
    assert len(lines) > 200
    wrong = [(args, ours(args), theirs(server, args)) for args in lines if sorted(ours(args)) != sorted(theirs(server, args))]
    assert [line for line in wrong if line[0] != [b"PFMERGE", b"k1"]] == []


def test_pfmerge_without_sources_still_writes_its_destination(server: EmbeddedServer) -> None:
    # The server runs it, though its own GETKEYS calls it malformed.
    assert server.call("PFMERGE", "d") == b"OK"
    assert ours([b"PFMERGE", b"d"]) == [b"d"]


def test_a_number_with_a_leading_zero_is_none(server: EmbeddedServer) -> None:
    # The server refuses to run it, though its own GETKEYS reads the number.
    with pytest.raises(hiredis.ReplyError, match="not an integer"):
        server.call("EVAL", "return 1", "01", "a")
    assert ours([b"EVAL", b"s", b"01", b"a"]) == []


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(
        "SORT MIGRATE GEORADIUS XREAD XREADGROUP EVAL GEORADIUSBYMEMBER SORT_RO ZUNIONSTORE MSETEX LMPOP BLMPOP PFMERGE BLPOP MSET".split()
    ),
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=12),
)
def test_no_key_that_the_server_names_is_left_out(server: EmbeddedServer, name: str, words: list[str]) -> None:
    args = [name.encode(), *(word.encode() if word != "''" else b"" for word in words)]
    assert set(theirs(server, args)) <= set(ours(args)) or not ours(args)


@given(
    name=st.sampled_from(sorted({name for name in TABLE.commands if name.isupper()})),
    words=st.lists(st.one_of(st.sampled_from([word.encode() for word in WORDS]), st.binary(max_size=8)), max_size=10),
)
def test_keys_are_always_words_of_the_command(name: bytes, words: list[bytes]) -> None:
    args = [name, *words]
    found = ours(args)
    assert set(found) <= set(args[1:])
    assert len(found) < len(args)


@given(st.text(max_size=30), st.lists(st.binary(max_size=4), max_size=6))
def test_a_specification_that_nobody_understands_names_no_keys(text: str, args: list[bytes]) -> None:
    found = positions(b"MOD.X", read([text]), args)
    assert all(0 < at < len(args) for at in found)
    if not KeySpec(text).known:
        assert found == []


def test_one_unknown_specification_makes_all_keys_unknown() -> None:
    assert positions(b"MOD.X", read(["1 range 0 1 0"]), [b"MOD.X", b"k"]) == [1]
    assert positions(b"MOD.X", read(["1 range 0 1 0", "unknown"]), [b"MOD.X", b"k"]) == []


def test_fixed_places_do_not_tell_all_keys_of_a_command_with_movable_keys() -> None:
    assert positions(b"MOD.X", read(["1 range 0 1 0"], movable=True), [b"MOD.X", b"k"]) == []
    assert positions(b"MOD.X", read(["1 keynum 0 1 1"], movable=True), [b"MOD.X", b"1", b"k"]) == [2]


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "1 range 0 0 0", "0 range 0 1 0", "1 keynum 0 1 0", "1 range 0 1", "1 forest 0 1 0", "A B 1 range 0 1 0"],
)
def test_a_specification_that_makes_no_sense_is_not_known(text: str) -> None:
    assert not KeySpec(text).known


def test_one_specification_serves_all_commands_that_state_it() -> None:
    assert read(["1 range 0 1 0"])[0] is read(["1 range 0 1 0"])[0]
    assert TABLE.find(b"GET").key_specs[0] is TABLE.find(b"SET").key_specs[0]
