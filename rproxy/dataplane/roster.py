"""CLIENT LIST, INFO, KILL, UNBLOCK, PAUSE and UNPAUSE: they are about rproxy's own clients, with their real addresses.

Called by `local`. The leader is asked first, in a form that touches none of its own clients: whether this user may, and what is wrong with the words, it alone
can say. It must never name to the leader a connection that is not the lease of the client that was meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import redirect, resp, urgent
from rproxy.dataplane.clients import UNKNOWN_PEER, Peer
from rproxy.dataplane.commands import Effect

if TYPE_CHECKING:
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
        (b"lib-name", profile.library),
        (b"lib-ver", profile.version),
    )
    return b" ".join(name + b"=" + (value if isinstance(value, bytes) else b"%d" % value) for name, value in fields) + b"\n"


def _text(session: Session, text: bytes) -> bytes:
    return b"=%d\r\ntxt:%b\r\n" % (len(text) + 4, text) if session.key.resp == 3 else resp.bulk(text)


def _list(session: Session, words: list[bytes]) -> None:
    probe = words if len(words) > 2 else [*words, b"ID", b"%d" % redirect.NOBODY]
    urgent.ask(session, probe, lambda reply: session.answer(listed(session, words, reply)))


def listed(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """CLIENT LIST, if the leader does not say no."""
    if reply.startswith(b"-"):
        return reply
    session.profile.size = len(resp.encode(words))
    found = _found(session, _filters(words[2:]))
    return errors.UNKNOWN_FILTER if found is None else _text(session, b"".join(map(line, found)))


def _info(session: Session, words: list[bytes]) -> None:
    urgent.ask(session, words, lambda reply: session.answer(told(session, words, reply)))


def told(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """CLIENT INFO, if the leader does not say no."""
    session.profile.size = len(resp.encode(words))
    return reply if reply.startswith(b"-") else _text(session, line(session))


# Who is meant.


_Filters = list[tuple[bytes, list[bytes]]]
_FILTERS = (b"ID", b"TYPE", b"USER", b"ADDR", b"LADDR", b"MAXAGE", b"NAME", b"LIB-NAME", b"LIB-VER", b"DB", b"SKIPME")


def _filters(words: list[bytes]) -> _Filters:
    """Each filter with its values: ids as many as there are, else one."""
    filters = []
    at = 0
    while at + 1 < len(words):
        stop = at + 2
        while words[at].upper() == b"ID" and stop < len(words) and words[stop].isdigit():
            stop += 1
        filters.append((words[at].upper(), words[at + 1 : stop]))
        at = stop
    return filters


def _found(session: Session, filters: _Filters) -> list[Session] | None:
    """The clients that all filters let in, by their ids; None where one of the filters is not known here."""
    if any(name not in _FILTERS for name, _ in filters):
        return None
    skips = (b"SKIPME", b"yes") in [(name, values[0].lower()) for name, values in filters]
    everybody = sorted(session.plane.clients, key=lambda other: other.id)
    found = [other for other in everybody if all(_fits(other, name, values) for name, values in filters)]
    return [other for other in found if other is not session or not skips]


def _fits(other: Session, name: bytes, values: list[bytes]) -> bool:
    """Whether a filter lets this client in."""
    if name == b"MAXAGE":
        return other.plane.clock() - other.profile.since >= int(values[0])
    facts = {
        b"ID": b"%d" % other.id,
        b"TYPE": _kind(other),
        b"USER": _user(other),
        b"ADDR": _peer(other).address,
        b"LADDR": _peer(other).local,
        b"NAME": other.profile.name,
        b"LIB-NAME": other.profile.library,
        b"LIB-VER": other.profile.version,
        b"DB": b"%d" % other.key.database,
    }
    return name == b"SKIPME" or facts[name] in ([values[0].lower()] if name == b"TYPE" else values)


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
        found = _found(session, filters)
        if found is None:
            session.answer(errors.UNKNOWN_FILTER)
            return
        said = b":%d\r\n" % len(found) if not old else _OK if found else _NO_SUCH_CLIENT
        for other in found:
            if other is not session:
                other.close()
        (session.refuse if session in found else session.answer)(said)

    urgent.ask(session, [*words[:2], _NOWHERE] if old else [*words, b"ADDR", _NOWHERE], answered)


def _unblock(session: Session, words: list[bytes]) -> None:
    if words[2].isdigit():
        target = session.plane.clients.find(int(words[2]))
        theirs = redirect.NOBODY
        if target is not None and target.lease is not None and target.lease.ready and blocked(target):
            theirs = redirect.id_on_server(target.lease)
        words = [*words[:2], b"%d" % theirs, *words[3:]]
    urgent.forward(session, words)


def _pause(session: Session, words: list[bytes]) -> None:
    urgent.ask(session, words, lambda reply: session.answer(paused(session, words, reply)))


def paused(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """The leader has answered CLIENT PAUSE or UNPAUSE."""
    if reply == _OK:
        session.plane.pauses.asked(words)
    return reply


ASKED: dict[bytes, Callable[[Session, list[bytes]], None]] = {
    b"CLIENT|LIST": _list,
    b"CLIENT|INFO": _info,
    b"CLIENT|KILL": _kill,
    b"CLIENT|UNBLOCK": _unblock,
    b"CLIENT|PAUSE": _pause,
    b"CLIENT|UNPAUSE": _pause,
    b"SCRIPT|KILL": urgent.forward,
    b"FUNCTION|KILL": urgent.forward,
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
