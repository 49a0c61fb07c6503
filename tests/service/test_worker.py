"""One worker, a process of its own, at the other end of its channel."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rproxy.dataplane import tallies
from rproxy.dataplane.freshness import Freshness
from rproxy.dataplane.policies import OPEN
from rproxy.dataplane.topology import Server, Topology
from rproxy.embedded import EmbeddedServer
from rproxy.service.channel import Answer, Ask, Begin, Doubt, Drain, Follow, Left, Message, Ready, Serve, Stamped, pack, receive
from rproxy.service.listener import Bound, bind, release
from rproxy.settings import Settings, Timeouts
from tests.integration.wire import Wire, eventually
from tests.integration.wire import pack as command


class Hired:
    """A worker, the only one of two that there are, that follows this leader and a replica which does not exist."""

    def __init__(self, leader: EmbeddedServer, serve: bool = True) -> None:
        self.leader, self.nobody = Server(0, "127.0.0.1", leader.port), Server(1, "127.0.0.1", 1)
        self.topology = Topology(self.leader, (self.nobody,))
        self.bound: list[Bound] = bind(("tcp://127.0.0.1:0",))
        self.memory = os.memfd_create("test")
        os.ftruncate(self.memory, tallies.size(2))
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(20)
        fds = (theirs.fileno(), self.memory, self.bound[0].socket.fileno())
        command = [sys.executable, "-m", "rproxy.service.worker", str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=fds, cwd=Path(__file__).parents[2])
        theirs.close()
        listener = (self.bound[0].socket.fileno(), self.bound[0].address, OPEN, "")
        settings = Settings(
            servers=(self.leader, self.nobody),
            consistency="eventual",
            listen=("tcp://h:1", "tcp://h:2?consistency=fresh"),  # tables are kept
            workers=2,
            timeouts=Timeouts(drain=3600.0),
        )
        self.tell(Begin(settings, 0, 2, (listener,), self.memory, time.monotonic(), Follow(self.topology)))
        self.hears(Ready)
        if serve:
            self.tell(Serve())

    def tell(self, message: Message) -> None:
        self.channel.sendall(pack(message))

    def hears(self, kind: type[Message]) -> Message:
        """The next message of this kind."""
        while not isinstance(message := receive(self.channel), kind):
            pass
        return message

    def connect(self) -> Wire:
        return Wire(("127.0.0.1", self.bound[0].socket.getsockname()[1]), timeout=10)

    def end(self) -> None:
        self.channel.close()
        self.process.wait(20)
        os.close(self.memory)
        release(self.bound)


@pytest.fixture
def worker(leader: EmbeddedServer) -> Iterator[Hired]:
    hired = Hired(leader)
    yield hired
    hired.end()


def test_it_accepts_nobody_before_it_has_been_told_all_that_counts(leader: EmbeddedServer) -> None:
    hired = Hired(leader, serve=False)
    try:
        with hired.connect() as wire:
            wire.send(command("PING"))
            hired.tell(Ask(0, (b"HOLD", b"60000")))
            hired.hears(Answer)
            hired.tell(Serve())
            hired.tell(Ask(1, (b"HOLD",)))
            hired.hears(Answer)
            with pytest.raises(TimeoutError):
                wire.socket.settimeout(0.2)
                wire.frame()
            wire.socket.settimeout(10)
            hired.tell(Ask(2, (b"HOLD", b"0")))
            assert wire.frame() == b"+PONG\r\n"
    finally:
        hired.end()


def test_it_serves_by_the_topology_that_it_is_told(worker: Hired, leader: EmbeddedServer) -> None:
    with worker.connect() as wire:
        assert wire.ask("SET", "k", "v") == b"+OK\r\n"
        worker.tell(Follow(replace(worker.topology, settled=False)))
        eventually(lambda: b'"settled": false' in wire.ask("RPROXY", "STATUS"), "it knows that nobody leads")
        wire.send(b"SET k w\r\n")
        assert leader.call("GET", "k") == b"v"
        worker.tell(Follow(worker.topology))
        assert wire.frame() == b"+OK\r\n"


def test_it_leaves_the_last_leader_before_it_says_so(worker: Hired, leader: EmbeddedServer) -> None:
    with worker.connect() as wire:
        wire.ask("SET", "k", "v")
        worker.tell(Follow(replace(worker.topology, settled=False), leave=7))
        assert worker.hears(Left) == Left(7)
        eventually(lambda: b"cmd=set" not in leader.call("CLIENT", "LIST"), "its connections are closed")


def test_a_server_that_fails_is_doubted_and_left_alone_until_that_has_been_heard(worker: Hired) -> None:
    worker.tell(Follow(replace(worker.topology, readers=(worker.nobody,))))
    with worker.connect() as wire:
        assert wire.ask("GET", "k") == b"$-1\r\n"
        doubt = worker.hears(Doubt)
        assert isinstance(doubt, Doubt) and (doubt.number, doubt.server, doubt.demoted) == (1, worker.nobody, False)
        worker.tell(Follow(replace(worker.topology, readers=(worker.nobody,)), heard=0))
        assert b'"in": false' in wire.ask("RPROXY", "STATUS")
        worker.tell(Follow(worker.topology, heard=1))
        assert wire.ask("GET", "k") == b"$-1\r\n"


def test_it_says_that_it_wrote_when_the_clock_rests(worker: Hired) -> None:
    Freshness(mmap.mmap(worker.memory, tallies.size(2)), 2, 2).rest(True)
    with worker.connect() as wire:
        wire.ask("SET", "k", "v")
    assert worker.hears(Stamped) == Stamped()


def test_it_drains_when_it_is_told_to(worker: Hired, leader: EmbeddedServer) -> None:
    with worker.connect() as wire:
        wire.send(b"BLPOP q 0\r\n")
        eventually(lambda: b"cmd=blpop" in leader.call("CLIENT", "LIST"), "it is blocked")
        worker.tell(Drain())
        assert worker.process.poll() is None
        worker.tell(Drain(at_once=True))
        assert worker.process.wait(20) == 0


@pytest.mark.parametrize("drains", [False, True])
def test_it_ends_at_once_when_the_supervisor_has_gone_whoever_it_has(worker: Hired, leader: EmbeddedServer, drains: bool) -> None:
    with worker.connect() as wire:
        wire.send(b"BLPOP q 0\r\n")
        eventually(lambda: b"cmd=blpop" in leader.call("CLIENT", "LIST"), "it is blocked")
        if drains:
            worker.tell(Drain())
        worker.channel.close()
        assert worker.process.wait(20) == 0


def test_one_of_another_version_than_its_supervisor_does_not_serve(leader: EmbeddedServer) -> None:
    channel, theirs = socket.socketpair()
    with channel, theirs:
        words = [sys.executable, "-m", "rproxy.service.worker", str(theirs.fileno())]
        process = subprocess.Popen(words, pass_fds=(theirs.fileno(),), cwd=Path(__file__).parents[2], stderr=subprocess.PIPE)
        settings = Settings(servers=(Server(0, "127.0.0.1", leader.port),), workers=2)
        follow = Follow(Topology(settings.servers[0]))
        channel.sendall(pack(Begin(settings, 0, 2, (), 0, 0.0, follow, layout=(1, 2, 3))))
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert b"another version" in said
