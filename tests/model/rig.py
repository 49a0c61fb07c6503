"""What the model test runs on: one server that knows what is right, and rproxy in front of a leader whose replicas lag, each by its own changing delay."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import LaggingCluster, Node, lagging_cluster
from tests.integration.wire import Wire, eventually

ARGUMENTS = ("--enable-debug-command", "yes", "--repl-backlog-size", "64mb")
DATABASES = 3
"""How many the plans use."""
LAGS = (0.0, 0.005, 0.02, 0.06, 0.15)
USERS = (
    ("admin", "on", ">admin", "~*", "&*", "+@all"),
    ("low", "on", ">low", "~s*", "~l*", "~c?:*", "&ch1", "&rproxy:wait", "+@all", "-@dangerous", "-@scripting", "+flushdb"),
)


@dataclass
class Rig:
    """The single server, the servers behind rproxy, and rproxy. Wires ask on the side, as no client of a plan does."""

    single: Node
    servers: LaggingCluster
    proxy: Proxy
    ask_single: Wire
    ask_leader: Wire
    ask_proxy: Wire

    def reset(self, seed: int) -> None:
        """Empty both sides, and choose how far the replicas lag for this seed. Who still waits in the leader is what an earlier plan has shown."""
        for line in self.ask_leader.call("CLIENT", "LIST").decode("latin-1").splitlines():
            row = dict(pair.split("=", 1) for pair in line.split(" ") if "=" in pair)
            if "b" in row["flags"]:
                self.ask_leader.call("CLIENT", "KILL", "ID", row["id"])
        for wire in (self.ask_single, self.ask_proxy):
            for command in (("FLUSHALL",), ("SCRIPT", "FLUSH"), ("FUNCTION", "FLUSH")):
                reply = wire.call(*command)
                assert reply == b"OK", f"{command}: {reply}"
        dice = random.Random(seed)
        self.servers.lag(*(dice.choice(LAGS) for _ in self.servers.replicas))

    def blocked(self) -> int:
        """How many clients wait in blocking commands on the leader."""
        return int(facts(self.ask_leader.call("INFO", "clients"))["blocked_clients"])

    def digests(self) -> list[bytes]:
        """A digest of all data: of the single server, of the leader, and of each replica."""
        nodes = (self.single, *self.servers.nodes)
        for node in nodes:
            _count(node)
        return [bytes(node.call("DEBUG", "DIGEST")) for node in nodes]


def _count(node: Node) -> None:
    """Have the server count its HyperLogLogs: whoever is asked PFCOUNT keeps the count with the value, and replicas are not told."""
    with node.direct() as wire:
        for database in range(DATABASES):
            wire.call("SELECT", str(database))
            for key in wire.call("KEYS", "*"):
                wire.call("PFCOUNT", key)  # an error for other values


def facts(text: bytes) -> dict[str, str]:
    """The lines of INFO."""
    return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


@contextlib.contextmanager
def started(*flags: str, binary: str = "") -> Iterator[Rig]:
    """A rig, gone with the block. `flags` are for rproxy."""
    with contextlib.ExitStack() as stack:
        single = stack.enter_context(Node(arguments=ARGUMENTS, binary=binary))
        servers = stack.enter_context(lagging_cluster(0.02, arguments=ARGUMENTS, binary=binary))
        for node in (single, *servers.nodes):
            for user in USERS:
                assert node.call("ACL", "SETUSER", *user) == b"OK"
        proxy = stack.enter_context(rproxy(servers, "--consistency", "fresh", *flags))
        wires = [stack.enter_context(Wire(address)) for address in (single.address, servers.leader.address, proxy.address)]
        rig = Rig(single, servers, proxy, *wires)
        eventually(lambda: rig.blocked() == 0, "nobody waits on the leader")
        yield rig
