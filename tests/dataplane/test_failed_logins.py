"""Failed logins in the log: whence, how many, and never with what."""

from __future__ import annotations

from rproxy.dataplane.clients import Peer
from rproxy.dataplane.tallies import FAILED_LOGINS
from tests.dataplane.kit import World

REFUSED = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"


def test_the_first_is_told_with_its_address_and_of_others_how_many_there_were_in_a_second() -> None:
    world = World(outside={"peer": lambda transport: Peer(b"10.0.0.9:5", b"10.0.0.1:7379", 5, 0.0)})
    session = world.client().protocol
    for _ in range(4):
        world.plane.failed_logins.look(session, REFUSED)
    assert world.notices == ["a client at 10.0.0.9:5 has failed to log in"]
    world.wait(1.1)
    assert world.notices[1:] == ["3 more logins of clients failed within a second"]
    world.plane.failed_logins.look(session, REFUSED)
    assert len(world.notices) == 3 and world.plane.tallies.total(FAILED_LOGINS) == 5


def test_other_answers_are_no_failed_logins() -> None:
    world = World()
    session = world.client().protocol
    for reply in (b"+OK\r\n", b"-ERR unknown command\r\n", b"%0\r\n"):
        world.plane.failed_logins.look(session, reply)
    assert not world.notices and not world.plane.tallies.total(FAILED_LOGINS)
