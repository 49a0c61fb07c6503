"""Settings read again: all of them or none."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest

from rproxy.config import Loaded
from rproxy.dataplane.topology import Server
from rproxy.errors import SettingsError
from rproxy.service.reload import MOST_SERVERS, Indices, Reload
from rproxy.settings import Settings

A, B, C = (Server(index, name, 6379) for index, name in enumerate("abc"))


def settings(*servers: Server, **more: object) -> Settings:
    return Settings(servers=servers, **more)  # type: ignore[arg-type]


class Story:
    """Settings that are read one after the other, and what everybody was told to go by."""

    def __init__(self, first: Settings, *later: Settings) -> None:
        self.later = list(later)
        self.told: list[Settings] = []
        self.reload = Reload(Loaded(first, {}), lambda: Loaded(self.later.pop(0), {}), self._change)

    async def _change(self, settings: Settings) -> None:
        self.told.append(settings)

    def go_on(self) -> str:
        return asyncio.run(self.reload.reload())


def test_it_says_what_has_changed_and_hides_passwords() -> None:
    new = Server(0, "a", 6379, password="secret")
    story = Story(settings(A), settings(new, max_lag=5.0))
    assert story.go_on() == "settings reloaded: servers redis://a:6379 -> redis://:***@a:6379; max_lag 10s -> 5s"
    assert story.told == [story.reload.loaded.settings]


def test_what_needs_a_restart_is_named_and_nothing_is_told() -> None:
    story = Story(settings(A), settings(A, workers=2, listen=("tcp://127.0.0.1:1",), max_lag=5.0))
    with pytest.raises(SettingsError, match="^listen, workers: this needs a restart; nothing else was changed either$"):
        story.go_on()
    assert story.told == [] and story.reload.loaded.settings == settings(A)
    assert (story.reload.asked, story.reload.refused, story.reload.fine) == (1, 1, False)


def test_with_sentinels_the_servers_need_a_restart() -> None:
    sentinel = {"discovery": "sentinel", "sentinels": (Server(0, "s", 26379),)}
    with pytest.raises(SettingsError, match="^servers: this needs a restart"):
        Story(settings(A, **sentinel), settings(A, B, **sentinel)).go_on()
    other = sentinel | {"sentinels": (Server(0, "t", 26379),)}
    assert Story(settings(**sentinel), settings(**other)).go_on().endswith("sentinels redis://s:26379 -> redis://t:26379")


def test_what_is_the_same_is_nothing_new() -> None:
    story = Story(settings(A, B), settings(A, B))
    assert story.go_on() == "settings reloaded: nothing has changed"
    assert story.told == []


def test_an_address_keeps_its_index_and_no_index_is_given_twice() -> None:
    indices = Indices((A, B))
    assert [server.index for server in indices.give((Server(0, "b", 6379), Server(1, "c", 6379)))] == [1, 2]
    assert [server.index for server in indices.give((Server(0, "d", 6379), Server(1, "A", 6379, password="p")))] == [3, 0]
    many = tuple(Server(index, f"m{index}", 1) for index in range(MOST_SERVERS))
    with pytest.raises(SettingsError, match="needs a restart"):
        indices.give(many)
    assert indices.give((Server(0, "e", 6379),))[0].index == 4, "what was refused has taken none"


def test_systemd_is_told_when_it_begins_and_when_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        Story(settings(A), settings(A, max_lag=5.0)).go_on()
        with pytest.raises(SettingsError):
            Story(settings(A), settings(A, workers=2)).go_on()
        said = [manager.recv(1000).decode() for _ in range(4)]
    assert [message.partition("\n")[0] for message in said] == ["RELOADING=1", "READY=1"] * 2
    assert all(re.fullmatch(r"MONOTONIC_USEC=\d+", message.partition("\n")[2]) for message in said[::2])


def test_a_server_that_moves_in_the_list_is_the_same() -> None:
    story = Story(settings(A, B, C), settings(Server(0, "a", 6379), Server(1, "c", 6379)))
    story.go_on()
    assert story.told[0].servers == (A, C)
