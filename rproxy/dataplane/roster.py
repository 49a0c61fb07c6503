"""CLIENT LIST, INFO, KILL, UNBLOCK, PAUSE and UNPAUSE: they are about rproxy's own clients, with their real addresses.

Called by `local`. The leader is asked first, in a form that touches none of its own clients: whether this user may, and what is wrong with the words, it alone
can say. It must never name to the leader a connection that is not the lease of the client that was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import accounts, colleagues, intermission, pauses, redirect, renewal, resp, urgent
from rproxy.dataplane.clients import UNKNOWN_PEER, Peer
from rproxy.dataplane.commands import Effect

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

_OK = b"+OK\r\n"
_NOWHERE = b"0:0"  # no client has this address
_NO_SUCH_CLIENT = b"-ERR No such client\r\n"


# What is told of a client.


def _kind(session: Session) -> bytes:
    return b"pubsub" if session.attachment is not None and session.attachment.subscribed() else b"normal"


def _user(session: Session) -> bytes:
    user = session.key.user
    if user is None:
        user = session.plane.topology.leader.user.encode()
    return user or b"default"


def blocked(session: Session) -> bool:
    """Whether it waits in a blocking command."""
    head = session.lease.head() if session.lease is not None else None
    return head is not None and head.effect == Effect.BLOCKING


def _flags(session: Session) -> bytes:
    attachment = session.attachment
    flags = b""
    if attachment is not None:
        flags += b"O" * attachment.monitor + b"P" * attachment.subscribed()
    flags += b"x" * session.multi + b"b" * blocked(session)
    if attachment is not None:
        flags += b"t" * attachment.tracking + b"e" * (b"NO-EVICT" in attachment.kept) + b"T" * (b"NO-TOUCH" in attachment.kept)
    return flags or b"N"


def line(session: Session) -> bytes:
    """One line of CLIENT LIST, in the order of its fields (networking.c, catClientInfoString)."""
    plane, profile, attachment = session.plane, session.profile, session.attachment
    peer = _peer(session)
    names = attachment.names if attachment is not None else {}
    redirected = -1 if attachment is None or not attachment.tracking else attachment.redirect[0]
    waits = session.backlog.size + len(session.tail)
    fields = (
        (b"id", session.id),
        (b"addr", peer.address),
        (b"laddr", peer.local),
        (b"fd", peer.descriptor),
        (b"name", profile.name),
        (b"age", int(plane.clock() - profile.since)),
        (b"idle", int(peer.idle)),
        (b"flags", _flags(session)),
        (b"db", session.key.database),
        (b"sub", len(names.get(b"subscribe", ()))),
        (b"psub", len(names.get(b"psubscribe", ()))),
        (b"ssub", len(names.get(b"ssubscribe", ()))),
        (b"multi", profile.queued if session.multi else -1),
        (b"qbuf", waits + profile.size),
        (b"qbuf-free", 0),
        (b"argv-mem", 0),
        (b"multi-mem", 0),
        (b"rbs", 0),
        (b"rbp", 0),
        (b"obl", 0),
        (b"oll", len(session.out)),
        (b"omem", session.held),
        (b"tot-mem", waits + session.held + session.inflight_bytes),
        (b"events", b"r"),
        (b"cmd", session.run.command.name.lower() if session.run.command is not None else b"NULL"),
        (b"user", _user(session)),
        (b"redir", redirected),
        (b"resp", session.key.resp),
        (b"lib-name", profile.lib_name),
        (b"lib-ver", profile.version),
    )
    return b" ".join(name + b"=" + (value if isinstance(value, bytes) else b"%d" % value) for name, value in fields) + b"\n"


def _text(session: Session, text: bytes) -> bytes:
    return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text) if session.key.resp == 3 else resp.bulk(text)


def _list(session: Session, words: list[bytes]) -> None:
    probe = words if len(words) > 2 else [*words, b"ID", b"%d" % redirect.NOBODY]

    def answered(reply: bytes) -> None:
        if reply.startswith(b"-"):
            session.answer(reply)
        else:
            colleagues.ask(session, [b"LIST", *words[2:]], lambda others: session.answer(listed(session, words, reply, others)))

    urgent.ask(session, probe, answered)


def listed(session: Session, words: list[bytes], reply: bytes, others: Sequence[bytes] = ()) -> bytes:
    """CLIENT LIST, if the leader does not say no, with what other workers list."""
    if reply.startswith(b"-"):
        return reply
    session.profile.size = len(resp.encode(words))
    filters = _filters(words[2:])
    if not _known(filters):
        return errors.UNKNOWN_FILTER
    lines = b"".join([_lines(_found(session.plane, filters, session)), *others]).splitlines(keepends=True)
    lines.sort(key=_id_in)
    return _text(session, b"".join(lines))


def _id_in(line: bytes) -> int:
    return int(line[3 : line.index(b" ")])


def _lines(found: list[Session]) -> bytes:
    return b"".join(map(line, found))


def _info(session: Session, words: list[bytes]) -> None:
    urgent.ask(session, words, lambda reply: session.answer(told(session, words, reply)))


def told(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """CLIENT INFO, if the leader does not say no."""
    session.profile.size = len(resp.encode(words))
    return reply if reply.startswith(b"-") else _text(session, line(session))


# Who is meant.


_Filters = list[tuple[bytes, list[bytes]]]
_NOT = b"NOT-"
_FACTS = (b"ID", b"TYPE", b"USER", b"ADDR", b"LADDR", b"IP", b"NAME", b"LIB-NAME", b"LIB-VER", b"DB")
_FILTERS = (*_FACTS, b"FLAGS", b"MAXAGE", b"IDLE", b"SKIPME", b"CAPA")
"""And their opposites. Nobody has any CAPA: rproxy lets nobody say so."""


def _filters(words: list[bytes]) -> _Filters:
    """Each filter with its values: ids as many as there are, else one."""
    filters = []
    at = 0
    while at + 1 < len(words):
        stop = at + 2
        while words[at].upper() in (b"ID", b"NOT-ID") and stop < len(words) and words[stop].isdigit():
            stop += 1
        filters.append((words[at].upper(), words[at + 1 : stop]))
        at = stop
    return filters


def _known(filters: _Filters) -> bool:
    return all(name.removeprefix(_NOT) in _FILTERS for name, _ in filters)


def _found(plane: Plane, filters: _Filters, asking: Session | None = None) -> list[Session]:
    """The clients of this worker that all filters let in, by their ids."""
    skips = (b"SKIPME", b"yes") in [(name, values[0].lower()) for name, values in filters]
    everybody = sorted(plane.clients, key=lambda other: other.id)
    found = [other for other in everybody if all(_fits(other, name, values) for name, values in filters)]
    return [other for other in found if other is not asking or not skips]


def _fits(other: Session, name: bytes, values: list[bytes]) -> bool:
    """Whether a filter lets this client in (networking.c, clientMatchesFilter)."""
    value = values[0]
    if name.startswith(_NOT):
        return not _fits(other, name.removeprefix(_NOT), values)
    if name == b"MAXAGE":
        return other.plane.clock() - other.profile.since >= int(value)
    if name == b"IDLE":
        return _peer(other).idle >= int(value)
    if name == b"FLAGS":
        return set(value) <= set(_flags(other))
    facts = {
        b"ID": b"%d" % other.id,
        b"TYPE": _kind(other),
        b"USER": _user(other),
        b"ADDR": _peer(other).address,
        b"LADDR": _peer(other).local,
        b"IP": _peer(other).address.rpartition(b":")[0].strip(b"[]"),
        b"NAME": other.profile.name,
        b"LIB-NAME": other.profile.lib_name,
        b"LIB-VER": other.profile.version,
        b"DB": b"%d" % other.key.database,
    }
    return name == b"SKIPME" or facts.get(name) in ([value.lower()] if name == b"TYPE" else values)


def _peer(session: Session) -> Peer:
    return session.plane.ports.peer(session.transport.transport) if session.transport is not None else UNKNOWN_PEER


# What is done to a client.


def _kill(session: Session, words: list[bytes]) -> None:
    old = len(words) == 3

    def answered(reply: bytes) -> None:
        if reply.startswith(b"-") and not (old and reply == _NO_SUCH_CLIENT):
            session.answer(reply)
            return
        filters = [(b"ADDR", [words[2]])] if old else _filters(words[2:])
        if not old and b"SKIPME" not in [name for name, _ in filters]:
            filters.append((b"SKIPME", [b"yes"]))
        if not _known(filters):
            session.answer(errors.UNKNOWN_FILTER)
            return
        found = _found(session.plane, filters, session)
        for other in found:
            if other is not session:
                other.close()

        def told(others: list[bytes]) -> None:
            count = len(found) + sum(map(int, others))
            said = b":%d\r\n" % count if not old else _OK if count else _NO_SUCH_CLIENT
            (session.refuse if session in found else session.answer)(said)

        colleagues.ask(session, [b"KILL", *(word for name, values in filters for word in (name, *values))], told)

    urgent.ask(session, [*words[:2], _NOWHERE] if old else [*words, b"ADDR", _NOWHERE], answered)


def _unblock(session: Session, words: list[bytes]) -> None:
    def forward(others: list[bytes]) -> None:
        theirs = min(map(int, others), default=redirect.NOBODY)
        urgent.forward(session, [*words[:2], b"%d" % theirs, *words[3:]])

    if not words[2].isdigit():
        urgent.forward(session, words)
    elif session.plane.clients.find(int(words[2])) is not None:
        forward([_id_where_it_waits(session.plane, words[2:])])
    else:
        colleagues.ask(session, [b"UNBLOCK", words[2]], forward)


def _id_where_it_waits(plane: Plane, words: list[bytes]) -> bytes:
    """The server's id for the lease on which this client of this worker is blocked; nobody's where it is not."""
    target = plane.clients.find(int(words[0]))
    lease = target.lease if target is not None and blocked(target) else None
    return b"%d" % (redirect.id_on_server(lease) if lease is not None and lease.ready else redirect.NOBODY)


def _pause(session: Session, words: list[bytes]) -> None:
    def answered(reply: bytes) -> None:
        if reply == _OK:
            session.plane.pauses.asked(words)
            colleagues.ask(session, [b"PAUSE", *words], lambda answers: session.answer(reply))
        else:
            session.answer(reply)

    urgent.ask(session, pauses.for_leader(words), answered)


def paused(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """The leader has answered a CLIENT PAUSE or UNPAUSE in a transaction."""
    if reply == _OK:
        session.plane.pauses.asked(words)
        session.plane.ports.others([b"PAUSE", *words], lambda answers: None)
    return reply


# What another worker asks for one of its clients.


def _listing(plane: Plane, words: list[bytes]) -> bytes:
    filters = _filters(words)
    return _lines(_found(plane, filters)) if _known(filters) else b""


def _killed(plane: Plane, words: list[bytes]) -> bytes:
    found = _found(plane, _filters(words))
    for other in found:
        other.close()
    return b"%d" % len(found)


def _paused(plane: Plane, words: list[bytes]) -> bytes:
    plane.pauses.asked(words)
    return b""


_ANSWERS: dict[bytes, Callable[[Plane, list[bytes]], bytes]] = {
    b"LIST": _listing,
    b"KILL": _killed,
    b"UNBLOCK": _id_where_it_waits,
    b"PAUSE": _paused,
    b"HOLD": intermission.answer,
    b"CLIENTS": accounts.clients,
    b"COMMANDS": accounts.commands,
    b"SLOW": accounts.slow,
    b"HOT": accounts.hot,
    b"STAMP": lambda plane, words: renewal.stamp_from_now(plane),
    b"REDIRECT": lambda plane, words: b"%d" % redirect.anchored(plane, int(words[0])),
}


def answer(plane: Plane, words: list[bytes]) -> bytes:
    """What this worker answers another that asks by `colleagues`, and the process of the control plane."""
    return _ANSWERS[words[0]](plane, words[1:])


ASKED: dict[bytes, Callable[[Session, list[bytes]], None]] = {
    b"CLIENT|LIST": _list,
    b"CLIENT|INFO": _info,
    b"CLIENT|KILL": _kill,
    b"CLIENT|UNBLOCK": _unblock,
    b"CLIENT|PAUSE": _pause,
    b"CLIENT|UNPAUSE": _pause,
    b"SCRIPT|KILL": urgent.kill,
    b"FUNCTION|KILL": urgent.kill,
    b"FUNCTION|STATS": urgent.forward,
}
"""What the leader is asked before it is answered, or answers itself, by a connection on which nothing waits."""

QUEUED: dict[bytes, Callable[[Session, list[bytes], bytes], bytes]] = {
    b"CLIENT|LIST": listed,
    b"CLIENT|INFO": told,
    b"CLIENT|PAUSE": paused,
    b"CLIENT|UNPAUSE": paused,
}
"""What becomes of the leader's reply where one was queued in a transaction."""
