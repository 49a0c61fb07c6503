"""A world for the data plane without sockets or time: fake transports, a clock that is moved by hand, and dice that fall as told.

Used by the tests of the data plane only. What servers answer is written out in each test, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rproxy.dataplane.commands import CommandTable
from rproxy.dataplane.plane import Plane
from rproxy.dataplane.ports import Options, Ports
from rproxy.dataplane.session import Session
from rproxy.dataplane.topology import Server, Topology
from rproxy.dataplane.upstream import Upstream

HELLO = b"%1\r\n$2\r\nid\r\n:7\r\n"
"""What the fake servers answer to HELLO."""


def process(run_id: bytes) -> bytes:
    """What a server answers to `INFO server` whose process has this run id."""
    text = b"# Server\r\nredis_version:7.2.4\r\nrun_id:%b\r\ntcp_port:6379\r\n" % run_id
    return b"$%d\r\n%b\r\n" % (len(text), text)


def command(*words: str | bytes) -> bytes:
    """A command as clients send it."""
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class FakeTransport:
    """Keeps what is written. Closing is told to the protocol at the next turn, as the event loop does."""

    def __init__(self, world: World, protocol: Any) -> None:
        self.world = world
        self.protocol = protocol
        self.written = bytearray()
        self.open = True
        self.reading = True
        self.buffered = 0

    def write(self, data: bytes) -> None:
        if self.open:
            self.written += data

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        if self.open:
            self.open = False
            self.world.soon(lambda: self.protocol.connection_lost(None))

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return not self.open

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class End:
    """One end of a connection, as the test holds it: `send` gives bytes to the protocol, `take` what it wrote since."""

    def __init__(self, world: World, protocol: Any) -> None:
        self.world = world
        self.protocol = protocol
        self.transport = FakeTransport(world, protocol)
        protocol.connection_made(self.transport)
        world.turn()

    @property
    def open(self) -> bool:
        return self.transport.open

    def send(self, *pieces: bytes) -> None:
        """Give pieces to the protocol, each as one read, in one loop pass."""
        for piece in pieces:
            if self.transport.open:
                self.protocol.data_received(piece)
        self.world.turn()

    def take(self) -> bytes:
        """What the protocol has written since the last call."""
        written = bytes(self.transport.written)
        self.transport.written.clear()
        return written

    def lose(self) -> None:
        """The peer has closed the connection."""
        if self.transport.open:
            self.transport.open = False
            self.protocol.connection_lost(None)
        self.world.turn()


class World:
    """A plane with a leader and `replicas` replicas, all outside of it fake."""

    def __init__(self, replicas: int = 2, **options: Any) -> None:
        table = options.pop("table", None) or CommandTable(options.pop("overrides", None))
        memory = options.pop("memory", None)
        outside = options.pop("outside", {})
        self.now = 1000.0
        self.dice = 0.0
        self.passes: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.dialled: list[tuple[Server, Upstream]] = []
        self.suspects: list[Server] = []
        self.suspicions: list[str] = []
        self.demotions: list[Server] = []
        self.notices: list[str] = []
        self.wakes = 0
        self.on_stamped: Callable[[], None] = lambda: None
        self.servers = [Server(index, "server", 7000 + index) for index in range(1 + replicas)]
        leader, *others = self.servers
        ports = Ports(
            dial=self._dial,
            hang_up=lambda handle: self.dialled.remove(handle) if handle in self.dialled else None,
            clock=lambda: self.now,
            random=lambda: self.dice,
            later=self._later,
            soon=self.soon,
            suspect=self._suspect,
            notice=self.notices.append,
            demoted=lambda server, reason: self.demotions.append(server),
            clock_ns=lambda: int(self.now * 1e9),
            stamped=self._stamped,
            memory=memory,
            **outside,
        )
        topology = Topology(leader, tuple(others), tuple(others))
        self.plane = Plane(topology, table, Options(**options), ports)
        self.plane.unlocked = True  # else the first client would wait until the leader has said so

    def _dial(self, server: Server, protocol: object) -> object:
        assert isinstance(protocol, Upstream)
        self.dialled.append((server, protocol))
        return self.dialled[-1]

    def _suspect(self, server: Server, reason: str) -> None:
        self.suspects.append(server)
        self.suspicions.append(reason)

    def _stamped(self) -> None:
        self.wakes += 1
        self.on_stamped()

    def _later(self, seconds: float, callback: Callable[[], None]) -> object:
        self.timers.append((self.now + seconds, callback))
        return None

    def soon(self, callback: Callable[[], None]) -> None:
        self.passes.append(callback)

    def turn(self) -> None:
        """Let loop passes go by until nothing is left to do at once."""
        while self.passes:
            self.passes.pop(0)()

    def wait(self, seconds: float) -> None:
        """Let time go by, in steps as small as the plane's tick."""
        until = self.now + seconds
        while self.now < until:
            self.now = min(until, self.now + Plane.TICK / 2)
            due = [timer for timer in self.timers if timer[0] <= self.now]
            self.timers = [timer for timer in self.timers if timer[0] > self.now]
            for _, callback in due:
                callback()
            self.turn()

    def client(self) -> End:
        """A client connects."""
        return End(self, Session(self.plane))

    def accept(self, index: int = 0) -> End:
        """Server `index` accepts the first connection that is being dialled to it. Its handshake is not answered."""
        server = self.servers[index]
        attempt = next(attempt for attempt in self.dialled if attempt[0] == server)
        self.dialled.remove(attempt)
        return End(self, attempt[1])

    def open(self, index: int = 0, *, hello: bytes = HELLO, info: bytes = b"-NOPERM no\r\n") -> End:
        """Server `index` accepts, and says yes to the whole handshake; `info` is what it answers where it is asked which process it is (`process`)."""
        end = self.accept(index)
        request = end.take()
        answers = ((b"HELLO", hello), (b"INFO", info), (b"", b"+OK\r\n"))
        end.send(b"".join(next(answer for word, answer in answers if word in part) for part in request.split(b"*")[1:]))
        return end

    def refuse(self, index: int = 0, *, listens: bool = False) -> None:
        """Every connection that is being dialled to server `index` fails, since nobody listens there, or for another reason."""
        for attempt in [attempt for attempt in self.dialled if attempt[0].index == index]:
            self.dialled.remove(attempt)
            attempt[1].dial_failed("no answer in time" if listens else "refused", not listens)
        self.turn()

    def prove(self, *indices: int) -> None:
        """The freshness clock finds that these replicas have all that was written until now."""
        self.now += 0.001
        for index in indices or [server.index for server in self.servers[1:]]:
            self.plane.freshness.set_mark(index, int(self.now * 1e9))
        self.now += 0.001

    def follow(self, **changes: Any) -> None:
        """The control plane publishes another topology."""
        self.plane.follow(replace(self.plane.topology, **{"why": (), **changes}))
        self.turn()


def begun(world: World, *commands: bytes) -> tuple[End, End]:
    """A client that has sent `commands`, and the lease that they arrived on, each answered with +OK."""
    client = world.client()
    client.send(b"".join(commands))
    lease = world.open(0)
    assert lease.take() == b"".join(commands)
    lease.send(b"+OK\r\n" * len(commands))
    client.take()
    return client, lease
