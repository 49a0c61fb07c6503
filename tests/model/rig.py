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


Contents = dict[tuple[int, bytes], tuple[bytes, bool]]


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
        return [bytes(node.call("DEBUG", "DIGEST")) for node in (self.single, *self.servers.nodes)]

    def contents(self) -> list[Contents]:
        """What `digests` sums up, key by key, without what servers note down for themselves."""
        return [_contents(node) for node in (self.single, *self.servers.nodes)]


def _contents(node: Node) -> Contents:
    """A digest of each key's value, and whether it expires, by database and key.

    Whoever is asked PFCOUNT keeps the count in the value (bytes 8 to 15 of the string, hyperloglog.c), and replicas are not told: that is left out.
    """
    found: Contents = {}
    with node.direct() as wire:
        for database in range(DATABASES):
            wire.call("SELECT", str(database))
            for key in wire.call("KEYS", "*"):
                value = wire.call("GET", key)
                if isinstance(value, bytes) and value.startswith(b"HYLL"):
                    digest = value[:8] + value[16:]
                else:
                    digest = wire.call("DEBUG", "DIGEST-VALUE", key)[0]
                found[database, key] = digest, wire.call("PTTL", key) >= 0
    return found


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
