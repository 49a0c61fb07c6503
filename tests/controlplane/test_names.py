"""Names that stand for several servers: one for each address, which keeps its index as long as the name has it."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace

import pytest

from rproxy.controlplane.names import INDICES, Names
from rproxy.controlplane.resolver import Address, Resolver
from rproxy.dataplane.topology import Server

LEADER = Server(0, "leader.test", 6379)
REPLICAS = Server(1, "replicas.test", 6380, weight=3, password="secret", resolve_all=True)


class Zone:
    """A stand-in for the system's resolver: what each name stands for now; None for one that can't be looked up."""

    def __init__(self, **names: list[str] | None) -> None:
        self.names = names

    def look_up(self, host: str, port: int) -> list[Address]:
        addresses = self.names[host.partition(".")[0]]
        if addresses is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, (one, port)) for one in addresses]


def looked_up(zone: Zone, *servers: Server) -> Names:
    names = Names(servers, Resolver(zone.look_up))
    again(names)
    return names


def again(names: Names) -> bool:
    return asyncio.run(names.look_up(5.0))


def test_each_address_is_a_server_with_what_the_url_says() -> None:
    names = looked_up(Zone(replicas=["192.0.2.2", "192.0.2.1"]), LEADER, REPLICAS)
    first, one, two = names.servers
    assert first is LEADER
    assert one == replace(REPLICAS, index=one.index, address="192.0.2.1", resolve_all=False)
    assert (two.name, two.dial_host, two.host) == ("192.0.2.2:6380", "192.0.2.2", "replicas.test")
    assert one.index != two.index and {one.index, two.index} <= set(INDICES)


def test_a_name_stands_for_itself_until_it_has_been_looked_up() -> None:
    assert Names((LEADER, REPLICAS)).servers == (LEADER, REPLICAS)
    assert looked_up(Zone(replicas=None), LEADER, REPLICAS).servers == (LEADER, REPLICAS)


def test_other_names_are_not_looked_up() -> None:
    names = looked_up(Zone(), LEADER)
    assert names.servers == (LEADER,) and not names.any


def test_ipv6_addresses_are_named_in_brackets() -> None:
    assert looked_up(Zone(replicas=["2001:db8::1"]), REPLICAS).servers[0].name == "[2001:db8::1]:6380"


def test_addresses_that_stay_keep_their_server_and_their_place() -> None:
    zone = Zone(replicas=["192.0.2.5", "192.0.2.6"])
    names = looked_up(zone, REPLICAS)
    five, six = names.servers
    zone.names["replicas"] = ["192.0.2.6", "192.0.2.1"]
    assert again(names)
    assert names.servers[0] is six and names.servers[1].address == "192.0.2.1"
    assert names.servers[1].index not in (five.index, six.index)


def test_the_order_of_the_answers_changes_nothing() -> None:
    zone = Zone(replicas=["192.0.2.5", "192.0.2.6"])
    names = looked_up(zone, REPLICAS)
    zone.names["replicas"] = ["192.0.2.6", "192.0.2.5"]
    before = names.servers
    assert not again(names) and names.servers == before


@pytest.mark.parametrize("answer", [None, []], ids=["an error", "no address"])
def test_the_last_servers_stay_where_a_name_has_no_address_any_more(answer: list[str] | None) -> None:
    zone = Zone(replicas=["192.0.2.5"])
    names = looked_up(zone, REPLICAS)
    before = names.servers
    zone.names["replicas"] = answer
    assert not again(names) and names.servers == before


def test_a_name_that_can_not_be_looked_up_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    zone = Zone(replicas=None)
    with caplog.at_level(logging.INFO):
        names = looked_up(zone, REPLICAS)
        again(names)
        zone.names["replicas"] = ["192.0.2.5"]
        again(names)
    assert [record.message for record in caplog.records] == [
        "replicas.test:6380 can't be looked up, so its servers stay those that it had: Name or service not known",
        "replicas.test:6380 can be looked up again",
    ]


def test_no_two_servers_have_one_index_however_often_addresses_change() -> None:
    zone = Zone(replicas=["192.0.2.1"])
    names = looked_up(zone, replace(LEADER, index=130), REPLICAS)
    seen = []
    for number in range(2 * len(INDICES)):
        zone.names["replicas"] = [f"192.0.2.{number % 250 + 1}", f"192.0.2.{(number + 1) % 250 + 1}"]
        again(names)
        indices = [server.index for server in names.servers]
        assert len(set(indices)) == 3
        seen.append(indices[-1])
    assert len(set(seen)) == len(INDICES) - 1  # all but the one of the settings


def test_names_that_the_settings_no_longer_have_are_forgotten() -> None:
    names = looked_up(Zone(replicas=["192.0.2.1"]), LEADER, REPLICAS)
    one = names.servers[1]
    assert names.covers(one) and not names.covers(LEADER) and not names.covers(REPLICAS)
    names.change((LEADER,))
    assert names.servers == (LEADER,) and not names.covers(one)


def test_a_name_with_two_ports_is_two_names() -> None:
    names = looked_up(Zone(replicas=["192.0.2.1"]), REPLICAS, replace(REPLICAS, index=2, port=6381))
    assert [server.name for server in names.servers] == ["192.0.2.1:6380", "192.0.2.1:6381"]


def test_an_index_that_the_settings_give_to_another_server_is_changed() -> None:
    names = looked_up(Zone(replicas=["192.0.2.1", "192.0.2.2"]), REPLICAS)
    one, two = names.servers
    names.change((REPLICAS, replace(LEADER, index=one.index)))
    again(names)
    assert len({server.index for server in names.servers}) == 3 and two in names.servers
