"""Server and Topology."""

from __future__ import annotations

import dataclasses

import pytest

from rproxy.dataplane.topology import Server, Topology

L, A, B = (Server(index, "server", 7000 + index, password="secret") for index in range(3))


@pytest.mark.parametrize(
    ("server", "name"),
    [(L, "server:7000"), (Server(0, "::1", 6379), "[::1]:6379"), (Server(0, "", 0, path="/run/s"), "unix:///run/s")],
)
def test_a_server_is_called_by_its_address(server: Server, name: str) -> None:
    assert server.name == name


def test_a_server_never_shows_its_password() -> None:
    assert "secret" not in repr(L) + L.name


def test_a_topology_cannot_be_edited() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Topology(L).leader = A  # type: ignore[misc]


def test_the_freshest_reader_has_the_highest_offset() -> None:
    assert Topology(L, (A, B), (A, B), ((1, 5), (2, 9))).freshest_reader() == B
    assert Topology(L, (A, B), (A, B), ((1, 5),)).freshest_reader() == A
    assert Topology(L, (A, B), ()).freshest_reader() is None


def test_all_servers_begin_with_the_leader() -> None:
    assert Topology(L, (A, B)).servers == (L, A, B)
