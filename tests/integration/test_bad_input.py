"""Bytes that are not commands: rproxy must answer and close exactly as the server behind it does, and nobody
else may notice.

Each case is sent to the live server and to rproxy, followed by an ECHO: if that is answered, the connection
was left open. The answers of Valkey 9.1 were recorded once, by hand; here the server itself is the golden
file.
"""

from __future__ import annotations

import pytest

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster
from tests.integration.wire import Address, Wire, pack

MARK = b"*2\r\n$4\r\nECHO\r\n$8\r\nstill-on\r\n"
MARK_REPLY = b"$8\r\nstill-on\r\n"
PING = b"$4\r\nPING\r\n"

ENDED = {
    "negative count": b"*-10\r\n",
    "count of zero": b"*0\r\n",
    "negative zero count": b"*-0\r\n",
    "empty line": b"\r\n",
    "blank line": b"  \r\n",
    "inline": b"PING\r\n",
    "inline with a bare newline": b"PING\n",
    "inline with spaces around": b"  PING  \r\n",
    "inline with a carriage return inside": b"PING\rPING\r\n",
    "array inside an array": b"*1\r\n*1\r\n" + PING,
    "integer as an argument": b"*2\r\n$3\r\nGET\r\n:5\r\n",
    "null as an argument": b"*1\r\n$-1\r\n",
    "argument without its line end": b"*1\r\n$4\r\nPINGxx",
    "argument that ends in newline and return": b"*1\r\n$4\r\nPING\n\r",
    "count over 32 bits": b"*3000000000\r\n",
    "count over 64 bits": b"*99999999999999999999\r\n",
    "bulk over the limit": b"*1\r\n$2000000000\r\n",
    "bulk one over 512 MB": b"*1\r\n$536870913\r\n",
    "bulk over 64 bits": b"*1\r\n$99999999999999999999\r\n",
    "count with a leading zero": b"*01\r\n" + PING,
    "bulk with a leading zero": b"*1\r\n$04\r\nPING\r\n",
    "count with a plus": b"*+1\r\n" + PING,
    "bulk with a plus": b"*1\r\n$+4\r\nPING\r\n",
    "count without digits": b"*\r\n",
    "bulk without digits": b"*1\r\n$\r\n",
    "count with a letter": b"*1a\r\n",
    "count with a blank": b"*1 \r\n" + PING,
    "negative count with a letter": b"*-1a\r\n",
    "bulk with a blank": b"*1\r\n$4 \r\nPING\r\n",
    "bulk with a letter": b"*1\r\n$x\r\nPING\r\n",
    "return without newline after the count": b"*1\rX" + PING,
    "newline without return after the count": b"*1\n" + PING,
    "return without newline after the length": b"*1\r\n$4\rXPING\r\n",
    "unbalanced single quote": b"set a 'b\r\n",
    "unbalanced double quote": b'set a "b\r\n',
    "empty argument name": b"*1\r\n$0\r\n\r\n",
    "line without a bulk": b"*1\r\n\r\n",
    "NUL where a bulk should begin": b"*1\r\n\x00\r\n",
    "high bytes line": b"\xfe\xfd\xfc\r\n",
    "quoted name with an escape": b"\"PI\\x4eG\"\r\n",
    "single quotes take no escape": b"'PI\\x4eG'\r\n",
    "empty quoted name": b"'' \r\n",
    "empty quoted argument": b'get ""\r\n',
    "inline with binary value": b'SET a "\\x41\\x00\\n\\r\\t\\b\\a\\\\\\"q"\r\nGET a\r\n',
    "inline with an unfinished escape": b'SET a "\\xzz\\q"\r\nGET a\r\n',
    "inline with single quotes": b"SET a 'it\\'s \\n here'\r\nGET a\r\n",
    "inline with tabs": b"ECHO\ta\r\n",
    "inline after an array": pack("SET", "a", "b") + b"GET a\r\n",
    "a valid command, then a bad one": pack("SET", "a", "b") + pack("GET", "a") + b"*1\r\n$-5\r\n",
    "a reply instead of a command": b"+OK\r\n",
    "an error instead of a command": b"-ERR x\r\n",
    "QUIT, then a command": b"QUIT\r\n",
    "QUIT as an array": pack("QUIT"),
    "POST": b"POST / HTTP/1.1\r\n",
    "POST in lower case": b"post / HTTP/1.1\r\n",
    "Host header": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "Host header in lower case": b"GET / HTTP/1.1\r\nhost: x\r\n",
    "many arguments, most of them missing": b"*3\r\n$3\r\nSET\r\n$1\r\na\r\nhello\r\n",
    "wrong arity": pack("GET"),
    "a line just under 64 KB": b"ECHO " + b"a" * 65000 + b"\r\n",
}  # fmt: skip

CUT_SHORT = {"Host header", "Host header in lower case"}
"""What the server says before it closes depends on how much it reads at once: it forgets a reply that it has not yet written."""
IN_BYTES = {name: data for name, data in ENDED.items() if name not in CUT_SHORT}

UNENDED = {
    "70 KB without a newline": b"a" * 70000,
    "200 KB without a newline": b"a" * 200000,
    "70 KB of digits as the count": b"*" + b"1" * 70000,
    "70 KB of digits as a length": b"*1\r\n$" + b"1" * 70000,
    "70 KB where a bulk should begin": b"*1\r\n" + b"a" * 70000,
}

WAITING = {
    "nothing but a star": b"*",
    "half a count": b"*1",
    "half a command": b"*2\r\n$3\r\nGET\r\n$5\r\nab",
    "the most arguments allowed": b"*1048576\r\n",
    "a whole value but for its line end": b"*1\r\n$4\r\nPING",
    "half an inline command": b"PIN",
    "a NUL in a line: the server looks for the newline only before it": b"\x00\r\n",
    "TLS hello: its second record byte is a NUL": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    "an open quote without a newline": b"set a 'b",
}


def outcome(address: Address, data: bytes, mark: bytes = b"", quiet: float | None = None) -> tuple[bytes, bool]:
    """All bytes that came back and whether the connection was closed."""
    with Wire(address) as wire:
        try:
            wire.send(data + mark)
        except ConnectionError:
            pass  # the other side has closed before it had read all: what it said is still to be read
        return wire.until_closed(lambda seen: bool(mark) and seen.endswith(MARK_REPLY), quiet)


def untouched(bystander: Wire) -> None:
    bystander.send(pack("ECHO", "bystander") + pack("GET", "bystander"))
    assert bystander.frames(2) == [b"$9\r\nbystander\r\n", b"$-1\r\n"]


@pytest.mark.parametrize("data", ENDED.values(), ids=ENDED.keys())
def test_bad_and_odd_input_is_answered_as_by_the_server(strict: Proxy, servers: Cluster, data: bytes) -> None:
    with strict.connect() as bystander:
        untouched(bystander)
        assert outcome(strict.address, data, MARK) == outcome(servers.leader.address, data, MARK)
        untouched(bystander)


@pytest.mark.parametrize("data", IN_BYTES.values(), ids=IN_BYTES.keys())
def test_bad_and_odd_input_is_answered_so_in_single_bytes_too(strict: Proxy, servers: Cluster, data: bytes) -> None:
    if len(data) > 1000:
        data = data[:4] + data[-100:]
    with strict.connect() as wire:
        try:
            for byte in data + MARK:
                wire.send(bytes([byte]))
        except ConnectionError:
            pass
        seen = wire.until_closed(lambda seen: seen.endswith(MARK_REPLY))
    assert seen == outcome(servers.leader.address, data, MARK)


@pytest.mark.parametrize("name", sorted(CUT_SHORT))
def test_a_header_that_comes_alone_ends_the_connection_as_on_the_server(strict: Proxy, servers: Cluster, name: str) -> None:
    request, header = ENDED[name].splitlines(keepends=True)
    seen = []
    for address in (strict.address, servers.leader.address):
        with Wire(address) as wire:
            wire.send(request)
            answer = wire.frame()
            wire.send(header)
            seen.append((answer, wire.until_closed()))
    assert seen[0] == seen[1]
    assert seen[0][1] == (b"", True)


@pytest.mark.parametrize("data", UNENDED.values(), ids=UNENDED.keys())
def test_endless_lines_are_answered_as_by_the_server(strict: Proxy, servers: Cluster, data: bytes) -> None:
    with strict.connect() as bystander:
        assert outcome(strict.address, data) == outcome(servers.leader.address, data)
        untouched(bystander)


@pytest.mark.parametrize("data", WAITING.values(), ids=WAITING.keys())
def test_unfinished_input_is_waited_for(strict: Proxy, servers: Cluster, data: bytes) -> None:
    with strict.connect() as bystander, strict.connect() as wire:
        wire.send(data)
        for _ in range(3):
            untouched(bystander)
        assert wire.until_closed(quiet=0.05) == (b"", False)
    assert outcome(servers.leader.address, data, quiet=0.05) == (b"", False)


@pytest.mark.parametrize("count", [1_048_577, 2_147_483_647])
def test_more_arguments_than_the_limit_are_refused(strict: Proxy, count: int) -> None:
    """A limit of rproxy's own: the server would wait for two thousand million arguments."""
    expected = (b"-ERR Protocol error: invalid multibulk length\r\n", True)
    assert outcome(strict.address, b"*%d\r\n" % count) == expected


@pytest.mark.parametrize("data", [b'set a "b"c\r\n', b"set a 'b'c\r\n", b'set """a""" b\r\n'])
def test_a_quote_that_does_not_end_its_word_is_refused_in_redis_words(strict: Proxy, data: bytes) -> None:
    """Servers differ: Redis refuses it (its own suite, unit/protocol.tcl, wants that), Valkey 9.1 takes what follows as a part of the word."""
    assert outcome(strict.address, data, MARK) == (b"-ERR Protocol error: unbalanced quotes in request\r\n", True)


def test_replies_owed_before_the_bad_bytes_come_first(strict: Proxy) -> None:
    data = pack("SET", "a", "b") + pack("GET", "a") * 50 + b"*1\r\n$-5\r\n" + pack("SET", "a", "after")
    expected = b"+OK\r\n" + b"$1\r\nb\r\n" * 50 + b"-ERR Protocol error: invalid bulk length\r\n"
    assert outcome(strict.address, data) == (expected, True)
    with strict.connect() as wire:
        assert wire.ask("GET", "a") == b"$1\r\nb\r\n"


def test_nothing_after_quit_runs(strict: Proxy) -> None:
    data = pack("SET", "a", "1") + pack("QUIT") + pack("SET", "a", "2")
    assert outcome(strict.address, data) == (b"+OK\r\n+OK\r\n", True)
    with strict.connect() as wire:
        assert wire.ask("GET", "a") == b"$1\r\n1\r\n"
