"""Real servers for the tests that go through rproxy: a leader and its replicas, and what each of them was asked.

Used by the fixtures in the conftest.py files of the integration, fault and compatibility tests. Processes are `rproxy.embedded`'s business;
here is what these tests ask of them. It must never end a process that it did not start.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rproxy.embedded import EmbeddedServer
from tests.integration.wire import Address, Wire, eventually
from tests.relay import Relay


class Node(EmbeddedServer):
    """One server process; `node.call("GET", "k")` asks it directly."""

    @property
    def address(self) -> Address:
        return ("127.0.0.1", self.port)

    def direct(self) -> Wire:
        """A connection to this server itself, authenticated where it has a password."""
        wire = Wire(self.address)
        if self.password:
            wire.ask("AUTH", self.password)
        return wire

    def calls(self, name: str, field: str = "calls") -> int:
        """How often it ran (or with `rejected_calls`, refused) the command since it started or since `forget`."""
        line = self.info("commandstats").get(f"cmdstat_{name.lower()}", "")
        return int(dict(pair.split("=") for pair in line.split(",") if pair).get(field, 0))

    def forget(self) -> None:
        """Set the counters of `calls` to zero."""
        self.call("CONFIG", "RESETSTAT")

    def blocked_clients(self) -> int:
        """How many clients wait in a blocking command."""
        return int(self.info("clients")["blocked_clients"])

    def disconnect_clients(self) -> int:
        """Close every client connection but this one; replicas stay. Returns how many were closed."""
        return int(self.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"))


class Cluster:
    """A leader and its replicas."""

    def __init__(self, leader: Node, replicas: list[Node]) -> None:
        self.leader = leader
        self.replicas = replicas

    @property
    def nodes(self) -> list[Node]:
        return [self.leader, *self.replicas]

    @property
    def urls(self) -> list[str]:
        """Without passwords: a test puts them in where it wants them."""
        return [f"redis://127.0.0.1:{node.port}" for node in self.nodes]

    def settled(self) -> bool:
        """Every replica is connected and has applied all that the leader has."""
        target = int(self.leader.info("replication")["master_repl_offset"])
        facts = [node.info("replication") for node in self.replicas]
        return all(fact.get("master_link_status") == "up" and int(fact["slave_repl_offset"]) >= target for fact in facts)

    def settle(self) -> None:
        eventually(self.settled, "replicas have caught up", within=20)

    def empty(self) -> None:
        """Remove all keys everywhere and set the counters to zero."""
        self.leader.call("FLUSHALL")
        self.settle()
        for node in self.nodes:
            node.forget()


@contextlib.contextmanager
def cluster(replicas: int = 2, password: str = "", arguments: tuple[str, ...] = ()) -> Iterator[Cluster]:
    """A leader with its replicas, gone with the block."""
    with contextlib.ExitStack() as stack:
        leader = stack.enter_context(Node(password=password, arguments=arguments))
        followers = [stack.enter_context(Node(of=leader, password=password, arguments=arguments)) for _ in range(replicas)]
        started = Cluster(leader, followers)
        started.settle()
        yield started


class LaggingCluster(Cluster):
    """A leader and replicas that hear of it through relays: `links`, in the order of the replicas.

    With `fronts`, in the order of `nodes`, whoever takes `urls` talks to the servers through relays too.
    """

    def __init__(self, leader: Node, replicas: list[Node], links: list[Relay], fronts: list[Relay]) -> None:
        super().__init__(leader, replicas)
        self.links = links
        self.fronts = fronts

    @property
    def urls(self) -> list[str]:
        return [f"redis://127.0.0.1:{relay.port}" for relay in self.fronts] or super().urls

    def lag(self, *seconds: float) -> None:
        """What the leader writes reaches the replicas that much later: all of them, or each with its own delay."""
        delays = seconds if len(seconds) > 1 else seconds * len(self.links)
        for link, delay in zip(self.links, delays, strict=True):
            link.delay(down=delay)

    def hold(self) -> None:
        """Nothing that the leader writes from now on reaches the replicas, until `let_go`."""
        for link in self.links:
            link.stall("down")

    def let_go(self) -> None:
        for link in self.links:
            link.resume("down")


@contextlib.contextmanager
def lagging_cluster(
    *lag: float, replicas: int = 2, fronts: bool = False, password: str = "", arguments: tuple[str, ...] = (), binary: str = ""
) -> Iterator[LaggingCluster]:
    """A leader and replicas that lag behind it by so many seconds (each by its own, where several are given), gone with the block."""
    with contextlib.ExitStack() as stack:
        leader = stack.enter_context(Node(password=password, arguments=arguments, binary=binary))
        links = [stack.enter_context(Relay(leader.port)) for _ in range(replicas)]
        secret = ("--masterauth", password) if password else ()
        followers = [
            stack.enter_context(
                Node(
                    password=password, arguments=("--replicaof", "127.0.0.1", str(link.port), *secret, *arguments), binary=binary
                )
            )
            for link in links
        ]
        ports = [node.port for node in (leader, *followers)] if fronts else []
        started = LaggingCluster(leader, followers, links, [stack.enter_context(Relay(port)) for port in ports])
        started.settle()
        if lag:
            started.lag(*lag)
        yield started
