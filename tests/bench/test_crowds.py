"""What ten thousand clients cost: here a few, through a real rproxy."""

from __future__ import annotations

import pytest

from bench import crowds, generator
from bench.peers import Rproxy
from bench.running import Proxy, fill
from rproxy.embedded import started_cluster


def test_a_row_is_measured_through_a_real_proxy() -> None:
    binary = generator.find()
    if binary is None:
        pytest.skip(generator.INSTALL)
    peer = Rproxy()
    with started_cluster(1) as servers:
        fill(servers, 100)
        # So many commands that what connecting costs, which is subtracted, is a small part.
        row = crowds.measured(binary, peer, peer.binary() or "", [server.port for server in servers], 250, 20_000)
    assert row.name == "rproxy"
    assert row.listening > 0 and row.idle >= 0
    assert row.bytes_each > 0 and row.connects > 0 and row.opening > 0
    assert min(row.few, row.few_of_many, row.all_of_many) > 0


def test_every_client_of_a_crowd_is_there_until_it_leaves() -> None:
    peer = Rproxy()
    with started_cluster(0) as servers, Proxy(peer, peer.binary() or "", [servers[0].port]) as proxy:
        with crowds.crowd(proxy.port, 2 * crowds.AT_ONCE + 1):
            assert int(servers[0].info("clients")["connected_clients"]) < crowds.AT_ONCE


def test_a_proxy_that_takes_no_more_is_said_to() -> None:
    peer = Rproxy(environment={"RPROXY_LIMITS__CLIENTS": "20"})
    with (
        started_cluster(0) as servers,
        Proxy(peer, peer.binary() or "", [servers[0].port]) as proxy,
        pytest.raises(OSError, match="PING"),
        crowds.crowd(proxy.port, 30),
    ):
        pass


def test_the_table_has_a_line_for_each_proxy() -> None:
    row = crowds.Row("rproxy", 0.4261, 0.04, 2048, 15000.4, 45.2, 8.0, 8.4, 10.0)
    line = crowds.table([row], 10_000).splitlines()[2]
    assert line == "| rproxy | 426 | 0.0 % | 2.0 | 15,000 | 45 | 8.00 | 8.40 (1.05) | 10.00 (1.25) |"
