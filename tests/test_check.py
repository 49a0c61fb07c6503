"""What `rproxy check --connect` says of servers, beside what tests/test_cli.py asks of the whole command."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rproxy.check import lateness_of, print_servers, problem_of, ruling_of, skew_of
from rproxy.controlplane.probe import Health
from rproxy.dataplane.topology import Server
from rproxy.embedded import EmbeddedServer, free_port
from rproxy.settings import Settings
from tests.controlplane.sentinels import Sentinel

LEADER = Health(Server(0, "10.0.0.1", 6379), role="master", offset=10_000, replication_id="one", clock=100.0)
REPLICA = Health(Server(1, "10.0.0.1", 6380), role="slave", link_up=True, offset=10_000, replication_id="one", clock=100.0)
PROMOTED = replace(REPLICA, role="master", link_up=False, replication_id="two", former_id="one")


@pytest.mark.parametrize(
    ("replica", "leader", "problem"),
    [
        (REPLICA, LEADER, ""),
        (
            PROMOTED,
            LEADER,
            "10.0.0.1:6380 should be a replica of 10.0.0.1:6379, but its role is leader;"
            " it was promoted from a replica of 10.0.0.1:6379, and only one of the two may lead.",
        ),
        (
            replace(PROMOTED, replication_id="one"),
            replace(LEADER, replication_id="two", former_id="one"),
            "10.0.0.1:6380 should be a replica of 10.0.0.1:6379, but its role is leader;"
            " 10.0.0.1:6379 was promoted from a replica of it, and only one of the two may lead.",
        ),
        (
            replace(PROMOTED, former_id=""),
            LEADER,
            "10.0.0.1:6380 should be a replica of 10.0.0.1:6379, but its role is leader, and its data is not that of 10.0.0.1:6379.",
        ),
        (
            PROMOTED,
            replace(LEADER, role="slave"),
            "10.0.0.1:6380 should be a replica of 10.0.0.1:6379, but its role is leader.",
        ),
        (
            replace(REPLICA, clustered=True),
            LEADER,
            "10.0.0.1:6380 is a node of a Redis Cluster, and rproxy does not route by hash slots: commands for keys of other nodes get MOVED.",
        ),
        (replace(REPLICA, replication_id="three"), LEADER, "10.0.0.1:6380 is a replica of another server than 10.0.0.1:6379."),
    ],
)
def test_servers_that_do_not_fit_together_are_named(replica: Health, leader: Health, problem: str) -> None:
    assert problem_of(replica, leader) == problem


def test_a_replica_too_far_behind_is_named() -> None:
    late = replace(REPLICA, offset=4_000)
    assert lateness_of(late, LEADER, Settings(max_lag_bytes=6_000)) == ""
    sentence = "10.0.0.1:6380 is 6000 bytes behind 10.0.0.1:6379, which is more than max_lag_bytes: it gets no reads."
    assert lateness_of(late, LEADER, Settings(max_lag_bytes=5_999)) == sentence
    assert lateness_of(late, LEADER, Settings(max_lag_bytes=0)) == ""
    assert lateness_of(LEADER, LEADER, Settings(max_lag_bytes=1)) == ""


def test_a_clock_that_is_off_is_named() -> None:
    off = replace(REPLICA, clock=99.9, clock_doubt=0.01)
    sentence = (
        "10.0.0.1:6380's clock is 100 ms behind that of 10.0.0.1:6379, which is more than max_clock_skew: it gets no reads."
    )
    assert lateness_of(off, LEADER, Settings()) == sentence
    assert skew_of(off, LEADER) == -100.0 and skew_of(LEADER, LEADER) is None
    assert lateness_of(replace(off, clock_doubt=0.06), LEADER, Settings()) == "", "that may be the round trip"
    assert lateness_of(off, LEADER, Settings(max_clock_skew=0.0)) == ""


@pytest.mark.parametrize(
    ("leader", "replica", "discovery", "name"),
    [
        (LEADER, REPLICA, "roles", "10.0.0.1:6379"),
        (replace(LEADER, role="slave", link_up=True, replication_id="two"), PROMOTED, "roles", "10.0.0.1:6380"),
        (Health(LEADER.server, error="connection refused", answered=False), PROMOTED, "roles", "10.0.0.1:6380"),
        (Health(LEADER.server, error="connection refused", answered=False), PROMOTED, "static", "10.0.0.1:6379"),
        (Health(LEADER.server, error="connection refused", answered=False), REPLICA, "roles", None),
        (Health(LEADER.server, error="it refuses: NOAUTH", refused=True), REPLICA, "roles", "10.0.0.1:6379"),
    ],
)
def test_it_says_where_writes_would_go(leader: Health, replica: Health, discovery: str, name: str | None) -> None:
    found, sentence = ruling_of([leader, replica], Settings(discovery=discovery))  # type: ignore[arg-type]
    assert found == name
    assert sentence == (
        f"As things are, rproxy would send writes to {name}."
        if name
        else "As things are, rproxy would send writes nowhere: no server is seen to lead the others."
    )


@pytest.mark.parametrize("replicas", [0, 1])
def test_where_no_server_answers_it_says_what_to_do(replicas: int) -> None:
    gone = [Health(Server(port, "a", port), error="connection refused", answered=False) for port in range(1, 2 + replicas)]
    found, sentence = ruling_of(gone, Settings())
    assert found is None
    told = (
        "none of them answers. Start them, or correct their addresses"
        if replicas
        else "a:1 does not answer. Start it, or correct its address"
    )
    assert sentence == f"As things are, rproxy would send writes nowhere: {told} in servers."


def test_servers_that_sentinels_name_are_shown(
    cluster_of_three: list[EmbeddedServer], capsys: pytest.CaptureFixture[str]
) -> None:
    leader, first, second = cluster_of_three
    with Sentinel(leader) as sentinel:
        sentinel.wait_for_replicas(2)
        named = Server(0, "127.0.0.1", sentinel.port)
        configured = Server(0, "localhost", second.port)
        problems = print_servers(Settings(discovery="sentinel", sentinels=(named,), servers=(configured,)), as_json=True)
        shown = json.loads(capsys.readouterr().out)
        gone = Server(1, "127.0.0.1", free_port())
        half = print_servers(Settings(discovery="sentinel", sentinels=(named, gone)), as_json=False)
    assert problems == [] and shown["writes_to"] == f"127.0.0.1:{leader.port}"
    assert [server["role"] for server in shown["servers"]] == ["leader", "replica", "replica"]
    assert {server["server"] for server in shown["servers"]} == {
        f"127.0.0.1:{leader.port}",
        f"127.0.0.1:{first.port}",
        f"localhost:{second.port}",
    }
    assert half == [f"Sentinel {gone.name} tells nothing: it is unreachable: connection refused."]


def test_without_a_sentinel_that_knows_there_are_no_servers_to_show(
    leader: EmbeddedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sentinel(leader, service="another") as sentinel:
        named = Server(0, "127.0.0.1", sentinel.port)
        problems = print_servers(Settings(discovery="sentinel", sentinels=(named,)), as_json=False)
    assert problems == [f"Sentinel {named.name} tells nothing: the name 'mymaster' is unknown to it."]
    assert capsys.readouterr().out == problems[0] + "\n"
