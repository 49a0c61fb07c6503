"""What one worker asks the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rproxy.dataplane import colleagues
from tests.dataplane.kit import World, command

Told = Callable[[list[bytes]], None]


def asking() -> tuple[World, list[tuple[list[bytes], Told]]]:
    """A world with others to ask, and what they were asked."""
    world = World()
    asked: list[tuple[list[bytes], Told]] = []
    world.plane.ports = replace(world.plane.ports, others=lambda words, told: asked.append((words, told)))
    return world, asked


def test_a_client_waits_for_what_others_answer_and_then_goes_on() -> None:
    world, asked = asking()
    client = world.client()
    answers: list[list[bytes]] = []
    colleagues.ask(client.protocol, [b"LIST"], answers.append)
    client.send(command("CLIENT", "ID"))
    assert (asked[0][0], answers, client.take()) == ([b"LIST"], [], b"")
    asked[0][1]([b"one", b"two"])
    world.turn()
    assert (answers, client.take()) == ([[b"one", b"two"]], b":1\r\n")


def test_a_client_that_has_gone_is_told_nothing() -> None:
    world, asked = asking()
    client = world.client()
    answers: list[list[bytes]] = []
    colleagues.ask(client.protocol, [b"LIST"], answers.append)
    client.lose()
    asked[0][1]([b"one"])
    assert answers == []


def test_one_worker_alone_asks_nobody() -> None:
    world = World()
    client = world.client()
    answers: list[list[bytes]] = []
    colleagues.ask(client.protocol, [b"LIST"], answers.append)
    client.send(command("CLIENT", "ID"))
    assert (answers, client.take()) == ([[]], b":1\r\n")
