"""`rproxy status` and `rproxy explain --connect`: ask a running rproxy, and show what it says.

Called by the command line. The question goes over one of rproxy's own listeners, as RPROXY STATUS and RPROXY EXPLAIN, so that what a client can reach an
operator can ask. It must never ask a server behind it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from typing import Any

import hiredis

from rproxy.check import print_table
from rproxy.dataplane.resp import encode
from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.urls import parse_listener, parse_server

TIMEOUT = 3.0
SPAN = 0.5
"""Seconds between the two questions from which commands per second are counted."""


class NotThere(Exception):
    """No rproxy answers there. The text is one sentence for people."""


def address_of(url: str) -> Server:
    """Whom to ask: a listener's URL as the settings write it, or a client's `redis://user:password@host:port`. Raises SettingsError."""
    if url.startswith(("redis", "valkey")):
        return parse_server(url, 0, 7379)
    try:
        listener = parse_listener(url)
    except SettingsError as error:
        raise SettingsError(f"{url}: {error}") from None
    return Server(0, {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listener.host, listener.host), listener.port, listener.path)


def ask(server: Server, *words: bytes) -> Any:
    """The JSON that rproxy answers to RPROXY with these words. Raises NotThere."""
    reader = hiredis.Reader()
    try:
        if server.path:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(TIMEOUT)
            connection.connect(server.path)
        else:
            connection = socket.create_connection((server.host, server.port), TIMEOUT)
        with connection:
            if server.password:
                login = [word.encode() for word in ("AUTH", server.user, server.password) if word]
                _reply(connection, reader, login)
            return json.loads(_reply(connection, reader, [b"RPROXY", *words]))
    except (OSError, EOFError) as problem:
        raise NotThere(f"no rproxy answers at {server.name}: {problem}") from None
    except (hiredis.HiredisError, ValueError, TypeError) as problem:
        raise NotThere(f"{server.name} is no rproxy, or an older one: {problem}") from None


def _reply(connection: socket.socket, reader: hiredis.Reader, words: list[bytes]) -> Any:
    connection.sendall(encode(words))
    while (reply := reader.gets()) is False:
        received = connection.recv(65536)
        if not received:
            raise EOFError("the connection was closed")
        reader.feed(received)
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    return reply


def print_status(server: Server, as_json: bool) -> bool:
    """Show the status; False when something is amiss: no leader, or replicas and none to read. Raises NotThere."""
    before = ask(server, b"STATUS")
    time.sleep(SPAN)
    facts = ask(server, b"STATUS")
    span = max(0.001, facts["uptime_s"] - before["uptime_s"]) if facts.get("uptime_s") else SPAN
    earlier = {row["server"]: row["reads"] + row["writes"] for row in before["servers"]}
    for row in facts["servers"]:
        total = row["reads"] + row["writes"]
        row["commands_per_s"] = round((total - earlier.get(row["server"], total)) / span, 1)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        _print(facts)
    replicas = [row for row in facts["servers"] if row["role"] == "replica"]
    return bool(facts["leader_up"] and facts["settled"] and (not replicas or any(row["in"] for row in replicas)))


def _print(facts: dict[str, Any]) -> None:
    leader = facts["leader"] if facts["settled"] else f"nobody knows; {facts['leader']} was the last"
    print(
        f"rproxy {facts.get('version', '')}, up {facts.get('uptime_s', 0):.0f} s, {facts['clients']} clients, "
        f"consistency {facts['consistency']}, discovery {facts.get('discovery', '')}, leader {leader}"
    )
    rows: list[Sequence[str]] = [
        ("server", "role", "in", "lag", "latency", "mark", "lanes", "leases", "reads", "writes", "cmd/s", "why")
    ]
    for row in facts["servers"]:
        mark = "-" if row["mark_age_ms"] is None else f"{row['mark_age_ms']:.0f} ms" + (", has all" if row["fresh"] else "")
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.2f} ms"
        lag = "-" if row["lag_bytes"] is None or row["role"] == "leader" else f"{row['lag_bytes']} B"
        counts = [str(row[key]) for key in ("lanes", "leases", "reads", "writes", "commands_per_s")]
        inside = "silent" if row["silent"] else "in" if row["in"] else "out"
        rows.append((row["server"], row["role"], inside, lag, latency, mark, *counts, row["why"]))
    print_table(rows)
    print(
        f"reads sent to the leader for freshness {facts['freshness_reads']}, without a leader {facts['leaderless_reads']}; "
        f"asked again elsewhere {facts['diverted'] + facts['retried']}; writes lost on their way {facts['lost']}"
    )


def print_explanation(server: Server, words: Sequence[bytes], as_json: bool) -> None:
    """Show what the running rproxy would do with a command now. Raises NotThere."""
    facts = ask(server, b"EXPLAIN", *words)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    rows = [(key, facts[key]) for key in ("command", "kind")]
    rows += [("keys", " ".join(facts["keys"]) or "none"), ("rule", facts["rule"])]
    rows.append(("served by", ": ".join(part for part in (facts["served_by"], ", ".join(facts["servers"])) if part)))
    if facts.get("held"):
        rows.append(("newest write", "under way"))
    elif facts.get("newest_write_age_ms") is not None:
        rows.append(("newest write", f"{facts['newest_write_age_ms']:.0f} ms ago, or that of a key in the same slot"))
    for row in facts.get("replicas", ()):
        mark = "no mark" if row["mark_age_ms"] is None else f"mark {row['mark_age_ms']:.0f} ms old"
        said = [
            row["why"] or ("may be read" if row["may_be_read"] else "may not be read"),
            "fresh" if row["fresh"] else "not fresh",
            mark,
        ]
        rows.append((row["server"], ", ".join(said)))
    print_table(rows)
