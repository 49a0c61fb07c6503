"""Where each command of Django's cache lands: through rproxy as with Django's own list of servers in
`LOCATION`, but for one command.

The one: `cache.incr()` and `decr()` ask `EXISTS` before they change the number. Django pins that question to
the leader, because it comes from a method that writes. A proxy sees commands, not methods: with reads on the
replicas, it sends this read to a replica too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.cache.backends.redis import RedisCache

from tests.integration.harness import Proxy
from tests.integration.servers import Cluster, Node

Step = Callable[[Any], Any]
READS = ["get", "mget", "exists"]
WRITES = ["set", "mset", "del", "incrby", "decrby", "expire", "persist", "flushdb", "multi", "exec"]
STEPS: list[tuple[Step, Any]] = [
    (lambda cache: cache.set("a", "text"), None),
    (lambda cache: cache.get("a"), "text"),
    (lambda cache: cache.get("nothing", "default"), "default"),
    (lambda cache: cache.add("a", "other"), False),
    (lambda cache: cache.add("b", 1), True),
    (lambda cache: cache.has_key("b"), True),
    (lambda cache: "nothing" in cache, False),
    (lambda cache: cache.incr("b"), 2),
    (lambda cache: cache.incr("b", 5), 7),
    (lambda cache: cache.decr("b", 3), 4),
    (lambda cache: cache.set_many({"c": 1, "d": [1, 2], "e": "x"}, timeout=60), []),
    (lambda cache: cache.get_many(["a", "b", "c", "d", "nothing"]), {"a": "text", "b": 4, "c": 1, "d": [1, 2]}),
    (lambda cache: cache.touch("a", 100), True),
    (lambda cache: cache.touch("a", None), True),
    (lambda cache: cache.touch("nothing"), False),
    (lambda cache: cache.get_or_set("f", "made"), "made"),
    (lambda cache: cache.set("a", "short", timeout=0), None),
    (lambda cache: cache.get("a"), None),
    (lambda cache: cache.delete("b"), True),
    (lambda cache: cache.delete_many(["c", "d"]), None),
    (lambda cache: cache.clear(), True),
    (lambda cache: cache.get("e"), None),
]
INCREMENTS = 3


def counted(node: Node, names: list[str]) -> dict[str, int]:
    return {name: count for name in names if (count := node.calls(name))}


def placement(servers: Cluster, location: str | list[str]) -> tuple[dict[str, int], dict[str, int]]:
    """Run every step against `location`; what the leader ran, and which reads the replicas ran together."""
    servers.empty()
    cache: Any = RedisCache(location, {})
    for step, expected in STEPS:
        # Replication is awaited, so that no step reads a value that is too old: placement is the question
        # here, not freshness.
        servers.settle()
        if expected == "made":
            assert step(cache) in ("made", None)
        else:
            assert step(cache) == expected
    cache._cache._pools = {index: pool.disconnect() for index, pool in cache._cache._pools.items()}
    refused = [node.calls(name, "rejected_calls") for node in servers.replicas for name in WRITES]
    assert sum(refused) == 0, "a write was sent to a replica"
    replicas = [counted(node, READS) for node in servers.replicas]
    together = {name: sum(reads.get(name, 0) for reads in replicas) for name in READS}
    return counted(servers.leader, READS + WRITES), together


def test_every_command_lands_where_django_itself_would_send_it_but_the_exists_of_incr(proxy: Proxy, servers: Cluster) -> None:
    leader, replicas = placement(servers, servers.urls)
    through_leader, through_replicas = placement(servers, proxy.url)

    assert leader.pop("exists") == INCREMENTS  # Django's own list: on the leader ...
    assert "exists" not in through_leader  # ... and through rproxy: on a replica
    assert through_replicas.pop("exists") == replicas.pop("exists") + INCREMENTS

    assert through_leader == leader
    assert through_replicas == replicas


def test_with_leader_consistency_everything_lands_on_the_leader(strict: Proxy, servers: Cluster) -> None:
    natively, on_replicas = placement(servers, servers.urls)
    leader, replicas = placement(servers, strict.url)
    assert replicas == dict.fromkeys(READS, 0)
    assert leader == {
        name: natively.get(name, 0) + on_replicas.get(name, 0)
        for name in READS + WRITES
        if name in natively or name in on_replicas
    }
