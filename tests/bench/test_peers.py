"""The peers' configurations: one thread, loopback, the servers they may use."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from bench.peers import Envoy, Haproxy, Nutcracker, Peer, Predixy, Rproxy, others

SERVERS = (7001, 7002, 7003)


def everything(peer: Peer) -> str:
    """The words and all files with which a peer would be started on port 7000."""
    start = peer.start("/somewhere/proxy", 7000, SERVERS)
    return "\n".join([*start.words, *start.files.values()])


@pytest.mark.parametrize("peer", [Rproxy(), *others()], ids=lambda peer: peer.name)
def test_every_proxy_listens_on_loopback_and_knows_the_leader(peer: Peer) -> None:
    text = everything(peer)
    assert "7000" in text and "7001" in text and "127.0.0.1" in text
    assert "0.0.0.0" not in text and "localhost" not in text


@pytest.mark.parametrize(
    ("peer", "pattern"),
    [
        (Haproxy(), r"nbthread 1\n"),
        (Envoy(), r"--concurrency\n1\n"),
        (Predixy(), r"WorkerThreads 1\n"),
    ],
)
def test_every_peer_that_could_use_more_is_held_to_one_thread(peer: Peer, pattern: str) -> None:
    assert re.search(pattern, everything(peer))


@pytest.mark.parametrize("peer", [Rproxy(), Predixy()], ids=lambda peer: peer.name)
def test_a_proxy_that_knows_replicas_gets_them_behind_the_leader(peer: Peer) -> None:
    ports = [int(port) for port in re.findall(r"127\.0\.0\.1:(700[1-3])", everything(peer))]
    assert ports == list(SERVERS)


@pytest.mark.parametrize("peer", [Nutcracker(), Envoy(), Haproxy()], ids=lambda peer: peer.name)
def test_a_proxy_that_knows_no_replicas_gets_the_leader_alone(peer: Peer) -> None:
    assert not re.search("700[23]", everything(peer))


def test_predixy_reads_from_the_replicas_only_where_there_are_some() -> None:
    assert "MasterReadPriority 0\n" in Predixy().config(7000, SERVERS)
    assert "MasterReadPriority 50\n" in Predixy().config(7000, SERVERS[:1])


def test_envoys_configuration_is_json_with_one_listener_and_one_cluster() -> None:
    resources = json.loads(Envoy().config(7000, SERVERS))["static_resources"]
    [listener], [cluster] = resources["listeners"], resources["clusters"]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 7000}
    route = listener["filter_chains"][0]["filters"][0]["typed_config"]["prefix_routes"]["catch_all_route"]
    assert route == {"cluster": cluster["name"]}


def test_predixy_is_found_only_where_the_environment_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PREDIXY", raising=False)
    assert Predixy().binary() is None
    monkeypatch.setenv("PREDIXY", str(tmp_path / "missing"))
    assert Predixy().binary() is None
    monkeypatch.setenv("PREDIXY", sys.executable)
    assert Predixy().binary() == sys.executable


def test_a_further_row_of_rproxy_runs_with_its_environment() -> None:
    row = Rproxy("rproxy (interpreted)", {"RPROXY_INTERPRETED": "1"})
    assert row.start("python", 7000, SERVERS).environment == {"RPROXY_INTERPRETED": "1"}
    assert not row.compiled()
