"""`rproxy status` and `rproxy explain --connect`: ask a running rproxy, and show what it says.

Called by the command line. The question goes over one of rproxy's own listeners, as RPROXY STATUS and RPROXY EXPLAIN, so that what a client can reach an
operator can ask. It must never ask a server behind it, send a password that nobody wants, nor show one.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import hiredis

from rproxy.check import print_table
from rproxy.dataplane.resp import encode
from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.urls import masked, parse_listener, parse_server

TIMEOUT = 3.0
SPAN = 0.5
"""Seconds between the two questions from which commands per second are counted."""
_ROOM = 24
"""Columns that a terminal must have for the last column of a table, to be wrapped there."""
_COUNTS = ("lanes", "leases", "reads", "writes", "reads/s", "writes/s")
Row = dict[str, Any]


class NotThere(Exception):
    """No rproxy answers there, or it does not tell. The text is one sentence for people."""


def address_of(url: str) -> Server:
    """Whom to ask: a listener's URL as the settings write it, or a client's `redis://user:password@host:port`. Raises SettingsError."""
    try:
        if url.startswith(("redis", "valkey")) or (url.startswith("unix") and "@" in url):
            return parse_server(url, 0, 7379)
        listener = parse_listener(url)
    except SettingsError as error:
        raise SettingsError(f"{masked(url)}: {error}") from None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.host, listener.host)
    return Server(0, host, listener.port, listener.path, listener.tls)


class Line:
    """A connection to an rproxy."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._reader = hiredis.Reader()
        if server.path:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(TIMEOUT)
            try:
                self._socket.connect(server.path)
            except OSError:
                self._socket.close()
                raise
        else:
            self._socket = socket.create_connection((server.host, server.port), TIMEOUT)
            if server.tls:
                self._socket = _encrypted(self._socket, server)
        self.close = self._socket.close

    def ask(self, *words: bytes) -> Any:
        """The JSON that rproxy answers to RPROXY with these words. Raises NotThere.

        AUTH goes out only where it is wanted: it is asked of the leader, and without one there would be no answer.
        """
        server = self._server
        reply = self._reply([b"RPROXY", *words])
        if _refusal(reply).startswith("NOAUTH") and server.password:
            login = self._reply([word.encode() for word in ("AUTH", server.user, server.password) if word])
            if _refusal(login):
                raise NotThere(f"{server.name} does not take this user and password: {_refusal(login)}")
            reply = self._reply([b"RPROXY", *words])
        refusal = _refusal(reply)
        if refusal.startswith("NOAUTH"):
            raise NotThere(f"{server.name} wants a password first; {_how_to_prove(server, words[0])}")
        if refusal.startswith("ERR rproxy: ") or (refusal and not refusal.startswith("ERR unknown command")):
            raise NotThere(f"{server.name} does not tell: {refusal}")
        try:
            return json.loads(reply)
        except (ValueError, TypeError):
            raise NotThere(f"{server.name} is no rproxy, or an older one: {refusal or 'what it says is no status'}") from None

    def _reply(self, words: list[bytes]) -> Any:
        self._socket.sendall(encode(words))
        while (reply := self._reader.gets()) is False:
            received = self._socket.recv(65536)
            if not received:
                raise EOFError("the connection was closed")
            self._reader.feed(received)
        return reply


def _encrypted(connection: socket.socket, server: Server) -> socket.socket:
    """With TLS. Only where a password may go out must it be the one whose name it is: the own listener may be asked by another name than its certificate's."""
    import ssl

    from rproxy.tls import of_server

    context = of_server(server)
    if not (server.password or server.ca):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        return context.wrap_socket(connection, server_hostname=server.host)
    except BaseException:
        connection.close()
        raise


def _how_to_prove(server: Server, question: bytes) -> str:
    if question != b"STATUS":
        return "ask with redis-cli: AUTH, then RPROXY EXPLAIN"
    return f"give it in the URL: {f'unix://:PASSWORD@{server.path}' if server.path else f'redis://:PASSWORD@{server.name}'}"


def _refusal(reply: Any) -> str:
    """The error that a reply is, "" for one that is none."""
    return str(reply) if isinstance(reply, hiredis.ReplyError) else ""


@contextmanager
def _line(server: Server) -> Iterator[Line]:
    """Raises NotThere when there is nobody, and when it goes away or says what no server would."""
    try:
        with closing(Line(server)) as line:
            yield line
    except TimeoutError:
        raise NotThere(
            f"{server.name} does not answer in time; while clients are paused, /api/status of the admin listener does"
        ) from None
    except (OSError, EOFError) as problem:
        reason = getattr(problem, "reason", None) or getattr(problem, "strerror", None) or str(problem)
        raise NotThere(f"no rproxy answers at {server.name}: {reason[0].lower()}{reason[1:]}") from None
    except hiredis.HiredisError as problem:
        raise NotThere(f"{server.name} is no rproxy: {problem}") from None


def ask(server: Server, *words: bytes) -> Any:
    """The JSON that rproxy answers to RPROXY with these words. Raises NotThere."""
    with _line(server) as line:
        return line.ask(*words)


def print_status(server: Server, as_json: bool) -> bool:
    """Show the status; False when something is amiss: no leader, or replicas and none to read. Raises NotThere."""
    with _line(server) as line:
        before = line.ask(b"STATUS")
        time.sleep(SPAN)
        facts = line.ask(b"STATUS")
    add_rates(before, facts)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        _print(facts)
    return is_fine(facts)


def add_rates(before: Row, facts: Row) -> None:
    """Give each server what it was sent per second between two statuses of one rproxy, by rproxy's own clock."""
    span = (facts["now_ms"] - before["now_ms"]) / 1000
    earlier = {row["server"]: row for row in before["servers"]}
    for row in facts["servers"]:
        sent = {kind: row[kind] - earlier.get(row["server"], row)[kind] for kind in ("reads", "writes")}
        for name, count in (*sent.items(), ("commands", sum(sent.values()))):
            row[f"{name}_per_s"] = round(count / span, 1) if span > 0 else 0.0


def is_fine(facts: Row) -> bool:
    """Whether somebody leads and takes writes and, where there are replicas, one is read."""
    replicas = [row for row in facts["servers"] if row["role"] == "replica"]
    return bool(facts["leader_up"] and facts["settled"] and (not replicas or any(row["in"] for row in replicas)))


def _print(facts: Row) -> None:
    up = "" if facts["leader_up"] else ", which is away"
    leader = f"{facts['leader']}{up}" if facts["settled"] else f"nobody knows; {facts['leader']} was the last"
    crew = f", {facts['workers']} workers" if facts.get("workers", 1) > 1 else ""
    print(
        f"rproxy {facts.get('version', '')}, up {facts.get('uptime_s', 0):.0f} s{crew}, clients {facts['clients']}, "
        f"consistency {facts['consistency']}, discovery {facts.get('discovery', '')}, leader {leader}"
    )
    if facts.get("takeover"):
        print("another rproxy serves too: until it has gone the leader answers all reads that must be fresh")
    rows: list[Sequence[str]] = [("server", "role", "is", "lag", "latency", "mark", *_COUNTS, "why")]
    rows += [_cells(row) for row in facts["servers"]]
    _show(rows)
    clock = f"{facts.get('clock_rounds', 0)} rounds, {'rests' if facts.get('clock_rests') else 'runs'}"
    print(f"freshness clock {clock}; reads sent to the leader for freshness {facts['freshness_reads']}")
    print(
        f"reads without a leader {facts['leaderless_reads']}; refused and asked elsewhere {facts['diverted']}; "
        f"asked a second time {facts['retried']}; writes lost on their way {facts['lost']}"
    )


def _cells(row: Row) -> tuple[str, ...]:
    """One line of the table."""
    mark = "-" if row["mark_age_ms"] is None else f"{row['mark_age_ms']:.0f} ms" + (", has all" if row["fresh"] else "")
    latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.2f} ms"
    lag = "-" if row["lag_bytes"] is None or row["role"] == "leader" else f"{row['lag_bytes']} B"
    counts = [str(row[key]) for key in ("lanes", "leases", "reads", "writes", "reads_per_s", "writes_per_s")]
    return (row["server"], row["role"], "in" if row["in"] else "out", lag, latency, mark, *counts, row["why"])


def _show(rows: Sequence[Sequence[str]]) -> None:
    """In a terminal that is wide enough a table whose last column is wrapped; else plain lines, which other programs can read."""
    fixed = sum(max(map(len, column)) + 2 for column in list(zip(*rows, strict=True))[:-1])
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        print_table(rows)
        return
    console = Console(highlight=False)
    if not sys.stdout.isatty() or console.width < fixed + _ROOM:
        print_table(rows)
        return
    table = Table(box=None)
    for heading in rows[0][:-1]:
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("lag", "latency", *_COUNTS) else "left")
    table.add_column(rows[0][-1])
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    console.print(table)


def print_explanation(server: Server, words: Sequence[bytes], as_json: bool) -> None:
    """Show what the running rproxy would do with a command now. Raises NotThere."""
    facts = ask(server, b"EXPLAIN", *words)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    rows = [(key, facts[key]) for key in ("command", "kind")]
    rows += [("keys", " ".join(facts["keys"]) or "none"), ("rule", facts["rule"])]
    rows.append(("served by", ": ".join(part for part in (facts["served_by"], ", ".join(facts["servers"])) if part)))
    if facts["arity_error"]:
        rows.append(("but", facts["arity_error"]))
    if facts.get("takeover"):
        rows.append(("newest write", "not known: another rproxy serves too"))
    elif facts.get("held"):
        rows.append(("newest write", "under way"))
    elif (age := facts.get("newest_write_age_ms")) is not None:
        lost = f"lost on its way, and may still be run for {-age:.0f} ms"
        past = f"{age:.0f} ms ago: of these keys, of others in their slots, or of all (as rproxy's start counts)"
        rows.append(("newest write", past if age >= 0 else lost))
    rows += [(row["server"], ", ".join(_stands(row, facts))) for row in facts.get("replicas", ())]
    print_table(rows)


def _stands(row: Row, facts: Row) -> Iterator[str]:
    """How one replica stands to a read, in words."""
    yield "in" if row["may_be_read"] else "out"
    yield row["why"]
    if row["fresh"] is None:
        return
    age = "it has no mark" if row["mark_age_ms"] is None else f"its mark is {row['mark_age_ms']:.0f} ms old"
    if row["fresh"] or row["mark_age_ms"] is None:
        yield f"{'fresh' if row['fresh'] else 'not fresh'}: {age}"
    elif facts.get("takeover"):
        yield "not fresh: another rproxy serves too"
    elif facts["held"]:
        yield "not fresh: a write of these keys is under way"
    else:
        yield f"not fresh: {age}, {row['behind_ms']:.0f} ms behind the newest write"
