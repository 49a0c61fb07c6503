"""What rproxy answers by itself: what belongs to the client's connection here and not to a server's.

Called by `dispatch`. AUTH, HELLO with AUTH and odd forms of SELECT are asked of the leader on a connection for that alone, and never answered from
memory. It must never say yes to what a server has not confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import authentication, introspect, leased, policies, resp, roster, urgent
from rproxy.dataplane.authentication import is_client_attribute
from rproxy.dataplane.commands import Command
from rproxy.dataplane.handshake import LaneKey, hello_reply
from rproxy.dataplane.pending import Pending
from rproxy.dataplane.states import ASK, ASKED, QUIET, State

if TYPE_CHECKING:
    from rproxy.dataplane.pool import Pool
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

Answer = Callable[[bytes], None]
"""What to do with the reply to a question."""
_OK = b"+OK\r\n"


def take(session: Session, command: Command, words: list[bytes]) -> bool:
    """Answer one command; False when it must wait and be taken again."""
    fits = len(words) == command.arity if command.arity > 0 else len(words) >= -command.arity
    if not fits and command.arity:
        session.answer(errors.wrong_arity(command.name))
        return True
    reply = _AT_ONCE.get(command.name)
    if reply is not None:
        _answer_at_once(session, words, reply)
        return True
    told = _TOLD.get(command.name)
    if told is not None:
        _tell(session, words, told)
        return True
    if command.name == b"QUIT":
        session.refuse(_OK)
        return False
    asked = roster.ASKED.get(command.name)
    if asked is not None:
        asked(session, words)
        return True
    if session.fifo:
        session.halt(QUIET)
        return False
    _WHEN_QUIET[command.name](session, words)
    return True


def anonymous(session: Session) -> bool:
    """Whether the leader wants a password of this session first."""
    lane = session.plane.leader.lanes.get(session.key)
    return lane is not None and lane.anonymous


def is_integer(word: bytes) -> bool:
    """Whether a server takes `word` for an integer (string2ll, util.c): no spaces, no plus sign, no leading zeros."""
    digits = word[1:] if word.startswith(b"-") else word
    return (
        digits.isdigit() and len(digits) < 10 and (digits == word or digits != b"0") and (digits[:1] != b"0" or len(digits) == 1)
    )


# Answered at once, but for a stranger, as long as the leader has not said that it wants no password.


def _answer_at_once(session: Session, words: list[bytes], reply: Callable[[Session, list[bytes]], bytes]) -> None:
    def judged() -> None:
        session.answer(errors.NOAUTH if anonymous(session) else reply(session, words))

    if session.plane.unlocked:
        judged()
    else:
        _when_judged(session, judged)


def _client_id(session: Session, words: list[bytes]) -> bytes:
    return b":%d\r\n" % session.id


def _client_getname(session: Session, words: list[bytes]) -> bytes:
    if session.profile.name:
        return resp.bulk(session.profile.name)
    return b"_\r\n" if session.key.resp == 3 else b"$-1\r\n"


def _client_setname(session: Session, words: list[bytes]) -> bytes:
    if not is_client_attribute(words[2]):
        return errors.BAD_NAME
    session.profile.name = words[2]
    return _OK


def _client_setinfo(session: Session, words: list[bytes]) -> bytes:
    attribute = words[2].upper()
    if attribute not in (b"LIB-NAME", b"LIB-VER"):
        return errors.bad_option(words[2])
    if not is_client_attribute(words[3]):
        return errors.bad_info(words[2])
    setattr(session.profile, "lib_name" if attribute == b"LIB-NAME" else "version", words[3])
    return _OK


def _client_maint_notifications(session: Session, words: list[bytes]) -> bytes:
    """Only managed services know this; redis-py goes on when a server does not."""
    return errors.unknown_subcommand(words[1])


_AT_ONCE: dict[bytes, Callable[[Session, list[bytes]], bytes]] = {
    b"CLIENT|ID": _client_id,
    b"CLIENT|GETNAME": _client_getname,
    b"CLIENT|SETNAME": _client_setname,
    b"CLIENT|SETINFO": _client_setinfo,
    b"CLIENT|MAINT_NOTIFICATIONS": _client_maint_notifications,
    b"RPROXY": introspect.unknown,
    b"RPROXY|HELP": introspect.usage,
}


CLIENTS_OWN: tuple[bytes, ...] = (b"CLIENT|ID", b"CLIENT|GETNAME", b"CLIENT|SETNAME", b"CLIENT|SETINFO")


def told(session: Session, words: list[bytes], reply: bytes) -> bytes:
    """What a client is told in place of the server's reply, if that is no error."""
    return reply if reply.startswith(b"-") else _AT_ONCE[words[0].upper() + b"|" + words[1].upper()](session, words)


_TOLD: dict[bytes, Callable[[Session, list[bytes]], bytes]] = {
    b"RPROXY|STATUS": introspect.status,
    b"RPROXY|EXPLAIN": introspect.explain,
    b"INFO|RPROXY": introspect.info,
}
_UNPROVEN = (b"-NOAUTH", b"-WRONGPASS", b"-NOPERM")


def _tell(session: Session, words: list[bytes], told: Callable[[Session, list[bytes]], bytes]) -> None:
    """Tell of rproxy itself whom the servers would answer too. Where none is there to say whether it wants a password, all is told: the operator asks most
    when everything is down, and what is told are names and counts.
    """

    def settled() -> None:
        now = _judge(session)  # another one, if the leader has changed meanwhile
        lane = None if now is None else now.lanes.get(session.key)
        stranger = lane is not None and (lane.anonymous or lane.refusal.startswith(_UNPROVEN))
        if stranger:
            session.answer(errors.NOAUTH)
        elif session.key.user is not None and session.plane.topology.leader_up:
            # A user who may ask the leader about itself may ask about rproxy: the right to INFO decides.
            urgent.ask(session, [b"INFO", b"server"], entitled)
        else:
            _say(session, words, told)

    def entitled(reply: bytes) -> None:
        if reply.startswith((b"-NOPERM", b"-NOAUTH")):
            session.answer(reply)
        else:
            _say(session, words, told)

    _when_judged(session, settled)


def _when_judged(session: Session, then: Callable[[], None]) -> None:
    """Call `then` when a server has said whether it wants a password of this session, or none is there to say so."""
    pool = _judge(session)
    lane = None if pool is None else pool.lane(session.key)
    if lane is None or lane.ready or lane.refusal:
        then()
    else:
        await_lane(session, lane, then)


def _say(session: Session, words: list[bytes], told: Callable[[Session, list[bytes]], bytes]) -> None:
    """Tell it; with other sections of INFO the leader is asked for those."""
    if told is introspect.info and len(words) > 2:
        others = [words[0], *words[2:]]
        urgent.ask(session, others, lambda reply: session.answer(introspect.info(session, words, reply)))
    else:
        session.answer(told(session, words))


def _judge(session: Session) -> Pool | None:
    """Who says whether this session has to prove who it is; None where it has, where the settings vouch for it, or where no server answers."""
    plane = session.plane
    if session.key.user is not None:
        return None
    up = plane.topology.leader_up and plane.leader is not plane.limbo
    pool = plane.leader if up else plane.readers[0] if plane.readers else None
    return None if pool is None or pool.server.has_password else pool


# Answered when nothing of the session is in flight, because lanes and state change with them.


def _reset(session: Session, words: list[bytes]) -> None:
    """A server that has state of the client ends it first: until it says so it may still count the subscriber. Then the lease is closed."""
    lease, session.lease = session.lease, None
    if lease is not None and lease.ready:
        _ask_on(lease, session, session.key, words, lambda reply: _begin_anew(session))
        return
    if lease is not None:
        lease.owner = None
        lease.close()
    _begin_anew(session)


def _begin_anew(session: Session) -> None:
    """Nothing of the client is left on any server: it is as it was when it had just connected."""
    if not session.shared:
        session.enter(State.SHARED)
    leased.forget_transaction(session)
    session.watch_lost = False
    skipped = session.attachment is not None and session.attachment.silent and not session.attachment.muted
    session.attachment = None
    session.use(session.plane.first_key())
    policies.adopt(session)
    session.profile.name = b""
    if not skipped:
        session.answer(b"+RESET\r\n")


def _select(session: Session, words: list[bytes]) -> None:
    key = session.key
    if is_integer(words[1]):
        wanted = session.plane.keys.in_database(key, int(words[1]))
        _move(session, wanted, lambda lane: errors.NOAUTH if lane.anonymous else _OK)
    else:
        _ask(session, key, words, session.answer)


def _hello(session: Session, words: list[bytes]) -> None:
    hello = authentication.parse_hello(words)
    if hello is None:  # a server finds fault with the words
        key = session.plane.keys.stranger() if policies.locked(session) else session.key
        _ask(session, key, words, lambda reply: session.answer(reply if reply.startswith(b"-") else errors.NOT_UNDERSTOOD))
    elif hello.login is not None:
        _greet_with_login(session, hello, hello.login)
    elif policies.locked(session):
        session.answer(errors.HELLO_NOAUTH)
    else:
        version = hello.version or session.key.resp
        _move(session, session.plane.keys.speaking(session.key, version), lambda lane: _greeting(session, hello, lane))


def _greet_with_login(session: Session, hello: authentication.Hello, login: tuple[bytes, bytes]) -> None:
    """HELLO with AUTH: the login is judged first, then the lane of its user says what a server says to HELLO."""

    def judged(reply: bytes) -> None:
        if reply != _OK:
            session.answer(reply)
            return
        key = session.plane.keys.logged_in(session.key, *login, hello.version or session.key.resp)
        _move(session, key, lambda lane: authentication.log_in(session, key) or _greeting(session, hello, lane))

    authentication.check_login(session, [b"AUTH", *login], judged)


def _greeting(session: Session, hello: authentication.Hello, lane: Upstream) -> bytes:
    if hello.name is not None and not lane.hello.startswith(b"-"):
        session.profile.name = hello.name
    return hello_reply(lane.hello, session.id)


_WHEN_QUIET: dict[bytes, Callable[[Session, list[bytes]], None]] = {
    b"RESET": _reset,
    b"SELECT": _select,
    b"HELLO": _hello,
    b"AUTH": authentication.auth,
}


# Questions to a server.


def _ask(session: Session, key: LaneKey, words: list[bytes], answered: Answer) -> None:
    """Ask the leader on a connection for that alone; `answered` is given the reply."""
    _ask_on(session.plane.leader.once(key), session, key, words, answered)


def _ask_on(question: Upstream, session: Session, key: LaneKey, words: list[bytes], answered: Answer) -> None:
    """Ask on this connection, which is closed then."""
    session.question = question
    session.answer_with = answered
    session.halt(ASKED)
    pending = Pending(session, 1, resp.encode(words), False, ASK)
    pending.key = key
    pending.parts = []
    question.send(pending)


def collect(session: Session, pending: Pending, piece: bytes) -> None:
    """A piece of the reply to a question."""
    assert pending.parts is not None
    pending.parts.append(piece)
    if pending.left:
        return
    question, session.question = session.question, None
    answered, session.answer_with = session.answer_with, None
    if question is not None:
        question.owner = None
        question.close()
    session.release(ASKED)
    if answered is not None:
        answered(b"".join(pending.parts))


def _move(session: Session, key: LaneKey, reply: Callable[[Upstream], bytes]) -> None:
    """Use `key` from now on if the server has such a lane; `reply` makes the answer from the lane."""

    def settled() -> None:
        found = lane
        if not lane.ready and not lane.refusal:  # what waited there waits at the next leader's
            found = session.plane.knower().lane(key)
        if found.ready:
            answer = reply(found)
            if not answer.startswith(b"-"):
                session.use(key)
            session.answer(answer)
        else:
            session.answer(found.refusal or session.plane.no_leader())

    lane = session.plane.knower().lane(key)
    if lane.ready or lane.refusal:
        settled()
    else:
        await_lane(session, lane, settled)


def await_lane(session: Session, lane: Upstream, settled: Callable[[], None]) -> None:
    """Let the session's commands wait until the lane is ready or refused, or the budget is over; then call `settled`."""

    def come() -> None:
        if session.transport is not None:
            session.release(ASKED)
            settled()

    session.halt(ASKED)
    lane.pool.await_ready(lane, come)
