"""What becomes of sessions whose user is changed or deleted, as a server does with the connections of that user.

On a server a connection stays authenticated when the password changes, and is closed when the user is deleted. Here a user's lane to the leader stands for
the authentication of its sessions: it is opened with them, kept while they are there, and when it is lost and the leader will not have the user again, they
are closed. Called by `pool` for lanes, by `local` for each AUTH, by `broadcasts` for what a client of this rproxy changes. It must never let a session go
on as a user whom the leader does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rproxy.dataplane.handshake import LaneKey
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session
    from rproxy.dataplane.upstream import Upstream

SPARE_LANES = 16
"""Lanes to one server that are kept for clients who have logged in and gone, in case that they come back."""
_UNKNOWN = (b"-WRONGPASS", b"-ERR invalid password")


def sessions_of(plane: Plane, key: LaneKey) -> list[Session]:
    """The sessions that have authenticated themselves, with this key."""
    return [session for session in plane.clients if session.key is key] if key.user is not None else []


def left(plane: Plane, key: LaneKey) -> None:
    """A session has this key no more. Where nobody has it, its lanes are kept for a while only if they are few."""
    key.leave()
    if not key.sessions and key.user is not None:
        for pool in plane.all_pools():
            pool.close_unused(SPARE_LANES)


def proved(plane: Plane, key: LaneKey) -> None:
    """The leader has just taken this user and password of a session: what any server said of them before counts no more."""
    for pool in plane.pools.values():
        pool.believe(key)
    plane.leader.lane(key)


def lost(lane: Upstream) -> None:
    """A server has closed a lane, maybe because its user is deleted: the leader is asked, if sessions depend on it."""
    plane = lane.pool.plane
    if sessions_of(plane, lane.key):
        plane.leader.lane(lane.key)


def refused(lane: Upstream) -> None:
    """A server will not have the user of a lane. Where it is the leader, their sessions end behind what they are still owed."""
    stands = any(other.key is lane.key and other.ready for other in lane.pool.stalled)
    if lane.pool.leads and lane.refusal.startswith(_UNKNOWN) and not stands:
        for session in sessions_of(lane.pool.plane, lane.key):
            session.refuse(b"")


def changed(plane: Plane, name: bytes, words: list[bytes], by: LaneKey) -> None:
    """The leader has carried out this command of `by`. The servers close the connections of deleted users, but for the one that asked."""
    if name == b"ACL|DELUSER":
        for key in {session.key for session in plane.clients if session.key.user in words[2:]}:
            for session in sessions_of(plane, key):
                session.refuse(b"")
            lanes = [lane for pool in plane.pools.values() if (lane := pool.lanes.get(key)) is not None]
            for lane in lanes if key is not by else ():
                lane.close()
    elif name == b"ACL|SETUSER":
        password = newest_password(words[3:])
        if password:
            plane.keys.renew(words[2], password)


def newest_password(rules: list[bytes]) -> bytes:
    """The last password that ACL SETUSER's rules give and do not take away again, empty where there is none."""
    newest = b""
    for rule in rules:
        if rule.startswith(b">"):
            newest = rule[1:]
        elif rule == b"<" + newest or rule.lower() in (b"resetpass", b"reset"):
            newest = b""
    return newest
