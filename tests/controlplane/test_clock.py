"""Up to which time has each replica what the leader had: marks, and when the clock asks and rests."""

from __future__ import annotations

from rproxy.controlplane.clock import CALM, MOST_MOMENTS, PATIENCE, PAUSE, SELDOM, FreshnessClock
from rproxy.controlplane.clock_link import QUESTION
from rproxy.dataplane.processes import tag_of
from rproxy.dataplane.topology import Server
from tests.controlplane.test_clock_link import OTHER, RUN, replica, reply
from tests.dataplane.kit import HELLO, FakeTransport, World, command, process

SET = command("SET", "k", "v")


class Node:
    """One server as the clock meets it: what it would answer now."""

    def __init__(self, offset: int = 0, replid: str = "a", role: str = "slave") -> None:
        self.offset = offset
        self.replid = replid
        self.role = role
        self.link = "up"
        self.syncing = 0
        self.silent = False
        self.asked = 0
        self.run_id = RUN

    def answer(self) -> bytes:
        if self.role == "master":
            return reply(f"role:master\r\nmaster_replid:{self.replid}\r\nmaster_repl_offset:{self.offset}\r\n")
        return replica(self.offset, self.replid, self.link, self.syncing)


class Clocked:
    """A plane with a leader and two replicas, and the clock that marks them."""

    def __init__(self) -> None:
        self.world = World(consistency="fresh")
        self.nodes = [Node(role="master"), Node(), Node()]
        self.transports: dict[int, FakeTransport] = {}
        self.silences = 0
        self.clock = FreshnessClock(self.world.plane, self._dial, lambda: self.world.now, silent=self._silent)
        self.world.on_stamped = self.clock.wake
        self.clock.wake()

    def _silent(self) -> None:
        self.silences += 1

    def _dial(self, server: Server, protocol: object) -> object:
        self.world.soon(lambda: self._connect(server.index, protocol))
        return server

    def _connect(self, index: int, protocol: object) -> None:
        transport = FakeTransport(self.world, protocol)
        self.transports[index] = transport
        transport.protocol.connection_made(transport)
        transport.protocol.data_received(HELLO + process(self.nodes[index].run_id))
        transport.written.clear()

    def go(self, seconds: float, step: float = 0.001) -> None:
        """Let time go by, and every server that isn't silent answer at once."""
        end = self.world.now + seconds
        while self.world.now < end:
            self.world.wait(step)
            for index, transport in list(self.transports.items()):
                if bytes(transport.written) == QUESTION and not self.nodes[index].silent:
                    transport.written.clear()
                    self.nodes[index].asked += 1
                    transport.protocol.data_received(self.nodes[index].answer())

    def mark(self, index: int) -> int:
        return self.world.plane.freshness.mark(index)

    def write(self) -> None:
        self.world.plane.stamp([5])

    @property
    def fresh(self) -> list[bool]:
        need = self.world.plane.freshness.need(5)
        return [self.mark(index) > need for index in (1, 2)]


def started() -> Clocked:
    clocked = Clocked()
    clocked.go(0.1)
    assert clocked.fresh == [True, True] and clocked.world.plane.freshness.rests()
    return clocked


def test_replicas_that_have_everything_are_marked_soon_after_the_start_and_the_clock_rests() -> None:
    started()


def test_at_rest_nothing_is_asked() -> None:
    clocked = started()
    before = [node.asked for node in clocked.nodes]
    clocked.go(30, step=0.5)
    assert [node.asked for node in clocked.nodes] == before


def test_a_write_wakes_the_clock_and_only_those_that_have_applied_it_are_marked() -> None:
    clocked = started()
    clocked.write()
    clocked.nodes[0].offset = clocked.nodes[1].offset = 100
    clocked.go(0.05)
    assert clocked.fresh == [True, False]
    clocked.nodes[2].offset = 100
    clocked.go(0.1)
    assert clocked.fresh == [True, True]


def test_a_replica_that_always_lags_is_marked_all_the_same_for_what_it_has() -> None:
    clocked = started()
    history: list[int] = []
    for _ in range(200):
        clocked.write()
        history.append(clocked.nodes[0].offset)
        clocked.nodes[0].offset += 10
        for index in (1, 2):
            clocked.nodes[index].offset = history[max(0, len(history) - 50)]
        clocked.go(0.01)
    behind = int(clocked.world.now * 1e9) - clocked.mark(1)
    assert 0.45e9 < behind < 0.7e9
    assert clocked.fresh == [False, False]


def test_a_mark_is_never_later_than_the_oldest_unanswered_write() -> None:
    clocked = started()
    client = clocked.world.client()
    client.send(SET)
    leader = clocked.world.open(0)
    sent = clocked.world.plane.oldest_write()
    clocked.go(1)
    assert max(clocked.mark(1), clocked.mark(2)) < sent
    leader.send(b"+OK\r\n")
    clocked.go(1.5)
    assert min(clocked.mark(1), clocked.mark(2)) > sent


def test_a_replica_of_another_history_gets_no_mark() -> None:
    clocked = started()
    clocked.nodes[1].replid = "b"
    clocked.write()
    clocked.go(0.1)
    assert clocked.mark(1) == 0 and clocked.fresh == [False, True]


def test_an_offset_that_goes_back_drops_the_mark() -> None:
    clocked = started()
    clocked.nodes[0].offset = clocked.nodes[1].offset = clocked.nodes[2].offset = 100
    clocked.write()
    clocked.go(0.1)
    clocked.nodes[1].offset = 50
    clocked.write()
    clocked.go(0.1)
    assert clocked.mark(1) == 0


def test_a_replica_that_copies_its_leaders_data_has_no_mark_and_one_without_link_gets_no_new_one() -> None:
    clocked = started()
    clocked.nodes[1].syncing = 1
    clocked.nodes[2].link = "down"
    clocked.nodes[0].offset = clocked.nodes[2].offset = 100
    before = clocked.mark(2)
    clocked.write()
    clocked.go(0.1)
    assert (clocked.mark(1), clocked.mark(2)) == (0, before)


def test_while_the_leader_is_silent_marks_stay() -> None:
    clocked = started()
    marks = [clocked.mark(1), clocked.mark(2)]
    clocked.nodes[0].silent = True
    clocked.write()
    clocked.go(3, step=0.05)
    assert [clocked.mark(1), clocked.mark(2)] == marks


def test_a_leader_that_is_silent_for_a_moment_is_said_once_until_it_answers() -> None:
    clocked = started()
    for times in (1, 2):
        clocked.nodes[0].silent = True
        clocked.write()
        clocked.go(0.5)
        assert clocked.silences == times
        clocked.nodes[0].silent = False
        clocked.go(0.5)
    assert clocked.silences == 2


def test_a_leader_that_answers_is_not_called_silent() -> None:
    clocked = started()
    for _ in range(5):
        clocked.write()
        clocked.go(0.3)
    assert clocked.silences == 0


def test_it_notes_when_it_heard_the_leader_last() -> None:
    clocked = started()
    clocked.write()
    clocked.go(0.05)
    silent_since = clocked.world.now
    clocked.nodes[0].silent = True
    clocked.go(1)
    assert 0 < int(silent_since * 1e9) - clocked.world.plane.freshness.leader_heard() < 5e7


def test_of_another_leader_it_has_heard_nothing_at_first() -> None:
    clocked = started()
    leader, one, two = clocked.world.servers
    clocked.nodes[1].silent = True
    clocked.world.follow(leader=one, replicas=(leader, two), readers=(two,))
    clocked.clock.wake()
    clocked.go(0.2)
    assert clocked.world.plane.freshness.leader_heard() == 0


def test_a_leader_that_says_that_it_is_none_proves_nothing() -> None:
    clocked = started()
    marks = [clocked.mark(1), clocked.mark(2)]
    clocked.nodes[0].role = "slave"
    clocked.write()
    clocked.go(0.5)
    assert [clocked.mark(1), clocked.mark(2)] == marks


def test_a_lost_link_drops_the_mark_until_the_replica_proves_itself_anew() -> None:
    clocked = started()
    clocked.transports.pop(1).protocol.connection_lost(None)
    assert clocked.mark(1) == 0
    clocked.go(1)
    assert clocked.fresh == [True, True]


def test_what_a_replica_said_over_a_link_that_is_lost_proves_nothing() -> None:
    clocked = started()
    clocked._dial = lambda server, protocol: server  # type: ignore[method-assign]  # it can't be reached any more
    clocked.clock._links[clocked.world.servers[1]]._dial = clocked._dial
    clocked.transports.pop(1).protocol.connection_lost(None)
    clocked.write()
    clocked.go(0.5)
    assert clocked.mark(1) == 0 and clocked.mark(2) > 0


def test_it_asks_twice_as_often_while_reads_go_to_the_leader_for_freshness() -> None:
    asked = []
    for misses in (False, True):
        clocked = started()
        before = clocked.nodes[0].asked
        for offset in range(1, 200):
            clocked.write()
            clocked.nodes[0].offset = offset
            clocked.nodes[1].offset = offset - 1
            if misses:
                clocked.world.plane.want_mark(1)
            clocked.go(0.003)
        asked.append(clocked.nodes[0].asked - before)
    assert asked[1] > 1.5 * asked[0]


def test_while_clients_write_and_no_read_goes_to_the_leader_it_asks_seldom_until_one_does() -> None:
    clocked = started()

    def asked(seconds: float) -> int:
        before = clocked.nodes[0].asked
        for _ in range(round(seconds / 0.002)):
            clocked.write()
            clocked.nodes[0].offset += 1
            clocked.nodes[1].offset = clocked.nodes[0].offset - 1
            clocked.go(0.002)
        return clocked.nodes[0].asked - before

    asked((CALM + 1) * PAUSE)
    assert asked(1.0) <= 1.0 / (SELDOM * PAUSE) + 1
    clocked.world.plane.want_mark(1)
    assert asked(3 * PAUSE) >= 2


def test_of_a_replica_that_lags_for_long_no_more_than_so_many_moments_are_kept_and_it_is_marked_when_it_has_one() -> None:
    clocked = started()
    clocked.nodes[1].offset = 1
    for offset in range(1, 3 * MOST_MOMENTS):
        clocked.nodes[0].offset = offset
        clocked.nodes[1].offset = offset
        clocked.write()
        clocked.go(0.012, step=0.004)
    assert len(clocked.clock._moments) <= MOST_MOMENTS
    before = clocked.world.plane.freshness.need(5)
    clocked.nodes[2].offset = clocked.nodes[0].offset
    clocked.go(2)
    assert clocked.mark(2) > before


def test_what_a_replica_said_before_its_mark_was_dropped_proves_nothing() -> None:
    clocked = started()
    clocked.nodes[1].silent = True
    clocked.world.now += 1
    clocked.world.plane.suspect(clocked.world.servers[1], "connection lost")
    clocked.clock.wake()
    clocked.go(0.5)
    assert clocked.mark(1) == 0 and clocked.mark(2) > 0
    clocked.nodes[1].silent = False
    clocked.go(1.5)
    assert clocked.mark(1) > 0


def test_a_replica_whose_mark_does_not_move_is_asked_less_and_less_often() -> None:
    clocked = started()
    clocked.nodes[0].offset = clocked.nodes[1].offset = 100
    clocked.write()
    clocked.nodes[2].asked = 0
    clocked.go(2)
    assert PATIENCE < clocked.nodes[2].asked < 15


def test_it_tells_how_far_the_leader_was_behind_the_newest_mark() -> None:
    clocked = started()
    clocked.nodes[0].offset = 100
    clocked.nodes[1].offset = 100
    clocked.write()
    clocked.go(0.1)
    assert clocked.clock.proven() == ("a", 100)


def test_after_a_change_of_leader_only_the_new_ones_stream_counts() -> None:
    clocked = started()
    leader, one, two = clocked.world.servers
    clocked.nodes[1].role, clocked.nodes[1].replid = "master", "n"
    clocked.world.follow(leader=one, replicas=(leader, two), readers=(two,))
    clocked.clock.wake()
    clocked.go(0.2)
    assert clocked.mark(2) <= clocked.world.plane.freshness.need(5)
    clocked.nodes[2].replid = "n"
    clocked.go(1.5)
    assert clocked.mark(2) > clocked.world.plane.freshness.need(5)


def test_a_stopped_clock_asks_nothing_more() -> None:
    clocked = started()
    clocked.clock.stop()
    clocked.world.turn()
    clocked.write()
    before = clocked.clock.rounds
    clocked.go(1, step=0.05)
    assert clocked.clock.rounds == before


def test_a_write_of_another_process_that_shows_only_after_the_question_holds_the_mark() -> None:
    clocked = started()
    begun = int(clocked.world.now * 1e9)
    leader = clocked.transports[0]
    clocked.clock._oldest_write = lambda: 0 if leader.written else begun
    clocked.write()
    clocked.go(0.5)
    assert clocked.nodes[0].asked > 1 and max(clocked.mark(1), clocked.mark(2)) < begun
    clocked.clock._oldest_write = lambda: 0
    clocked.go(1.5)
    assert min(clocked.mark(1), clocked.mark(2)) > begun


def test_a_stamp_that_comes_while_the_clock_goes_to_rest_keeps_it_awake() -> None:
    """Another process may stamp between the clock's last look and its rest, and not see that it has to be woken."""
    clocked = started()
    table = clocked.world.plane.freshness
    looks: list[int] = []

    def oldest_write() -> int:
        if min(clocked.mark(1), clocked.mark(2)) > table.newest():
            looks.append(int(clocked.world.now * 1e9))
            if len(looks) == 2:  # the first look is for the mark, the second one before it rests
                table.stamp([5], looks[1])
        return 0

    clocked.clock._oldest_write = oldest_write
    clocked.write()
    clocked.go(0.5)
    assert len(looks) > 2 and clocked.fresh == [True, True]


def test_a_replica_that_turns_out_to_be_another_process_is_marked_when_a_link_to_that_has_proved_it() -> None:
    clocked = started()
    clocked.world.follow(processes=((1, OTHER),))
    clocked.write()
    clocked.go(0.5)
    assert clocked.fresh == [False, True]  # the address leads to the process that it was
    clocked.nodes[1].run_id = OTHER
    clocked.go(3)
    assert clocked.fresh == [True, True]


def test_a_replica_is_not_marked_while_a_worker_reads_from_another_process_of_it() -> None:
    clocked = started()
    freshness = clocked.world.plane.freshness
    freshness.bind(1, tag_of(OTHER), clocked.world.plane.clock_ns())
    clocked.write()
    clocked.go(0.5)
    assert clocked.fresh == [False, True]
    freshness.bind(1, tag_of(RUN), clocked.world.plane.clock_ns())
    clocked.go(3)
    assert clocked.fresh == [True, True]


def test_when_the_leader_turns_out_to_be_another_process_its_stream_begins_anew() -> None:
    clocked = started()
    clocked.world.follow(processes=((0, OTHER),))
    clocked.write()
    clocked.go(1)
    assert clocked.fresh == [False, False]
    clocked.nodes[0].run_id = OTHER
    clocked.go(3)
    assert clocked.fresh == [True, True]


def test_nothing_is_marked_by_what_a_server_says_whose_process_can_not_be_told() -> None:
    for index in (0, 1):
        clocked = started()
        clocked.world.follow(processes=((index, b""),))
        clocked.write()
        clocked.go(0.5)
        assert clocked.fresh == ([False, False] if index == 0 else [False, True])
