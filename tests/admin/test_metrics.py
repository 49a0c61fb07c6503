"""/metrics: what Prometheus reads is what docs/metrics.md says, and costs no command anything."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from rproxy.admin.metrics import _traffic
from rproxy.embedded import free_port
from tests.admin.asking import answers, ask
from tests.integration.harness import Proxy, rproxy
from tests.integration.servers import Cluster, cluster
from tests.integration.wire import eventually
from tests.test_monitoring_files import documented

STATISTICS = {"lost": 1, "retried": 2, "diverted": 3, "leaderless_reads": 4, "protocol_errors": 6, "freshness_reads": 5}
COUNTED = STATISTICS | {
    "received": {"clients": 8, "servers": 9},
    "sent": {"clients": 9, "servers": 8},
    "kinds": {"read": 7, "denied": 1},
    "errors": {"ERR": 2},
    "latency": {"bounds_ms": [0.5, 1000.0], "series": [{"kind": "read", "server": "a:1", "counts": [3, 2, 1], "sum_ms": 4000.0}]},
}
"""A status of which every part is counted."""


def told(url: str) -> list[Metric]:
    return list(text_string_to_metric_families(ask(url, "/metrics").text))


def value(url: str, name: str, **labels: str) -> float:
    """One sample."""
    (found,) = [
        sample.value for family in told(url) for sample in family.samples if (sample.name, sample.labels) == (name, labels)
    ]
    return found


def names(families: list[Metric] | Iterator[Metric]) -> Iterator[tuple[str, set[str]]]:
    """Every sample's name, with its labels."""
    for family in families:
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                yield sample.name, set(sample.labels) - {"le"}


def test_every_metric_is_documented_and_every_documented_one_is_there(proxy: Proxy, admin: str) -> None:
    found = dict([*names(told(admin)), *names(_traffic(COUNTED))])
    assert found == documented()


def test_they_say_what_has_happened(proxy: Proxy, admin: str, servers: Cluster) -> None:
    leader = f"127.0.0.1:{servers.leader.port}"
    before = value(admin, "rproxy_server_requests_total", server=leader, kind="write")
    sent = value(admin, "rproxy_sent_bytes_total", side="clients")
    with proxy.connect() as wire:
        for _ in range(5):
            wire.ask("SET", "k", "v")
        assert value(admin, "rproxy_clients") >= 1
    assert value(admin, "rproxy_server_requests_total", server=leader, kind="write") == before + 5
    assert value(admin, "rproxy_sent_bytes_total", side="clients") == sent + 5 * len(b"+OK\r\n")
    assert value(admin, "rproxy_leader_up") == 1 and value(admin, "rproxy_readers") == value(admin, "rproxy_replicas") == 2
    assert value(admin, "rproxy_server_leader", server=leader) == 1


def test_a_histogram_grows_from_bucket_to_bucket_and_its_bounds_are_seconds() -> None:
    (family,) = [family for family in _traffic(COUNTED) if family.type == "histogram"]
    samples = {(sample.name.removeprefix(family.name), sample.labels.get("le")): sample.value for sample in family.samples}
    assert samples == {
        ("_bucket", "0.0005"): 3,
        ("_bucket", "1"): 5,
        ("_bucket", "+Inf"): 6,
        ("_count", None): 6,
        ("_sum", None): 4,
    }


def test_a_worker_that_dies_and_settings_that_are_refused_are_counted(servers: Cluster) -> None:
    admin = f"tcp://127.0.0.1:{free_port()}"
    with rproxy(servers, "--workers", "2", admin=admin) as proxy:
        eventually(lambda: answers(admin), "it answers")
        assert value(admin, "rproxy_worker_restarts_total") == 0 and value(admin, "rproxy_config_last_reload_ok") == 1
        kill_a_worker(proxy)
        eventually(lambda: value(admin, "rproxy_worker_restarts_total") == 1, "the dead worker is counted")
        assert ask(admin, "/api/reload", "POST").status == 200
        assert value(admin, "rproxy_config_reloads_total") == 1 and value(admin, "rproxy_config_reload_failures_total") == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_change_of_the_leader_is_counted_once(workers: str) -> None:
    admin = f"tcp://127.0.0.1:{free_port()}"
    with cluster() as servers, rproxy(servers, "--workers", workers, admin=admin):
        eventually(lambda: answers(admin), "it answers")
        assert value(admin, "rproxy_leader_changes_total") == 0
        following, other = servers.replicas
        following.call("REPLICAOF", "NO", "ONE")
        other.call("REPLICAOF", "127.0.0.1", str(following.port))
        servers.leader.call("REPLICAOF", "127.0.0.1", str(following.port))
        name = f"127.0.0.1:{following.port}"
        eventually(lambda: value(admin, "rproxy_server_leader", server=name) == 1, "the next one leads", within=20)
        assert value(admin, "rproxy_leader_changes_total") == 1


def kill_a_worker(proxy: Proxy) -> None:
    children = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
def test_both_formats_are_spoken(proxy: Proxy, admin: str, accept: str) -> None:
    assert ("# EOF" in ask(admin, "/metrics", Accept=accept).text) == ("openmetrics" in accept)
