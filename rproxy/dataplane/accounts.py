"""What one worker tells of its clients, commands, slow commands and hot keys, as JSON, for the admin room to put together with the others'.

Called through `roster.answer`. It must never tell a value or a password.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rproxy.dataplane.clients import peer_of
from rproxy.dataplane.commands import Kind

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session


def _text(word: bytes) -> str:
    return word.decode("utf-8", "backslashreplace")


def clients(plane: Plane, words: list[bytes]) -> bytes:
    """This worker's clients, the first so many of them."""
    rows = [_client(session) for _, session in zip(range(int(words[0])), plane.clients, strict=False)]
    return json.dumps({"total": len(plane.clients), "clients": rows}).encode()


def _client(session: Session) -> dict[str, object]:
    plane, profile = session.plane, session.profile
    peer = peer_of(session) if session.transport is not None else None
    user = session.key.user if session.key.user is not None else plane.topology.leader.user.encode()
    return {
        "id": session.id,
        "addr": _text(peer.address) if peer is not None else "",
        "name": _text(profile.name),
        "user": _text(user or b"default"),
        "db": session.key.database,
        "age_s": round(plane.clock() - profile.since, 3),
        "idle_s": round(peer.idle, 3) if peer is not None else 0.0,
        "command": _text(session.run.command.name) if session.run.command is not None else "",
        "in_flight": session.inflight,
        "output_bytes": session.held,
        "state": session.state.name.lower(),
        "worker": plane.options.worker,
    }


def commands(plane: Plane, words: list[bytes]) -> bytes:
    """What was called, by name."""
    rows = [
        {"name": _text(command.name).replace("|", " "), "kind": Kind(command.kind).name.lower(), "count": command.calls}
        for command in plane.table.all()
        if command.calls
    ]
    return json.dumps(rows).encode()


def slow(plane: Plane, words: list[bytes]) -> bytes:
    """The last slow commands."""
    return json.dumps(list(plane.watch.commands)).encode()


def hot(plane: Plane, words: list[bytes]) -> bytes:
    """The keys that were met most often among the commands that were looked at, and the biggest values."""
    watch = plane.watch
    return json.dumps(
        {
            "sampled": watch.sampled,
            "keys": {_text(key): count for key, count in watch.keys.items()},
            "big": [{"key": _text(key), "bytes": size, "command": name} for key, (size, name) in watch.biggest.items()],
        }
    ).encode()
