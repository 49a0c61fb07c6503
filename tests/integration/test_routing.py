"""Which server runs which command: read from each server's own counters."""

from __future__ import annotations

from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import Wire, pack

READS = 600


def on_each(servers: Cluster, name: str) -> list[int]:
    return [node.calls(name) for node in servers.nodes]


def ask_many(wire: Wire, command: bytes, count: int) -> None:
    """Each in a packet of its own, so that each is routed by itself."""
    for _ in range(count):
        wire.send(command)
        wire.frame()


def test_reads_land_on_replicas_only(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        ask_many(wire, pack("GET", "k"), READS)
    leader, *replicas = on_each(servers, "get")
    assert leader == 0
    assert sum(replicas) == READS


def test_reads_spread_uniformly_over_the_replicas(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        ask_many(wire, pack("GET", "k"), READS)
    first = servers.replicas[0].calls("get")
    # Binomial(600, 1/2): mean 300, standard deviation 12.2; six of them on either side.
    assert 226 <= first <= 374


def test_a_pipeline_of_reads_lands_on_replicas_only(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        wire.send(pack("GET", "k") * READS)
        wire.frames(READS)
    leader, *replicas = on_each(servers, "get")
    assert (leader, sum(replicas)) == (0, READS)


def test_writes_land_on_the_leader_only(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        ask_many(wire, pack("SET", "k", "v"), 100)
    assert servers.leader.calls("set") == 100
    assert [node.calls("set", "rejected_calls") for node in servers.replicas] == [0, 0]


def test_a_mixed_pipeline_splits_by_kind(proxy: Proxy, servers: Cluster) -> None:
    with proxy.connect() as wire:
        wire.send((pack("INCR", "n") + pack("STRLEN", "other")) * 100)
        wire.frames(200)
    assert servers.leader.calls("incr") == 100
    leader, *replicas = on_each(servers, "strlen")
    assert (leader, sum(replicas)) == (0, 100)


def test_many_kinds_of_reads_avoid_the_leader(proxy: Proxy, servers: Cluster) -> None:
    reads = [
        "EXISTS a",
        "TTL a",
        "TYPE a",
        "HGETALL a",
        "LRANGE a 0 -1",
        "SMEMBERS a",
        "ZRANGE a 0 -1",
        "XRANGE a - +",
        "MGET a b",
    ]
    with proxy.connect() as wire:
        for line in reads:
            wire.ask(*line.split())
    names = [line.split()[0] for line in reads]
    assert {name: on_each(servers, name)[0] for name in names} == dict.fromkeys(names, 0)
    assert {name: sum(on_each(servers, name)[1:]) for name in names} == dict.fromkeys(names, 1)


def test_commands_that_only_look_like_reads_go_to_the_leader(proxy: Proxy, servers: Cluster) -> None:
    lines = [
        "GETEX a",
        "SORT a",
        "BITFIELD a",
        "GETDEL a",
        "TOUCH a",
        "PUBLISH a b",
        "INFO server",
        "TIME",
        "ROLE",
        "OBJECT FREQ a",
    ]
    with proxy.connect() as wire:
        for line in lines * 5:
            wire.ask(*line.split())
    names = ["getex", "sort", "bitfield", "touch", "time", "role"]
    assert {name: servers.leader.calls(name) for name in names} == dict.fromkeys(names, 5)
    refused = [(node.port, name, node.calls(name, "rejected_calls")) for node in servers.replicas for name in names]
    assert [entry for entry in refused if entry[2]] == []


def test_info_and_role_are_the_leaders(proxy: Proxy) -> None:
    with proxy.connect() as wire:
        assert b"role:master" in wire.ask("INFO", "replication")
        assert wire.call("ROLE")[0] == b"master"


def test_unknown_commands_go_to_the_leader(proxy: Proxy, servers: Cluster) -> None:
    direct = Wire(servers.leader.address)
    with proxy.connect() as wire, direct:
        expected = direct.ask("NOSUCHCOMMAND", "a", "b")
        servers.leader.forget()
        answers = {wire.ask("NOSUCHCOMMAND", "a", "b") for _ in range(10)}
    assert answers == {expected}
    assert [node.info("errorstats").get("errorstat_ERR") for node in servers.nodes] == ["count=10", None, None]


def test_leader_consistency_sends_every_read_to_the_leader(strict: Proxy, servers: Cluster) -> None:
    with strict.connect() as wire:
        ask_many(wire, pack("GET", "k"), 100)
    assert on_each(servers, "get") == [100, 0, 0]


def test_one_server_only_serves_reads_and_writes() -> None:
    with cluster(replicas=0) as alone, rproxy(alone) as proxy, proxy.connect() as wire:
        assert wire.ask("SET", "k", "v") == b"+OK\r\n"
        assert wire.ask("GET", "k") == b"$1\r\nv\r\n"


OVERRIDES = """
[commands]
GET = "leader"
TIME = "replica"
KEYS = "deny"
"CONFIG|GET" = "deny"
"""


def test_settings_override_where_a_command_goes(servers: Cluster) -> None:
    with rproxy(servers, "--consistency", "eventual", settings=OVERRIDES) as proxy, proxy.connect() as wire:
        ask_many(wire, pack("GET", "k"), 20)
        ask_many(wire, pack("TIME"), 20)
    assert on_each(servers, "get") == [20, 0, 0]
    assert on_each(servers, "time")[0] == 0


def test_settings_deny_a_command_or_a_subcommand(servers: Cluster) -> None:
    with rproxy(servers, "--consistency", "eventual", settings=OVERRIDES) as proxy, proxy.connect() as wire:
        assert wire.ask("KEYS", "*").startswith(b"-ERR rproxy: KEYS")
        assert wire.ask("CONFIG", "GET", "port").startswith(b"-ERR rproxy: CONFIG GET")
        assert wire.ask("CONFIG", "RESETSTAT") == b"+OK\r\n"
        assert wire.ask("keys", "*").startswith(b"-ERR rproxy: KEYS")
    assert on_each(servers, "keys") == [0, 0, 0]
