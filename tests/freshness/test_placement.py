"""What freshness costs: keys that nobody wrote lately are read from replicas, and the clock rests when there is nothing to find out."""

from __future__ import annotations

from tests.freshness.conftest import read_by_replicas
from tests.integration.harness import Proxy
from tests.integration.servers import LaggingCluster
from tests.integration.wire import eventually, pack


def reads(servers: LaggingCluster) -> list[int]:
    return [node.calls("get") + node.calls("mget") for node in servers.nodes]


def test_keys_that_nobody_wrote_are_read_from_the_replicas_at_random_while_others_are_written(
    proxy: Proxy, servers: LaggingCluster
) -> None:
    """However far behind the replicas are: here they hear of nothing."""
    read_by_replicas(proxy, servers)
    servers.hold()
    with proxy.connect() as writer, proxy.connect() as reader:
        for number in range(200):
            writer.ask("SET", f"written:{number}", "v")
            reader.ask("GET", f"read:{number}")
            reader.ask("MGET", *(f"read:{at}" for at in range(number, number + 20)))
        leader, *replicas = reads(servers)
        assert leader == 0
        assert min(replicas) > 100
        reader.ask("GET", "written:5")
        assert reads(servers)[0] == 1


def test_a_key_is_read_from_replicas_again_once_they_have_it_each_by_itself(proxy: Proxy, servers: LaggingCluster) -> None:
    read_by_replicas(proxy, servers)
    servers.links[1].stall("down")
    with proxy.connect() as wire:
        wire.ask("SET", "k", "new")

        def served_by_the_first() -> bool:
            before = reads(servers)
            wire.send(pack("GET", "k") * 5)
            assert wire.frames(5) == [b"$3\r\nnew\r\n"] * 5
            leader, first, second = [now - then for now, then in zip(reads(servers), before, strict=True)]
            assert second == 0
            return leader == 0 and first == 5

        eventually(served_by_the_first, "the replica that has it is read", pause=0)
        assert servers.replicas[1].call("EXISTS", "k") == 0
        servers.let_go()
        read_by_replicas(proxy, servers, "EXISTS", "k")


def test_nobody_is_asked_while_nothing_is_written(proxy: Proxy, servers: LaggingCluster) -> None:
    """Of the freshness clock; the probes go on."""
    read_by_replicas(proxy, servers)
    with proxy.connect() as wire:
        wire.ask("SET", "k", "v")

    def asked() -> int:
        return servers.replicas[0].calls("info")

    def rests() -> bool:
        """Hundred reads, and as good as no question."""
        before = asked()
        with proxy.connect() as wire:
            for _ in range(300):
                wire.ask("GET", "k")
        return asked() - before <= 2  # this question itself, and a probe

    eventually(rests, "the clock rests", pause=0)
