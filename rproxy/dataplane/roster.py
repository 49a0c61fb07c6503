"""CLIENT LIST, INFO, KILL, UNBLOCK, PAUSE and UNPAUSE: they are about rproxy's own clients, with their real addresses.

Called by `local`. The leader is asked first, in a form that touches none of its own clients: whether this user may, and what is wrong with the words, it alone
can say. It must never name to the leader a connection that is not the lease of the client that was meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import accounts, colleagues, intermission, pauses, redirect, renewal, resp, urgent
from rproxy.dataplane.clients import peer_of
from rproxy.dataplane.commands import Effect
from rproxy.dataplane.integers import integer

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
        flags += (
            b"t" * attachment.tracking
            + b"B" * attachment.prefixes
            + b"e" * (b"NO-EVICT" in attachment.kept)
            + b"T" * (b"NO-TOUCH" in attachment.kept)
        )
    return flags or b"N"


def line(session: Session) -> bytes:
    """One line of CLIENT LIST, in the order of its fields (networking.c, catClientInfoString)."""
    plane, profile, attachment = session.plane, session.profile, session.attachment
    peer = peer_of(session)
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


_Filters = dict[bytes, set[bytes]]
_NOT = b"NOT-"
_ID = b"ID"


def _number(other: Session) -> bytes:
    return b"%d" % other.id


def _address(other: Session) -> bytes:
    return peer_of(other).address


def _local_address(other: Session) -> bytes:
    return peer_of(other).local


def _host(other: Session) -> bytes:
    return peer_of(other).host


def _name(other: Session) -> bytes:
    return other.profile.name


def _library(other: Session) -> bytes:
    return other.profile.lib_name


def _version(other: Session) -> bytes:
    return other.profile.version


def _database(other: Session) -> bytes:
    return b"%d" % other.key.database


def _capabilities(other: Session) -> bytes:
    """None: rproxy lets nobody say that it has any."""
    return b""


def _age(other: Session) -> float:
    return other.plane.clock() - other.profile.since


def _idle(other: Session) -> float:
    return peer_of(other).idle


_FACTS: dict[bytes, Callable[[Session], bytes]] = {
    _ID: _number,
    b"TYPE": _kind,
    b"USER": _user,
    b"ADDR": _address,
    b"LADDR": _local_address,
    b"IP": _host,
    b"NAME": _name,
    b"LIB-NAME": _library,
    b"LIB-VER": _version,
    b"DB": _database,
    b"CAPA": _capabilities,
}
_SECONDS: dict[bytes, Callable[[Session], float]] = {b"MAXAGE": _age, b"IDLE": _idle}
_FILTERS = (*_FACTS, *_SECONDS, b"FLAGS", b"SKIPME")
"""What clients can be told by, and its opposite with `NOT-`."""


def _filters(words: list[bytes]) -> _Filters:
    """Each filter with its values: all ids that are named, of others the last value. However many there are, a client is compared once with each."""
    filters: _Filters = {}
    at = 0
    while at + 1 < len(words):
        name = words[at].upper()
        stop = at + 2
        if name.removeprefix(_NOT) == _ID:
            while stop < len(words) and integer(words[stop]) is not None:
                stop += 1
            filters.setdefault(name, set()).update(words[at + 1 : stop])
        else:
            filters[name] = {words[at + 1]}
        at = stop
    return filters


def _known(filters: _Filters) -> bool:
    return all(name.removeprefix(_NOT) in _FILTERS for name in filters)


def _words(filters: _Filters) -> list[bytes]:
    """As a client would write them."""
    return [word for name, values in filters.items() for word in (name, *values)]


def _found(plane: Plane, filters: _Filters, asking: Session | None = None) -> list[Session]:
    """The clients of this worker that all filters let in, by their ids (networking.c, clientMatchesFilter)."""
    skips = any(value.lower() == b"yes" for value in filters.get(b"SKIPME", ()))
    tests = [_test(name, values) for name, values in filters.items() if name != b"SKIPME"]
    found = [other for other in _meant(plane, filters) if all(test(other) for test in tests)]
    return sorted((other for other in found if other is not asking or not skips), key=lambda other: other.id)


def _meant(plane: Plane, filters: _Filters) -> Iterable[Session]:
    """All clients, or those whose ids are named."""
    ids = filters.get(_ID)
    if ids is None or len(ids) > len(plane.clients):
        return plane.clients
    named = [plane.clients.find(number) for word in ids if (number := integer(word)) is not None]
    return [other for other in named if other is not None]


def _test(name: bytes, values: set[bytes]) -> Callable[[Session], bool]:
    """Whether a filter lets a client in; what can be known of the filter is found out here, once."""
    if name.startswith(_NOT):
        lets_in = _test(name.removeprefix(_NOT), values)
        return lambda other: not lets_in(other)
    value = next(iter(values))
    seconds = _SECONDS.get(name)
    if seconds is not None:
        least = integer(value)
        return lambda other: least is not None and seconds(other) >= least
    if name == b"FLAGS":
        wanted = set(value)
        return lambda other: wanted <= set(_flags(other))
    fact = _FACTS[name]
    if name == b"TYPE":
        values = {value.lower()}
    return lambda other: fact(other) in values


# What is done to a client.


def _kill(session: Session, words: list[bytes]) -> None:
    old = len(words) == 3

    def answered(reply: bytes) -> None:
        if reply.startswith(b"-") and not (old and reply == _NO_SUCH_CLIENT):
            session.answer(reply)
            return
        filters: _Filters = {b"ADDR": {words[2]}} if old else _filters(words[2:])
        if not old:
            filters.setdefault(b"SKIPME", {b"yes"})
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

        colleagues.ask(session, [b"KILL", *_words(filters)], told)

    urgent.ask(session, [*words[:2], _NOWHERE] if old else [*words, b"ADDR", _NOWHERE], answered)


def _unblock(session: Session, words: list[bytes]) -> None:
    def forward(others: list[bytes]) -> None:
        theirs = min(map(int, others), default=redirect.NOBODY)
        urgent.forward(session, [*words[:2], b"%d" % theirs, *words[3:]])

    number = integer(words[2])
    if number is None:
        urgent.forward(session, words)
    elif session.plane.clients.find(number) is not None:
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
