"""One question at a time, over a connection of its own, opened anew when it is lost."""

from __future__ import annotations

import logging

import pytest

from rproxy.controlplane.clock_link import LONGEST_BACKOFF, MOST_REPLY, QUESTION, Facts, Link, read
from rproxy.dataplane.processes import tag_of
from rproxy.dataplane.topology import Server
from tests.dataplane.kit import HELLO, FakeTransport, World, process

RUN, OTHER = b"1" * 40, b"2" * 40
OPENED = HELLO + process(RUN)


def reply(text: str) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def replica(offset: int, replid: str = "a", link: str = "up", syncing: int = 0) -> bytes:
    return reply(
        f"role:slave\r\nmaster_link_status:{link}\r\nmaster_sync_in_progress:{syncing}\r\nslave_read_repl_offset:{offset + 9}\r\n"
        f"slave_repl_offset:{offset}\r\nmaster_replid:{replid}\r\nmaster_repl_offset:{offset + 5}\r\n"
    )


class Linked:
    """A link and what it told."""

    def __init__(self) -> None:
        self.wrong: list[Server] = []
        self.world = World(outside={"wrong_process": self.wrong.append})
        self.heard: list[Facts] = []
        self.states: list[bool] = []
        self.dials = 0
        self.link = Link(
            self.world.plane, Server(1, "r", 1), self._dial, lambda server, facts: self.heard.append(facts), self._connected
        )
        self.link.open()

    def _dial(self, server: Server, protocol: object) -> object:
        self.dials += 1
        return self.dials

    def _connected(self, server: Server, up: bool) -> None:
        self.states.append(up)

    def connect(self, run_id: bytes = RUN) -> FakeTransport:
        transport = FakeTransport(self.world, self.link)
        self.link.connection_made(transport)
        self.link.data_received(HELLO + process(run_id))
        transport.written.clear()
        return transport


def test_a_leaders_and_a_replicas_answer_are_understood() -> None:
    assert read(reply("role:master\r\nmaster_replid:ab\r\nmaster_repl_offset:42\r\n")) == Facts("master", "ab", 42, False, False)
    assert read(replica(7, "ab")) == Facts("slave", "ab", 7, True, False)
    assert read(replica(7, "ab", "down", 1)) == Facts("slave", "ab", 7, False, True)


def test_an_answer_with_bytes_that_are_no_text_is_no_fault() -> None:
    facts = read(replica(7, "ab").replace(b"role:slave", b"role:sl\xffve").replace(b"replid:ab", b"replid:a\xff"))
    assert facts == Facts("sl\xffve", "a\xff", 12, True, False)


@pytest.mark.parametrize("text", [b"-NOAUTH Authentication required.\r\n", b"$-1\r\n", b"+OK\r\n", b"$12\r\nrole:master\r\n\r\n"])
def test_an_answer_that_tells_nothing_is_none(text: bytes) -> None:
    assert read(text) is None


def test_it_asks_when_it_is_open_and_not_before_the_last_question_is_answered() -> None:
    linked = Linked()
    assert not linked.link.ask()
    transport = linked.connect()
    assert linked.states == [True]
    assert linked.link.ask() and not linked.link.ask()
    assert bytes(transport.written) == QUESTION
    linked.link.data_received(replica(7))
    assert linked.heard == [Facts("slave", "a", 7, True, False)]
    assert linked.link.ask()


def test_an_answer_may_come_in_any_pieces() -> None:
    whole = replica(7)
    for cut in range(1, len(whole)):
        linked = Linked()
        linked.connect()
        linked.link.ask()
        linked.link.data_received(whole[:cut])
        assert not linked.heard
        linked.link.data_received(whole[cut:])
        assert [facts.offset for facts in linked.heard] == [7]


def test_a_lost_link_is_told_and_opened_again() -> None:
    linked = Linked()
    linked.connect()
    linked.link.ask()
    linked.link.connection_lost(None)
    assert linked.states == [True, False] and not linked.link.ready
    linked.world.wait(0.1)
    assert linked.dials == 2
    linked.connect()
    assert linked.link.ask()


def test_a_connection_that_cannot_be_had_is_tried_again_and_again() -> None:
    linked = Linked()
    for _ in range(3):
        linked.link.dial_failed("refused")
        linked.world.wait(1.1)
    assert linked.dials == 4
    assert linked.states == []


def test_a_server_that_refuses_to_tell_is_complained_about_once(caplog: pytest.LogCaptureFixture) -> None:
    linked = Linked()
    linked.connect()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            linked.link.ask()
            linked.link.data_received(b"-NOPERM User u has no permissions to run the 'info' command\r\n")
    assert len(caplog.records) == 1 and "gets no fresh reads" in caplog.text


def test_nonsense_closes_the_connection() -> None:
    linked = Linked()
    transport = linked.connect()
    linked.link.ask()
    linked.link.data_received(b"!!nonsense\r\n")
    assert not transport.open


def test_a_closed_link_stays_closed() -> None:
    linked = Linked()
    transport = linked.connect()
    linked.link.close()
    linked.world.turn()
    linked.world.wait(2)
    assert not transport.open and linked.dials == 1 and linked.states == [True]


@pytest.mark.parametrize("endless", [b"$4000000000\r\n", b"+" + b"x" * MOST_REPLY], ids=["announced", "coming"])
def test_a_reply_that_never_ends_is_not_gathered(endless: bytes) -> None:
    linked = Linked()
    transport = linked.connect()
    assert linked.link.ask()
    linked.link.data_received(endless)
    linked.link.data_received(b"x" * 1000)
    assert not transport.open and not linked.link.ready
    assert linked.states == [True, False]
    assert not linked.link.ask()


def test_a_connection_that_takes_no_question_any_more_is_no_fault_of_the_clock() -> None:
    linked = Linked()
    transport = linked.connect()

    def fail(data: bytes) -> None:
        raise RuntimeError("closed")

    transport.write = fail  # type: ignore[method-assign]
    assert not linked.link.ask()
    assert linked.states == [True, False] and not transport.open


def test_it_is_open_when_its_server_is_the_process_that_the_control_plane_asks() -> None:
    linked = Linked()
    linked.world.follow(processes=((1, RUN),))
    linked.connect()
    assert linked.link.ready and (linked.link.process, linked.link.tag) == (RUN, tag_of(RUN))


def test_a_link_to_another_process_is_never_open_and_is_opened_anew_by_another_address() -> None:
    linked = Linked()
    linked.world.follow(processes=((1, RUN),))
    transport = linked.connect(OTHER)
    assert not transport.open and not linked.link.ready and linked.states == []
    linked.world.turn()
    linked.world.wait(LONGEST_BACKOFF)
    assert linked.dials == 2 and [server.index for server in linked.wrong] == [1]
    linked.connect(RUN)
    assert linked.link.ready


def test_a_link_is_to_the_wrong_process_when_its_server_turns_out_to_be_another_process() -> None:
    linked = Linked()
    linked.connect()
    assert not linked.link.is_wrong_process
    linked.world.follow(processes=((1, OTHER),))
    assert linked.link.is_wrong_process
