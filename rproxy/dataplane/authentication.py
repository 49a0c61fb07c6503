"""Authentication: AUTH and HELLO of clients, which the leader judges.

A login is checked on a lane kept for that, on which rproxy has no login of its own and nothing else is sent; HELLO is sent as rproxy has understood it, so
that the server can't understand it otherwise. Called by `local` for a client without state on a server, by `attached` and `queued` for one whose AUTH or
HELLO runs on its lease. It must never take for a login what the leader has not answered with OK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rproxy import errors
from rproxy.dataplane import policies, resp, users
from rproxy.dataplane.handshake import LOGIN, hello_reply
from rproxy.dataplane.pending import InternalRequest
from rproxy.dataplane.states import ASKED

if TYPE_CHECKING:
    from rproxy.dataplane.handshake import LaneKey
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session

Answer = Callable[[bytes], None]
_OK = b"+OK\r\n"
LARGEST_WORD = 16384
"""Bytes of an argument above which a server closes a connection that has not logged in (networking.c, processMultibulkBuffer)."""
FAILURES = 100
"""Failed logins of one worker's clients that are answered in a second; further ones wait for their answer."""
LONGEST_WAIT = 2.0
"""Seconds that the answer to a failed login is held back at most."""
MOST_PASSWORDS = 32
"""Passwords with which clients of one worker may be logged in as one user at once: each has a lane of its own."""
_LOST = (errors.LEADER_LOST, errors.COMMAND_LOST)


class Hello(NamedTuple):
    """What a HELLO asks for. `version` None: the one that is spoken. `login`: user and password. `name`: what the client is to be called."""

    version: int | None
    login: tuple[bytes, bytes] | None
    name: bytes | None

    def words(self) -> list[bytes]:
        """The command that asks for this and can be understood in no other way."""
        words = [b"HELLO"] if self.version is None else [b"HELLO", b"%d" % self.version]
        if self.login is not None:
            words += [b"AUTH", *self.login]
        return words if self.name is None else [*words, b"SETNAME", self.name]


def is_client_attribute(word: bytes) -> bool:
    """Whether a client may be called so: printable ASCII without spaces (networking.c, validateClientAttr)."""
    return all(33 <= byte <= 126 for byte in word)


def parse_hello(words: list[bytes]) -> Hello | None:
    """What this HELLO asks for, as a server reads it (networking.c, helloCommand): of several options of a kind the last counts. None where a server finds
    fault with the words.
    """
    if len(words) == 1:
        return Hello(None, None, None)
    if words[1] not in (b"2", b"3"):
        return None
    login = name = None
    at = 2
    while at < len(words):
        option, more = words[at].upper(), len(words) - at - 1
        if option == b"AUTH" and more >= 2:
            login = (words[at + 1], words[at + 2])
            at += 3
        elif option == b"SETNAME" and more and is_client_attribute(words[at + 1]):
            name = words[at + 1]
            at += 2
        else:
            return None
    return Hello(int(words[1]), login, name)


class LoginChecks:
    """Asks the leader whether logins are right. The rate of answers to failed ones is bounded, so that guessing passwords costs the guesser time."""

    def __init__(self, plane: Plane, owner: Session) -> None:
        self._plane = plane
        self._owner = owner
        self._failures_until = 0.0

    def ask(self, words: list[bytes], done: Answer) -> None:
        """Send an AUTH to the leader; `done` is given its reply, or an error of rproxy's."""
        if max(map(len, words)) > LARGEST_WORD:
            self._pass(errors.WRONG_PASSWORD, done)
        else:
            self._send(resp.encode(words), done, again=True)

    def _send(self, request: bytes, done: Answer, again: bool) -> None:
        """`again`: where the connection is lost it is asked once more, for to ask changes nothing."""
        plane = self._plane
        key = plane.keys.beside(plane.keys.stranger(), LOGIN)

        def answered(reply: bytes) -> None:
            if again and reply in _LOST:
                self._send(request, done, again=False)
            else:
                self._pass(reply, done)

        plane.leader.lane(key).send(InternalRequest(self._owner, key.base, request, answered))

    def _pass(self, reply: bytes, done: Answer) -> None:
        if not reply.startswith((b"-WRONGPASS", b"-ERR")):
            done(reply)
            return
        now = self._plane.clock()
        self._failures_until = max(self._failures_until, now - 1.0) + 1.0 / FAILURES
        wait = min(self._failures_until - now, LONGEST_WAIT)
        if wait > 0:
            self._plane.later(wait, lambda: done(reply))
        else:
            done(reply)


def auth(session: Session, words: list[bytes]) -> None:
    """AUTH of a client that has nothing under way. The session takes no command until the leader has judged it."""
    check_login(session, words, lambda reply: session.answer(authed(session, words, reply)))


def check_login(session: Session, words: list[bytes], answered: Answer) -> None:
    """Have the leader judge an AUTH; `answered` is given its reply."""

    def done(reply: bytes) -> None:
        if session.transport is not None:
            session.release(ASKED)
            session.plane.failed_logins.look(session, reply)
            answered(reply)

    session.halt(ASKED)
    session.plane.login_checks.ask(words, done)


def authed(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """The leader has answered AUTH: what the client is told."""
    if reply != _OK or len(words) not in (2, 3):
        return reply
    user = words[1] if len(words) == 3 else b"default"
    key = session.plane.keys.logged_in(session.key, user, words[-1], session.key.resp)
    return log_in(session, key) or reply


def log_in(session: Session, key: LaneKey) -> bytes:
    """The leader has taken the login of this key of the client: nothing, or why rproxy does not."""
    plane = session.plane
    if session.lease is None and not plane.keys.admits(key, MOST_PASSWORDS):
        return errors.TOO_MANY_PASSWORDS
    if key.user is not None and not plane.clients.admits_user(session, key.user):
        return errors.TOO_MANY_CLIENTS
    session.use(key)
    policies.adopt(session)
    users.proved(plane, key)
    return b""


def on_a_lease(words: list[bytes], frame: bytes) -> bytes:
    """What is sent for a command that may be HELLO: that as rproxy understands it, where it does."""
    hello = parse_hello(words) if words[0].upper() == b"HELLO" else None
    return frame if hello is None else resp.encode(hello.words())


def greeted(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """HELLO has been answered on the client's lease, to which it was sent as `Hello.words` says it: what the client is told."""
    session.plane.failed_logins.look(session, reply)
    hello = parse_hello(words)
    if reply.startswith(b"-") or hello is None:
        return reply
    version = hello.version or session.key.resp
    if hello.login is not None:
        log_in(session, session.plane.keys.logged_in(session.key, *hello.login, version))
    else:
        session.use(session.plane.keys.speaking(session.key, version))
    if hello.name is not None:
        session.profile.name = hello.name
    return hello_reply(reply, session.id)
