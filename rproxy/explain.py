"""`rproxy explain`: says where a command goes and why, by the same table and rules that serve it.

Called by the command line. It must never ask a server: what it says follows from the settings and the command
table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rproxy.check import print_table
from rproxy.dataplane import router
from rproxy.dataplane.commands import Command, CommandTable, Kind
from rproxy.dataplane.reach import Reach
from rproxy.dataplane.topology import Topology
from rproxy.settings import Settings


def print_explanation(settings: Settings, words: Sequence[bytes], as_json: bool) -> None:
    """Print kind, keys, the rule that decided, and the servers that could serve a command. `words` is the
    command, name first.
    """
    facts = explain(settings, words)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    keys = " ".join(facts["keys"]) or "none"
    rows = [("command", facts["command"]), ("kind", facts["kind"]), ("keys", keys), ("rule", facts["rule"])]
    names = ", ".join(facts["servers"])
    rows.append(("served by", f"{facts['served_by']}: {names}" if names else facts["served_by"]))
    if facts["arity_error"]:
        rows.append(("but", facts["arity_error"]))
    print_table(rows)


def explain(settings: Settings, words: Sequence[bytes]) -> dict[str, Any]:
    """The facts that `print_explanation` prints. `servers` is empty where the settings name none, or where
    none is asked.
    """
    table = CommandTable(settings.commands, settings.scripts_declare_keys)
    command = table.find(words[0], words[1] if len(words) > 1 else b"")
    served_by, servers = _servers(settings, command, words)
    return {
        "command": _text(command.name if command is not table.unknown else words[0].upper()).replace("|", " "),
        "kind": Kind(command.kind).name.lower(),
        "keys": [_text(key) for key in command.keys(words)],
        "rule": command.rule_for(words),
        "served_by": served_by,
        "servers": servers,
        "arity_error": command.misfit(len(words)),
    }


def _servers(settings: Settings, command: Command, words: Sequence[bytes]) -> tuple[str, list[str]]:
    """Who serves the command, in words, and the names of the servers of which any one may."""
    if command.kind == Kind.DENIED:
        return "nobody, rproxy refuses it", []
    if command.kind == Kind.LOCAL:
        return "rproxy itself", []
    if command.takes_a_lease(words):
        return "the leader, on a connection of its own", [server.name for server in settings.servers[:1]]
    if not settings.servers:
        return (
            "a replica" if command.kind == Kind.READ and settings.consistency != "leader" else "the leader",
            [],
        )
    leader, *replicas = settings.servers
    topology = Topology(leader, tuple(replicas), tuple(replicas))
    chosen = router.servers(command.kind, topology, settings.consistency, settings.leaderless_reads)
    who = "the leader" if chosen == (leader,) else "a replica, picked at random" if len(chosen) > 1 else "the replica"
    if settings.consistency == "fresh" and command.reach == Reach.LEADER:
        return "the leader, or a replica while it is away", [leader.name]
    if settings.consistency == "fresh" and command.kind == Kind.READ and chosen != (leader,):
        who = "a replica that is fresh for its keys, picked at random, or the leader where none is"
    return who, [server.name for server in chosen]


def _text(words: bytes) -> str:
    return words.decode(errors="backslashreplace")
