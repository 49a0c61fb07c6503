"""Takes one command that isn't simply part of a run: inline ones, subcommands, what rproxy answers or refuses, what needs a lease.

Called by `session` for each such command, in the order in which they came. It decides by the command and the session's state, and must never send one
outside the transaction in which it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy import errors
from rproxy.dataplane import attached, broadcasts, cursors, inline, leased, local, order, resp, scripts, waits
from rproxy.dataplane.commands import Command, Effect, Kind
from rproxy.dataplane.states import State

if TYPE_CHECKING:
    from rproxy.dataplane.session import Session

_ABOUT_TRANSACTIONS = (Effect.MULTI, Effect.EXEC, Effect.DISCARD, Effect.WATCH, Effect.UNWATCH)
_ANSWERED_HERE = (Kind.LOCAL, Kind.DENIED)
"""What is never sent as it came, unless the session has a server of its own: its line needs no other form, which costs more than a refusal."""
_HTTP = (b"POST", b"HOST:")
"""Words by which a browser gives itself away: closed without an answer, as servers do (networking.c, securityWarningCommand)."""


def take_one(session: Session, data: bytes, pos: int, stop: int, command: Command | None) -> bool:
    """Take the command `data[pos:stop]`, which the framer has just found; False when it must wait and be taken again."""
    framer = session.framer
    if not framer.argc:
        attached.pass_over(session)
        return True
    frame = data[pos:stop]
    words: list[bytes] | None
    if framer.inline:
        words = inline.split_line(frame)
        if words is None:
            session.refuse(errors.protocol_error(errors.UNBALANCED_QUOTES))
            return False
        if not words:
            attached.pass_over(session)
            return True
        command = session.table.find(words[0])
    else:
        words = resp.split(frame) if command is None or not command.plain else [frame[framer.name_at : framer.name_end]]
    if command is None:
        command = session.table.find(words[0])
    if command is session.table.unknown and words[0].upper() in _HTTP:
        session.close()
        return False
    if command.subcommands and len(words) > 1:
        command = session.table.find(words[0], words[1])
        if command.subcommands and command.kind <= Kind.WRITE and not command.flags and not command.overridden:
            command = session.table.unknown  # a subcommand that is not known
    if framer.inline and not (session.shared and command.kind in _ANSWERED_HERE):
        frame = resp.encode(words)
    session.run.command = command
    plane = session.plane
    pauses = plane.pauses
    if plane.barred and plane.barriers.stops(session, command):
        return False
    if (pauses.everything and pauses.stops(session, command)) or not _take(session, command, words, frame):
        return False
    command.calls += 1
    session.plane.taken[command.kind] += 1
    return True


def command_under_way(session: Session, head: bytes) -> Command:
    """The command of which `head` has come, as far as that tells."""
    framer = session.framer
    table = session.table
    if not framer.named:
        return table.unknown
    return table.find(head[framer.name_at : framer.name_end], head[framer.word_at : framer.word_end])


def _take(session: Session, command: Command, words: list[bytes], frame: bytes) -> bool:
    """Take it in whatever state the session is."""
    if session.state is State.BROKEN:
        return leased.take_broken(session, command, words)
    if session.state is State.ATTACHED:
        return attached.take(session, command, words, frame)
    if session.state is State.TRANSACTION:
        return leased.take_in_transaction(session, command, words, frame)
    if command.kind == Kind.LOCAL:
        return local.take(session, command, words)
    if command.kind == Kind.DENIED:
        session.answer(errors.NOAUTH if local.anonymous(session) else command.refusal)
        return True
    if command.kind == Kind.BROADCAST:
        # A read on its way to a replica may yet be sent to the leader, and must not come behind what gives scripts or takes them or rights away.
        overtakes = command.name == b"SCRIPT|LOAD" and not scripts.must_wait(session, command)
        return (overtakes or leased.quiet(session)) and broadcasts.take(session, command, words, frame)
    effect = command.effect
    if session.watch_lost and effect in _ABOUT_TRANSACTIONS and leased.fits(command, words):
        return leased.take_unwatched(session, command)
    if effect in (Effect.MULTI, Effect.WATCH) and leased.fits(command, words):
        return leased.begin(session, command, frame)
    if effect == Effect.ATTACH and leased.fits(command, words):
        return attached.attach(session, command, words, frame)
    if effect == Effect.BLOCKING and command.may_block(words):
        return leased.block(session, command, words, frame)
    if effect == Effect.CURSOR:
        return cursors.take(session, command, words, frame)
    if effect == Effect.WAIT and leased.fits(command, words):
        return waits.take(session, command, frame)
    if session.plane.pauses.holds(command):
        return leased.block(session, command, words if len(words) > 1 else resp.split(frame), frame)
    return order.send_one(session, command, words, frame)
