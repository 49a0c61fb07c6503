"""What an attached client has on its server: subscriptions, MONITOR, tracking; and how it is read what its server sends by itself.

`dispatch` hands over each command of an attached session, `upstream` all that the lease brings. The lease stays until the replies have proved that nothing
is left on it. It must never take what a server sends by itself for the reply to a command, nor put it into the middle of one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import authentication, leased, local, redirect, resp, scripts
from rproxy.dataplane.commands import Command, Effect, Kind
from rproxy.dataplane.overlay import SUBSCRIPTIONS
from rproxy.dataplane.states import ASKED, LEASE, QUIET, State

if TYPE_CHECKING:
    from rproxy.dataplane.pending import Pending
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

Rewrite = Callable[["Session", list[bytes], bytes], bytes]
"""It is given the words of a command and the server's reply, acts on that, and gives what the client is to see."""
_OK = b"+OK\r\n"
_ENOUGH = 64  # bytes of a frame that tell what it is
_NAMED = re.compile(rb"[>*]\d+\r\n\$\d+\r\n([a-z-]+)\r\n")
_CHANNEL = re.compile(rb"[>*]3\r\n\$\d+\r\n[a-z]+\r\n\$(\d{1,18})\r\n")
_LINE = re.compile(rb"\+\d+\.\d+ \[")  # of MONITOR
_MESSAGES = (b"message", b"pmessage", b"smessage")
_CONFIRMATIONS = {
    b"subscribe": b"subscribe",
    b"psubscribe": b"psubscribe",
    b"ssubscribe": b"ssubscribe",
    b"unsubscribe": b"subscribe",
    b"punsubscribe": b"psubscribe",
    b"sunsubscribe": b"ssubscribe",
}
"""What tells of a subscription that has begun or ended, and of which kind it is."""
_READ_WHOLE = (*_CONFIRMATIONS, b"tracking-redir-broken")
_ANYWHERE = (b"QUIT", b"RESET")
_ON_THE_LEASE = (b"SELECT", b"AUTH", b"HELLO")


class Attachment:
    """What a client has on its lease.

    `names`: what it is subscribed to, by the command that did it. `monitor`, `tracking`: it is told of commands, of keys; `prefixes`: of all
    keys that begin so (BCAST). `kept`: what it switched on for
    its connection. `redirect`: the id of the client that is told of its keys, here and on the server; `wanted`: as it asked last; `sought`: found for
    the command that waits; `judged`: the leader has said that it may; `refusal`: its word that it may not. `anchored`: it is told of others' keys.
    `muted`: no replies (CLIENT REPLY OFF); `skips`: none to the next command; `silent`: none to the one that is taken now.
    """

    __slots__ = (
        "names", "monitor", "tracking", "prefixes", "kept", "redirect", "wanted", "sought", "judged", "refusal", "anchored", "muted", "skips", "silent",
        "silenced", "subscribing", "ending", "rewrites", "queued", "framer", "parts", "gathered", "passing", "pushing", "whole",
    )  # fmt: skip

    def __init__(self) -> None:
        self.names: dict[bytes, set[bytes]] = {b"subscribe": set(), b"psubscribe": set(), b"ssubscribe": set()}
        self.monitor = False
        self.tracking = self.prefixes = False
        self.kept: set[bytes] = set()
        self.redirect = (0, 0)
        self.wanted = (0, 0)
        self.sought: int | None = None
        self.judged = False
        self.refusal = b""
        self.anchored = False
        self.muted = False
        self.skips = False
        self.silent = False
        self.silenced: set[Pending] = set()
        self.subscribing: set[Pending] = set()
        self.ending: set[Pending] = set()  # of those, the ones that end all subscriptions of a kind
        self.rewrites: dict[
            Pending, Callable[[bytes], bytes]
        ] = {}  # what is given a whole reply, and returns the one for the client
        self.queued: list[tuple[int, Rewrite, list[bytes]]] = []
        self.framer = resp.ReplyFramer()
        self.parts: list[bytes] = []
        self.gathered = 0
        self.passing = self.pushing = False
        self.whole = False

    def came(self, lease: Upstream, data: bytes) -> None:
        """The lease has brought this."""
        came(self, lease, data)

    def subscribed(self) -> bool:
        """Whether there are any subscriptions."""
        return any(self.names.values())

    def empty(self) -> bool:
        """Whether nothing keeps the client on its lease."""
        kept = self.monitor or self.tracking or self.kept or self.anchored or self.muted or self.skips or self.silenced
        return not kept and not self.subscribed()


# What the client sends.


def attach(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """A command that gives the client state on one server connection."""
    if not leased.quiet(session):
        session.plane.barriers.waits(session, command.name, words)
        return False
    if command.effect == Effect.ATTACH and local.anonymous(session):
        session.answer(errors.NOAUTH)
        return True
    hold_on(session)
    return take(session, command, words, frame)


def of(session: Session) -> Attachment:
    """What an attached session has on its lease."""
    assert session.attachment is not None
    return session.attachment


def hold_on(session: Session) -> None:
    """Give the session a lease to be attached to, or attach it to the one that it has."""
    if session.lease is None:
        session.lease = session.plane.leader.lease(session, session.key)
    session.attachment = session.lease.attachment = Attachment()
    session.enter(State.ATTACHED)


def take(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """One command of an attached client; False when it must wait and be taken again."""
    attachment = of(session)
    if session.lease is not None and session.lease.choked:
        session.halt(LEASE)
        return False
    if command.name == b"CLIENT|REPLY" and not session.multi:
        if attachment.subscribing and not leased.quiet(session):
            return False  # whether it may be said is known then
        if not modal(session) and _reply(session, attachment, words):
            return True
    skips = hush(attachment)
    if not _take(session, attachment, command, words, frame):
        attachment.skips = skips
        return False
    let_go(session)
    return True


def hush(attachment: Attachment) -> bool:
    """A command is taken: its reply goes to nobody if the client wants none. Whether it is the one reply to be skipped."""
    skips, attachment.skips = attachment.skips, False
    attachment.silent = attachment.muted or skips
    return skips


def pass_over(session: Session) -> None:
    """An empty command has come: it has no reply, and counts as the one whose reply was to be skipped (networking.c, resetClient)."""
    if session.attachment is not None:
        session.attachment.skips = False
        let_go(session)


def modal(session: Session) -> bool:
    """Whether it is subscribed in RESP2, where few commands may be given."""
    return session.key.resp == 2 and session.attachment is not None and session.attachment.subscribed()


def _take(session: Session, attachment: Attachment, command: Command, words: list[bytes], frame: bytes) -> bool:
    name = command.name
    if name in _ANYWHERE and (leased.fits(command, words) or not session.multi):
        return local.take(session, command, words)
    if command.kind in (Kind.LOCAL, Kind.DENIED) and not session.multi and name not in _ON_THE_LEASE:
        if not leased.quiet(session):
            return False
        if modal(session) and command.kind == Kind.LOCAL and name.startswith(b"CLIENT|"):
            leased.send(session, frame)  # the server refuses it, in its own words, which depend on the user's rights
            return True
        if modal(session):
            session.answer(errors.only_subscriptions(name) if leased.fits(command, words) else errors.wrong_arity(name))
            return True
        if command.kind == Kind.LOCAL:
            return local.take(session, command, words)
        session.answer(command.refusal)
        return True
    if modal(session) and command.effect not in (Effect.NONE, Effect.ATTACH):
        if leased.quiet(session):
            leased.send(session, frame)  # the server refuses it, in its own words
            return True
        return False
    everywhere = command.kind == Kind.BROADCAST and not attachment.silent and not modal(session)
    if session.multi or command.effect not in (Effect.NONE, Effect.ATTACH) or name == b"SELECT" or everywhere:
        return leased.take_on_lease(session, command, words, frame)
    if name in (b"AUTH", b"HELLO"):
        if not leased.quiet(session):
            return False
        session.halt(QUIET)
        frame = authentication.on_a_lease(words, frame)
    if name == b"CLIENT|TRACKING":
        translated = redirect.translated(session, words, frame)
        if not translated:
            return translated is not None
        frame = translated
    pending = leased.send(session, frame, 0, leased.written(session, command, words, frame))
    pending.vouched = not command.relays
    if command.effect == Effect.ATTACH and leased.fits(command, words):
        session.plane.barriers.attaches(session, name, words)
    if name in _REWRITES:
        attachment.rewrites[pending] = partial(_REWRITES[name], session, words)
    elif name in SUBSCRIPTIONS and leased.fits(command, words):
        attachment.subscribing.add(pending)
        if len(words) == 1:
            attachment.ending.add(pending)
        else:
            _more(session, pending, len(words) - 2)
    return True


def _more(session: Session, pending: Pending, replies: int) -> None:
    """So many replies more will come."""
    pending.left += replies
    pending.count += replies
    session.inflight += replies


def _reply(session: Session, attachment: Attachment, words: list[bytes]) -> bool:
    """CLIENT REPLY, which the server need not know; False where it is malformed."""
    how = words[2].upper() if len(words) == 3 else b""
    if how == b"ON":
        attachment.muted = attachment.skips = attachment.silent = False
        session.answer(_OK)
    elif how == b"OFF":
        attachment.muted = True
    elif how == b"SKIP":
        attachment.skips = not attachment.muted
    else:
        return False  # the server says what is wrong with it
    let_go(session)
    return True


def _monitors(session: Session, words: list[bytes], reply: bytes) -> bytes:
    of(session).monitor = of(session).monitor or reply == _OK
    return reply


def _tracks(session: Session, words: list[bytes], reply: bytes) -> bytes:
    attachment = of(session)
    if session.lease is not None:
        session.lease.spoiled = True  # the server may remember it as one to be told, after tracking has ended
    if reply == _OK:
        attachment.tracking = words[2].upper() == b"ON"
        attachment.prefixes = attachment.tracking and b"BCAST" in [word.upper() for word in words[3:]]
        attachment.redirect = attachment.wanted if attachment.tracking else (0, 0)
    return reply


def _keeps(session: Session, words: list[bytes], reply: bytes) -> bytes:
    kept = of(session).kept
    if reply == _OK:
        (kept.add if words[2].upper() == b"ON" else kept.discard)(words[1].upper())
    return reply


def _redirects(session: Session, words: list[bytes], reply: bytes) -> bytes:
    return redirect.as_here(of(session), reply)


_REWRITES: dict[bytes, Rewrite] = {
    b"MONITOR": _monitors,
    b"CLIENT|TRACKING": _tracks,
    b"CLIENT|NO-EVICT": _keeps,
    b"CLIENT|NO-TOUCH": _keeps,
    b"CLIENT|GETREDIR": _redirects,
    b"CLIENT|TRACKINGINFO": _redirects,
    b"AUTH": authentication.authed,
    b"HELLO": authentication.greeted,
    b"SCRIPT|FLUSH": scripts.flushed,
}


# What the server sends.


def came(attachment: Attachment, lease: Upstream, data: bytes) -> None:
    """Tell replies from what the server sends by itself, frame by frame."""
    session = lease.owner
    if session is None:
        return
    framer = attachment.framer
    pos = 0
    while pos < len(data) and lease.owner is session:
        stop = framer.scan(data, pos)
        if stop == resp.BROKEN:
            lease.distrust(f"a reply that cannot be understood: {framer.problem.decode()}")
            return
        end = len(data) if stop < 0 else stop
        piece = data[pos:end]
        pos = end
        if not attachment.passing:
            attachment.parts.append(piece)
            if stop < 0 and not _may_pass(session, lease, attachment):
                attachment.gathered += len(piece)
                if attachment.gathered > session.most_held:
                    session.overflow()
                    return
                continue
            attachment.gathered = 0
            piece = b"".join(attachment.parts)
            attachment.parts = []
            if stop >= 0:
                attachment.whole = False
                _frame(session, lease, attachment, piece)
                continue
            attachment.passing = True
            if attachment.pushing:
                session.push(piece, begins=True, ends=False)
            else:
                _answer(lease, attachment, piece, 0, True)
        else:
            attachment.passing = stop < 0
            if attachment.pushing:
                attachment.pushing = attachment.passing
                session.push(piece, begins=False, ends=not attachment.passing)
            else:
                _answer(lease, attachment, piece, int(stop >= 0), False)
    let_go(session)


def _may_pass(session: Session, lease: Upstream, attachment: Attachment) -> bool:
    """Whether what has come is the beginning of a reply, a message or a push to be passed on as it comes, however large it is. What rproxy reads or rewrites
    is kept until it is whole: confirmations of subscriptions, and replies that change what a client has.
    """
    if attachment.whole or len(attachment.parts) > 1 and len(attachment.parts[0]) >= _ENOUGH:
        return False
    head = b"".join(attachment.parts)
    if len(head) < _ENOUGH:
        return False
    pending = lease.head()
    name = _by_itself(session, attachment, pending, head)
    if name:
        attachment.whole = name in _READ_WHOLE
    else:
        attachment.whole = pending is None or pending in attachment.rewrites
    attachment.pushing = not attachment.whole and name != b""
    return not attachment.whole


def _by_itself(session: Session, attachment: Attachment, pending: Pending | None, head: bytes) -> bytes:
    """What the server says by itself in a frame that begins with `head`: the name of a push or message, or of what confirms a subscription. Empty: a reply."""
    if head.startswith(b"+"):
        return b"monitor" if attachment.monitor and _LINE.match(head) else b""
    named = _NAMED.match(head)
    if named is None:
        return b">" if head.startswith(b">") else b""
    if head.startswith(b">") or (pending is not None and pending in attachment.subscribing):
        return named[1]
    return named[1] if session.key.resp == 2 and attachment.subscribed() and named[1] in _MESSAGES else b""


def _frame(session: Session, lease: Upstream, attachment: Attachment, frame: bytes) -> None:
    """One whole frame."""
    pending = lease.head()
    subscribing = pending is not None and pending in attachment.subscribing
    name = _by_itself(session, attachment, pending, frame[:_ENOUGH])
    if name in _CONFIRMATIONS:
        _confirmed(session, attachment, pending, name, frame)
        if subscribing:
            _answer(lease, attachment, frame, 1, True, loud=True)
            return
    elif name == b"tracking-redir-broken":
        frame = redirect.as_here(attachment, frame)
    if name:
        session.emit(frame)
    elif pending is None:
        lease.distrust("bytes that nothing asked for: " + frame[:80].decode("utf-8", "replace").strip())
    else:
        rewrite = attachment.rewrites.pop(pending, None)
        _answer(lease, attachment, rewrite(frame) if rewrite is not None else frame, pending.left if subscribing else 1, True)


def _confirmed(session: Session, attachment: Attachment, pending: Pending | None, name: bytes, frame: bytes) -> None:
    """A subscription has begun or ended."""
    names = attachment.names[_CONFIRMATIONS[name]]
    if pending is not None and pending in attachment.ending:
        attachment.ending.discard(pending)
        _more(session, pending, max(0, len(names) - 1))
    found = _CHANNEL.match(frame)
    if found is not None:
        channel = frame[found.end() : found.end() + int(found[1])]
        (names.add if name in attachment.names else names.discard)(channel)


def _answer(lease: Upstream, attachment: Attachment, piece: bytes, replies: int, begins: bool, loud: bool = False) -> None:
    """Hand a piece of a reply to the session, in which `replies` end; of a silenced command nothing goes out. `loud`: it does all the same."""
    pending = lease.head()
    if pending is None:
        return
    silent = pending in attachment.silenced and not loud
    if pending.left == replies:
        attachment.silenced.discard(pending)
        attachment.subscribing.discard(pending)
        if not attachment.subscribing:
            lease.pool.plane.barriers.confirmed(lease.owner)
    if silent:
        if len(pending.head) < _ENOUGH:
            pending.head += piece[:_ENOUGH]  # what the session learns from it counts all the same
        piece = b""
    lease.answered(pending, piece, replies, begins)


def unconfirmed(session: Session) -> None:
    """The lease is lost: a subscription that was not confirmed is answered by one error, whatever it asked for."""
    for pending in of(session).subscribing:
        _more(session, pending, 1 - pending.left)
    session.plane.barriers.confirmed(session)
    session.attachment = None


def let_go(session: Session) -> None:
    """Give the lease back, if nothing is left on it."""
    attachment = session.attachment
    if attachment is None or session.state is not State.ATTACHED or session.fifo or session.multi or session.watching:
        return
    if attachment.empty() and not session.halted & ASKED:
        session.attachment = None
        leased.end(session)
