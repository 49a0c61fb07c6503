"""The framers: where commands and replies end, however their bytes are cut."""

from __future__ import annotations

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rproxy.dataplane import resp

GET = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces that end at `places`."""
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in zip(marks, marks[1:], strict=False)]


def commands(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    """The commands in `pieces` and the words of the protocol error that ended them, if one did."""
    framer = resp.RequestFramer()
    found: list[bytes] = []
    begun = b""
    for piece in pieces:
        pos = 0
        while pos < len(piece):
            stop = framer.scan(piece, pos)
            if stop == resp.BROKEN:
                return found, framer.problem
            if stop == resp.MORE:
                begun += piece[pos:]
                break
            found.append(begun + piece[pos:stop])
            begun = b""
            pos = stop
    return found, b""


def replies(pieces: list[bytes]) -> list[tuple[int, bytes]] | bytes:
    """The replies in `pieces` with their kinds, or the words of the protocol error."""
    framer = resp.ReplyFramer()
    found: list[tuple[int, bytes]] = []
    begun = b""
    for piece in pieces:
        pos = 0
        while pos < len(piece):
            stop = framer.scan(piece, pos)
            if stop == resp.BROKEN:
                return framer.problem
            if stop == resp.MORE:
                begun += piece[pos:]
                break
            found.append((framer.kind, begun + piece[pos:stop]))
            begun = b""
            pos = stop
    return found


words = st.lists(st.binary(max_size=40), min_size=1, max_size=6)
lines = st.lists(st.text("abcXYZ019:_-", min_size=1, max_size=8), min_size=1, max_size=4).map(
    lambda parts: " ".join(parts).encode() + b"\r\n"
)
frames = st.one_of(words.map(resp.encode), lines, st.sampled_from([b"*0\r\n", b"*-1\r\n", b"\r\n", b"\n"]))
places = st.lists(st.integers(0, 10_000), max_size=12)


@given(st.lists(frames, max_size=8), places)
def test_any_commands_in_any_cuts_give_the_same_commands(sent: list[bytes], where: list[int]) -> None:
    assert commands(cut(b"".join(sent), where)) == (sent, b"")


@given(st.lists(frames, max_size=4))
def test_commands_byte_by_byte_are_the_same_commands(sent: list[bytes]) -> None:
    whole = b"".join(sent)
    assert commands([whole[at : at + 1] for at in range(len(whole))]) == (sent, b"")


@given(words)
def test_a_command_split_gives_the_words_that_it_was_made_of(sent: list[bytes]) -> None:
    assert resp.split(resp.encode(sent)) == sent


@given(words)
def test_the_framer_tells_where_the_first_two_words_stand(sent: list[bytes]) -> None:
    frame = resp.encode(sent)
    framer = resp.RequestFramer()
    assert framer.scan(frame, 0) == len(frame)
    assert framer.argc == len(sent)
    assert frame[framer.name_at : framer.name_end] == sent[0]
    if len(sent) > 1:
        assert frame[framer.word_at : framer.word_end] == sent[1]


@given(st.binary(max_size=300), places)
def test_arbitrary_bytes_give_commands_or_a_protocol_error_wherever_they_are_cut(data: bytes, where: list[int]) -> None:
    assert commands([data]) == commands(cut(data, where))


@given(
    st.lists(
        st.sampled_from([b"*", b"$", b"\r", b"\n", b"\r\n", b"1", b"2", b"-", b"0", b"GET", b" ", b"+", b"%", b">", b"|", b"_"]),
        max_size=40,
    ),
    places,
)
def test_bytes_that_look_like_frames_are_judged_the_same_wherever_they_are_cut(parts: list[bytes], where: list[int]) -> None:
    data = b"".join(parts)
    assert commands([data]) == commands(cut(data, where))
    assert replies([data]) == replies(cut(data, where))


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"*1\r\n*1\r\n", b"expected '$', got '*'"),
        (b"*2\r\n$3\r\nGET\r\n:5\r\n", b"expected '$', got ':'"),
        (b"*1\r\n\r\n", b"expected '$', got ' '"),
        (b"*1\r\n$-1\r\n", b"invalid bulk length"),
        (b"*1\r\n$\r\n", b"invalid bulk length"),
        (b"*1\r\n$04\r\n", b"invalid bulk length"),
        (b"*1\r\n$4 \r\n", b"invalid bulk length"),
        (b"*1\r\n$2000000000\r\n", b"invalid bulk length"),
        (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
        (b"*1\r\n$99999999999999999999999\r\n", b"invalid bulk length"),
        (b"*\r\n", b"invalid multibulk length"),
        (b"*01\r\n", b"invalid multibulk length"),
        (b"*+1\r\n", b"invalid multibulk length"),
        (b"*-0\r\n", b"invalid multibulk length"),
        (b"*1a\r\n", b"invalid multibulk length"),
        (b"*-1a\r\n", b"invalid multibulk length"),
        (b"*1048577\r\n", b"invalid multibulk length"),
        (b"*3000000000\r\n", b"invalid multibulk length"),
        (b"*1\n$4\r\n", b"invalid multibulk length"),
        (b"*1\rX", b"invalid CRLF in request"),
        (b"*1\r\n$4\rX", b"invalid CRLF in request"),
        (b"*1\r\n$4\r\nPINGxx", b"invalid CRLF in request"),
        (b"*1\r\n$4\r\nPING\rx", b"invalid CRLF in request"),
        (b"*" + b"1" * 70_000, b"too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70_000, b"too big bulk count string"),
        (b"x" * 70_000, b"too big inline request"),
    ],
)
def test_what_breaks_the_protocol_is_named_in_redis_words(sent: bytes, problem: bytes) -> None:
    found, said = commands([sent])
    if sent.startswith((b"*1\n", b"*1a", b"*-1a")):
        found, said = commands([sent + b"\r\n"])
    assert (found, said) == ([], problem)


def test_behind_a_nul_a_line_has_no_end() -> None:
    assert commands([b"\x16\x03\x01\0\n", b"PING\r\n"]) == ([], b"")
    assert commands([b"\0\r\n", b"x" * 70_000]) == ([], b"too big inline request")


def test_a_command_after_an_error_free_one_is_found_before_the_error() -> None:
    assert commands([GET + b"*1\r\n:1\r\n"]) == ([GET], b"expected '$', got ':'")


def test_a_huge_count_reserves_nothing_and_waits() -> None:
    framer = resp.RequestFramer()
    assert framer.scan(b"*1048576\r\n", 0) == resp.MORE
    assert framer.argc == 1024 * 1024


def test_the_size_of_a_command_under_way_counts_what_its_header_announced() -> None:
    framer = resp.RequestFramer()
    head = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\n"
    framer.scan(head + b"x" * 10, 0)
    assert framer.size == len(head) + 1_000_000
    assert framer.named


def test_a_name_that_has_not_come_whole_is_not_named() -> None:
    framer = resp.RequestFramer()
    framer.scan(b"*2\r\n$3\r\nGE", 0)
    assert not framer.named


# Replies. hiredis is the oracle: what it takes for one value must be one frame, and the other way round.

scalars = st.one_of(
    st.sampled_from(
        [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"_\r\n",
            b"#t\r\n",
            b"#f\r\n",
            b",1.5\r\n",
            b",inf\r\n",
            b"(123\r\n",
        ]
    ),
    st.integers(-(2**62), 2**62).map(lambda number: b":%d\r\n" % number),
    st.binary(max_size=30).map(resp.bulk),
    st.binary(max_size=30).map(lambda value: b"=%d\r\ntxt:%b\r\n" % (len(value) + 4, value)),
    st.binary(min_size=1, max_size=30).map(lambda value: b"!%d\r\n%b\r\n" % (len(value), value)),
)
names = st.binary(max_size=8).map(resp.bulk)


def aggregates(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.lists(inner, max_size=4).map(lambda items: b"*%d\r\n%b" % (len(items), b"".join(items))),
        st.lists(scalars, max_size=4).map(lambda items: b"~%d\r\n%b" % (len(items), b"".join(items))),
        st.lists(st.tuples(names, inner), max_size=3).map(
            lambda items: b"%%%d\r\n%b" % (len(items), b"".join(k + v for k, v in items))
        ),
    )


values = st.recursive(scalars, aggregates, max_leaves=12)


@given(st.lists(values, max_size=6), places)
def test_any_replies_in_any_cuts_give_the_same_replies(sent: list[bytes], where: list[int]) -> None:
    assert replies(cut(b"".join(sent), where)) == [(reply[0], reply) for reply in sent]


@given(values.filter(lambda reply: b"!" not in reply))
def test_each_reply_that_is_found_is_one_value_to_hiredis(sent: bytes) -> None:
    """All but bulk errors (`!`), which hiredis 3.5 does not know."""
    reader = hiredis.Reader(errors=None, encoding=None, notEnoughData=Ellipsis)
    found = replies([sent + b"+end\r\n"])
    assert isinstance(found, list)
    reader.feed(found[0][1])
    assert reader.gets() is not Ellipsis
    assert reader.gets() is Ellipsis


@given(values, st.lists(st.tuples(names, scalars), max_size=3))
def test_an_attribute_belongs_to_the_reply_behind_it(reply: bytes, attributes: list[tuple[bytes, bytes]]) -> None:
    whole = b"|%d\r\n%b%b" % (len(attributes), b"".join(k + v for k, v in attributes), reply)
    assert replies([whole + b"+end\r\n"]) == [(reply[0], whole), (ord("+"), b"+end\r\n")]


def test_an_attribute_within_an_array_is_no_element() -> None:
    whole = b"*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n"
    assert replies([whole]) == [(ord("*"), whole)]


def test_a_push_within_a_reply_is_none_of_its_values() -> None:
    """As Redis 7.0 sends what EXEC publishes to its own client."""
    executed = b"*2\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n:1\r\n>1\r\n+p\r\n_\r\n"
    assert replies([executed + b"+OK\r\n"]) == [(ord("*"), executed), (ord("+"), b"+OK\r\n")]


def test_a_push_is_told_from_a_reply() -> None:
    push = b">2\r\n+invalidate\r\n*1\r\n+k\r\n"
    assert replies([push + b"+OK\r\n"]) == [(resp.PUSH, push), (ord("+"), b"+OK\r\n")]


@given(st.binary(max_size=200), places)
def test_arbitrary_bytes_give_replies_or_a_protocol_error_wherever_they_are_cut(data: bytes, where: list[int]) -> None:
    assert replies([data]) == replies(cut(data, where))


def test_replies_may_nest_10_000_deep_and_no_deeper() -> None:
    assert replies([b"*1\r\n" * 10_000 + b":1\r\n"]) == [(ord("*"), b"*1\r\n" * 10_000 + b":1\r\n")]
    assert replies([b"*1\r\n" * 10_001 + b":1\r\n"]) == b"nested too deep"


@pytest.mark.parametrize(
    "sent", [b"$?\r\n", b"*?\r\n", b"@\r\n", b"$-2\r\n", b"*--1\r\n", b"$1\r\nab\r\n", b"+OK\rx", b"$1x\r\n", b"$\r\n"]
)
def test_what_no_server_sends_is_refused(sent: bytes) -> None:
    assert isinstance(replies([sent]), bytes)


@pytest.mark.parametrize("kind", [b"+", b"-", b"("])
def test_a_line_may_be_as_long_as_it_likes(kind: bytes) -> None:
    line = kind + b"1" * 300_000 + b"\r\n"
    assert replies([line[:100_000], line[100_000:200_000], line[200_000:]]) == [(kind[0], line)]


def test_within_says_whether_a_reply_is_unfinished() -> None:
    framer = resp.ReplyFramer()
    framer.scan(b"$5\r\nhel", 0)
    assert framer.within()
    framer.scan(b"lo\r\n", 0)
    assert not framer.within()
