"""The directory of sessions: who is connected, ids, and how many there may be.

Called by `session` as clients come and go, and by the service when it drains. Ids are given once and never again, as a server's are, whatever
worker gives them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from rproxy import errors
from rproxy.dataplane.memory_limit import MemoryLimit
from rproxy.dataplane.tallies import CLIENTS, PROTOCOL_ERRORS, REFUSED_ADDRESS, REFUSED_USER, Tallies

if TYPE_CHECKING:
    from rproxy.dataplane.plane import Plane
    from rproxy.dataplane.session import Session


class Peer(NamedTuple):
    """Where a client is: its address and the one that it connected to, as CLIENT LIST writes them, the descriptor of its socket, and how many seconds ago it
    sent something.
    """

    address: bytes
    local: bytes
    descriptor: int
    idle: float

    @property
    def host(self) -> bytes:
        """The address without its port."""
        return self.address.rpartition(b":")[0].strip(b"[]")


UNKNOWN_PEER = Peer(b"?:0", b"?:0", -1, 0.0)


def _share(most: int, workers: int) -> int:
    """Of so many in all workers, those that one may have; 0: any."""
    return -(-most // workers)


class Profile:
    """What a client has told of itself, and what is told of it: `since` it is connected; the command under way has `size` bytes; `queued` commands are in its
    transaction. `announced`: its own address and the one that it connected to, where a load balancer has told them. `chunks` had come from it at the last
    look of `client_timeouts`, and nothing since `quiet_since`.
    """

    __slots__ = ("since", "name", "lib_name", "version", "size", "queued", "chunks", "quiet_since", "announced")

    def __init__(self, since: float) -> None:
        self.since = since
        self.name = b""
        self.lib_name = b""
        self.version = b""
        self.size = 0
        self.queued = 0
        self.chunks = 0
        self.quiet_since = since
        self.announced: tuple[bytes, bytes] | None = None

    def announce(self, address: bytes, local: bytes) -> None:
        """A load balancer connects for the client at this address, which has connected to `local`."""
        self.announced = address, local


def peer_of(session: Session) -> Peer:
    """Where the client of this session is: behind a load balancer that tells, the client and not that."""
    if session.transport is None:
        return UNKNOWN_PEER
    peer = session.plane.ports.peer(session.transport.transport)
    announced = session.profile.announced
    return peer if announced is None else peer._replace(address=announced[0], local=announced[1])


class Clients:
    """The sessions of one worker by id. `most`: how many there may be at once, in all workers together, those included that are only expected.
    `accepted` and `refused` count for ever.
    """

    def __init__(self, most: int, tallies: Tallies) -> None:
        self.most = most
        self.accepted = 0
        self.refused = 0
        self._told = 0
        self._telling = False
        self._tallies = tallies
        self._sessions: dict[int, Session] = {}
        self._expected: set[Session] = set()
        self._of_address: dict[bytes, int] = {}
        self._addresses: dict[Session, bytes] = {}
        self.memory = MemoryLimit()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def expect(self, session: Session) -> bool:
        """Keep a place for a client that has connected, and whose session begins later (behind a TLS handshake); False where there are too many already."""
        if self._is_full():
            self._refuse_for_number(session.plane)
            return False
        self._expected.add(session)
        self._publish()
        return True

    def expects(self) -> int:
        """How many places are kept."""
        return len(self._expected)

    def give_up(self, session: Session) -> None:
        """The client that a place was kept for does not come."""
        self._expected.discard(session)
        self._publish()

    def admit(self, session: Session) -> int:
        """The id of a new session, or 0 where there are too many already."""
        if session in self._expected:
            self._expected.discard(session)
        elif self._is_full():
            self._refuse_for_number(session.plane)
            return 0
        if not self._counts_address(session):
            return 0
        self.accepted += 1
        session_id = self._tallies.next_id()
        self._sessions[session_id] = session
        self._publish()
        session.plane.intermission.meet(session)
        session.plane.client_timeouts.start()
        return session_id

    def _counts_address(self, session: Session) -> bool:
        """Count a client of its address, of which as many may be connected as the settings say; False where there are that many. Not of unix sockets."""
        plane = session.plane
        most = _share(plane.options.clients_per_address, plane.options.workers)
        host = peer_of(session).host if most and session.transport is not None else b""
        if not host or host.startswith(b"/"):
            return True
        if self._of_address.get(host, 0) >= most:
            self._tallies.count(REFUSED_ADDRESS)
            self.refuse(plane, f"{most} of its address are connected to this process", "limits.clients_per_address")
            return False
        self._of_address[host] = self._of_address.get(host, 0) + 1
        self._addresses[session] = host
        return True

    def admits_user(self, session: Session, user: bytes) -> bool:
        """Whether this client may become one of this user: as many may be connected as the settings say."""
        most = _share(session.plane.options.clients_per_user, session.plane.options.workers)
        if not most or sum(other.key.user == user for other in self._sessions.values() if other is not session) < most:
            return True
        self._tallies.count(REFUSED_USER)
        self.refuse(session.plane, f"{most} of its user are connected to this process", "limits.clients_per_user")
        return False

    def _is_full(self) -> bool:
        return self._tallies.total(CLIENTS) >= self.most

    def _publish(self) -> None:
        self._tallies.put(CLIENTS, len(self._sessions) + len(self._expected))

    def _refuse_for_number(self, plane: Plane) -> None:
        self.refuse(plane, f"there are as many as limits.clients allows, {self.most}", "limits.clients")

    def refuse(self, plane: Plane, why: str, limit: str) -> None:
        """A client is refused, for the reason `why`: count it, and have the log say so. Of the first at once, of those of the second after it how many they
        were, and which `limit` it was.
        """
        self.refused += 1
        plane.start_ticking()  # the next tick publishes the count
        if self._telling:
            return

        def tell() -> None:
            self._telling = False
            if self.refused > self._told:
                plane.notice(f"{self.refused - self._told} more clients were refused within a second: {limit}")

        self._telling = True
        self._told = self.refused
        plane.notice(f"a client is refused: {why}")
        plane.later(1.0, tell)

    def broke(self, problem: bytes) -> bytes:
        """The error for a client whose bytes break the protocol."""
        self._tallies.count(PROTOCOL_ERRORS)
        return errors.protocol_error(problem)

    def find(self, session_id: int) -> Session | None:
        """The session with this id."""
        return self._sessions.get(session_id)

    def leave(self, session_id: int) -> None:
        """The session has ended."""
        session = self._sessions.pop(session_id, None)
        host = self._addresses.pop(session, b"") if session is not None else b""
        if host:
            self._of_address[host] -= 1
            if not self._of_address[host]:
                del self._of_address[host]
        self._publish()
