"""Which servers Sentinels name, and when the one that they name leads."""

from __future__ import annotations

import pytest

from rproxy.controlplane.nomination import MOST_SERVERS, NOBODY, Named, Nomination, Registry, Report, newest
from rproxy.controlplane.succession import Claim, Doubt, View
from rproxy.dataplane.topology import Server

FIRST = Server(0, "redis-1", 6379, tls=True, user="bob", password="pw", database=2, weight=5, zone="a")
SECOND = Server(1, "redis-2", 6379, user="eve")
LEADS, FOLLOWS, SILENT, MUTE = View(Claim.LEADER), View(Claim.REPLICA), View(Claim.SILENT), View(Claim.MUTE)


def report(*names: Named, epoch: int = 0) -> Report:
    return Report(names[0], epoch, names[1:])


def at(host: str, run_id: str = "", down: bool = False) -> Named:
    return Named(host, 6379, run_id, down)


def test_the_report_of_the_highest_epoch_counts_and_of_equals_the_first() -> None:
    reports = [report(at("a"), epoch=1), report(at("b"), epoch=2), report(at("c"), epoch=2)]
    assert newest(reports) is reports[1] and newest([]) is None


def test_servers_that_are_named_get_indices_of_their_own_and_the_credentials_of_the_first() -> None:
    registry = Registry([FIRST, SECOND])
    named = report(at("redis-2"), at("redis-3"))
    servers = registry.servers([named], {})
    assert servers == (FIRST, SECOND, Server(2, "redis-3", 6379, tls=True, user="bob", password="pw", database=2))
    assert registry.leader(named) is SECOND
    assert registry.servers([named], {}) == servers, "the same ones again"


def test_without_configured_servers_all_come_from_the_sentinels() -> None:
    registry = Registry([])
    servers = registry.servers([report(at("a"), at("b"))], {})
    assert [(server.index, server.host) for server in servers] == [(1, "a"), (2, "b")]
    assert NOBODY not in servers and not servers[0].password


def test_a_server_with_two_addresses_is_recognised_by_its_run_id() -> None:
    registry = Registry([FIRST, SECOND])
    named = report(at("10.0.0.2", "run2"), at("10.0.0.1", "run1"))
    assert registry.servers([named], {FIRST: "run1", SECOND: "run2"}) == (FIRST, SECOND)
    assert registry.leader(named) is SECOND
    restarted = report(at("10.0.0.2", ""), at("10.0.0.1", "run1"))
    assert registry.servers([restarted], {FIRST: "", SECOND: ""}) == (FIRST, SECOND), "what was found out is remembered"


def test_an_address_that_belongs_to_another_process_now_is_another_server() -> None:
    registry = Registry([FIRST, SECOND])
    registry.servers([report(at("10.0.0.2", "run2"), at("10.0.0.1", "run1"))], {FIRST: "run1", SECOND: "run2"})
    moved = report(at("10.0.0.1", "run9"), at("10.0.0.8", "run1"))
    servers = registry.servers([moved], {FIRST: "run1", SECOND: "run2"})
    assert [server.host for server in servers] == ["redis-1", "redis-2", "10.0.0.1"]
    assert registry.leader(moved) is servers[2]


def test_a_discovered_server_that_proves_to_be_a_configured_one_goes() -> None:
    registry = Registry([FIRST])
    named = report(at("10.0.0.1", "run1"))
    found = registry.servers([named], {})
    assert [server.host for server in found] == ["redis-1", "10.0.0.1"]
    assert registry.servers([named], {FIRST: "run1", found[1]: "run1"}) == (FIRST,)
    assert registry.leader(named) is FIRST


def test_new_servers_that_the_sentinel_cannot_reach_either_are_left_out_but_known_ones_stay() -> None:
    registry = Registry([])
    assert [server.host for server in registry.servers([report(at("a"), at("b", down=True))], {})] == ["a"]
    assert [server.host for server in registry.servers([report(at("a"), at("b"))], {})] == ["a", "b"]
    assert [server.host for server in registry.servers([report(at("a"), at("b", down=True))], {})] == ["a", "b"]


def test_servers_that_any_sentinel_names_are_known_and_those_that_none_does_are_not() -> None:
    registry = Registry([])
    assert len(registry.servers([report(at("a"), at("b")), report(at("a"), at("c"))], {})) == 3
    assert [server.host for server in registry.servers([report(at("a"), at("c"))], {})] == ["a", "c"]


def test_indices_are_not_given_twice_and_end(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry([])
    for number in range(MOST_SERVERS + 20):
        servers = registry.servers([report(at("a"), at(f"replica-{number}"))], {})
        assert len({server.index for server in servers}) == len(servers)
        assert all(server.index < MOST_SERVERS for server in servers)
    assert len(servers) == 1 and len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("named", "first", "second", "leader", "doubt"),
    [
        (None, LEADS, FOLLOWS, FIRST, Doubt.UNNAMED),
        (FIRST, LEADS, FOLLOWS, FIRST, Doubt.NONE),
        (FIRST, MUTE, FOLLOWS, FIRST, Doubt.NONE),
        (FIRST, SILENT, LEADS, FIRST, Doubt.SILENT),
        (FIRST, FOLLOWS, LEADS, FIRST, Doubt.NAMED),
        (FIRST, View(Claim.LEADER, fresh=False), FOLLOWS, FIRST, Doubt.ASKED),
        (SECOND, LEADS, LEADS, SECOND, Doubt.NONE),
        (SECOND, SILENT, MUTE, SECOND, Doubt.NONE),
        (SECOND, LEADS, FOLLOWS, FIRST, Doubt.NAMED),
        (SECOND, LEADS, SILENT, FIRST, Doubt.NAMED),
        (SECOND, LEADS, View(Claim.LEADER, sound=False), FIRST, Doubt.NAMED),
        (SECOND, LEADS, View(), FIRST, Doubt.NAMED),
        (NOBODY, LEADS, FOLLOWS, FIRST, Doubt.UNNAMED),
    ],
)
def test_the_one_that_is_named_leads_once_it_says_so(
    named: Server | None, first: View, second: View, leader: Server, doubt: Doubt
) -> None:
    rule = Nomination(FIRST)
    rule.named = named
    ruling = rule.decide({FIRST: first, SECOND: second}, ("", 0), 0.0)
    assert (ruling.leader, ruling.doubt) == (leader, doubt)


def test_others_that_say_that_they_lead_are_named() -> None:
    rule = Nomination(FIRST)
    rule.named = SECOND
    ruling = rule.decide({FIRST: LEADS, SECOND: LEADS}, ("", 0), 0.0)
    assert ruling.others == {FIRST: "it says that it leads, but the Sentinels name redis-2:6379"}
