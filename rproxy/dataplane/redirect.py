"""CLIENT TRACKING ... REDIRECT: the client that is to be told is known by its id here, and to the server by that of its lease.

Called by `attached`, and by `roster` where another worker's client redirects to one of this worker. It must never name a connection to the server that is
not the lease of the client that was meant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import attached, resp, urgent
from rproxy.dataplane.integers import integer
from rproxy.dataplane.states import ASKED, State

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

NOBODY = (1 << 63) - 1
"""An id that no server gives."""
_ID = re.compile(rb"\$2\r\nid\r\n:(\d{1,19})\r\n")
_NO_SUCH = b"-ERR The client ID you want redirect to"
_NOT_YET = 0  # in place of an id
_AGAIN = 0.01  # seconds until a busy client is looked at again


def id_on_server(upstream: Upstream) -> int:
    """The id that the server gave this connection."""
    found = _ID.search(upstream.hello)
    return int(found[1]) if found is not None else NOBODY


def translated(session: Session, words: list[bytes], frame: bytes) -> bytes | None:
    """The command with the server's id for the client that is to be told; empty when it is answered here, None when it must wait and be taken again."""
    attachment = attached.of(session)
    attachment.wanted = (0, 0)
    upper = [word.upper() for word in words]
    at = upper.index(b"REDIRECT") + 1 if b"REDIRECT" in upper[3:] else 0
    own = integer(words[at]) if 0 < at < len(words) else None
    if own is None:
        return frame
    sought, attachment.sought = attachment.sought, None
    if sought is None:
        plane = session.plane
        if not attachment.judged:
            return _ask_whether(session, attachment, words, at)
        attachment.judged = False
        theirs = _NOT_YET if _is_elsewhere(plane, own) else anchored(plane, own)
        if theirs == _NOT_YET:
            session.halt(ASKED)
            _seek(session, attachment, own, plane.clock())
            return None
        sought = theirs
    if sought == _NOT_YET:
        session.answer(errors.REDIRECT_BUSY)
        return b""
    attachment.wanted = (own, sought)
    return resp.encode([*words[:at], b"%d" % sought, *words[at + 1 :]])


def _ask_whether(session: Session, attachment: attached.Attachment, words: list[bytes], at: int) -> bytes | None:
    """Nothing is changed for another client before the leader has said that this one may: it finds nothing wrong but that there is no such client."""
    refusal, attachment.refusal = attachment.refusal, b""
    if refusal:
        session.answer(refusal)
        return b""

    def judged(reply: bytes) -> None:
        attachment.judged = reply.startswith(_NO_SUCH)
        if not attachment.judged:
            attachment.refusal = reply if reply.startswith(b"-") else errors.NOT_UNDERSTOOD

    urgent.ask(session, [*words[: at - 1], *words[at + 1 :], words[at - 1], b"%d" % NOBODY], judged)
    return None


def _is_elsewhere(plane: Plane, own: int) -> bool:
    """Whether only another worker can know the client with this id."""
    return plane.options.workers > 1 and plane.clients.find(own) is None


def _seek(session: Session, attachment: attached.Attachment, own: int, since: float) -> None:
    """Look for the client's lease until there is one, or the budget is over; then the command is taken again."""
    plane = session.plane

    def found(answers: list[bytes]) -> None:
        theirs = min(map(int, answers), default=NOBODY)
        if session.transport is None:
            return
        if theirs == _NOT_YET and plane.clock() - since < plane.options.budget:
            plane.later(_AGAIN, lambda: _seek(session, attachment, own, since))
            return
        attachment.sought = theirs
        session.release(ASKED)

    if _is_elsewhere(plane, own):
        plane.ports.others([b"REDIRECT", b"%d" % own], found)
    else:
        plane.later(_AGAIN, lambda: found([b"%d" % anchored(plane, own)]))


def anchored(plane: Plane, own: int) -> int:
    """The server's id for the lease on which this client of this worker is told; nobody's where there is no such client, 0 where there is no lease yet."""
    target = plane.clients.find(own)
    if target is None:
        return NOBODY
    lease = _anchor(target)
    if lease is not None and lease.ready:
        return id_on_server(lease)
    if lease is not None and not lease.waiters:
        lease.pool.await_ready(lease, lambda: None)
    return _NOT_YET


def _anchor(target: Session) -> Upstream | None:
    """The lease on which a client is told, from now on its own; None while it is busy with something that wants no other lease."""
    if target.state is State.SHARED and not target.fifo:
        attached.hold_on(target)
    if target.state is not State.ATTACHED:
        return None
    attached.of(target).anchored = True
    if target.lease is not None:
        target.lease.spoiled = True
    return target.lease


def as_here(attachment: attached.Attachment, reply: bytes) -> bytes:
    """A reply of the server with the id that clients know."""
    own, theirs = attachment.redirect
    return reply.replace(b":%d\r\n" % theirs, b":%d\r\n" % own) if theirs else reply
