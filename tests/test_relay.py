"""The relay delays, stalls and cuts as it says: what the freshness and fault tests stand on.

Nothing here asserts how soon something comes, only how soon it must not.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import pytest

from rproxy.embedded import free_port
from tests.integration.wire import eventually
from tests.relay import Relay

MANY = 32 * 2**20


class Echo:
    """A server that gives back what it gets, and counts; a client that ends its side has its own ended after the rest."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.clients = 0
        self.resets = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.clients += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 20):
                    connection.sendall(data)
            except OSError:
                self.resets += 1


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def relay(echo: Echo) -> Iterator[Relay]:
    with Relay(echo.port) as started:
        yield started


def connect(relay: Relay) -> socket.socket:
    return socket.create_connection(("127.0.0.1", relay.port), timeout=10)


def ask(connection: socket.socket, data: bytes) -> float:
    """Send it, have all of it back; the seconds that it took."""
    began = time.monotonic()
    connection.sendall(data)
    assert read(connection, len(data)) == data
    return time.monotonic() - began


def read(connection: socket.socket, size: int) -> bytes:
    seen = b""
    while len(seen) < size and (chunk := connection.recv(size - len(seen))):
        seen += chunk
    return seen


def silent(connection: socket.socket) -> bool:
    """Nothing comes for a while."""
    connection.settimeout(0.1)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(10)
    return False


def test_without_a_delay_it_is_not_noticed(relay: Relay) -> None:
    with connect(relay) as one, connect(relay) as other:
        for text in (b"a", b"bb", bytes(100_000)):
            ask(one, text)
            ask(other, text)


@pytest.mark.parametrize(("up", "down"), [(0.05, 0.0), (0.0, 0.05), (0.03, 0.03)])
def test_each_direction_has_its_own_delay_and_none_is_shorter_than_asked(relay: Relay, up: float, down: float) -> None:
    relay.delay(up=up, down=down)
    with connect(relay) as one:
        assert [took for took in (ask(one, b"x") for _ in range(5)) if took < up + down] == []


def test_a_delay_is_given_to_every_byte_and_not_to_every_chunk(relay: Relay) -> None:
    """A hundred chunks through a delay of 0.2 s: one after another they would need 20 s."""
    relay.delay(down=0.2)
    with connect(relay) as one:
        for number in range(100):
            one.sendall(b"%05d" % number)
            time.sleep(0.001)
        assert read(one, 500) == b"".join(b"%05d" % number for number in range(100))


def test_a_delayed_line_carries_everything_in_order_while_both_ends_are_busy(relay: Relay) -> None:
    relay.delay(up=0.02, down=0.02)
    data = os.urandom(1 << 20) * (MANY >> 20)
    with connect(relay) as one:
        sender = threading.Thread(target=one.sendall, args=(data,))
        sender.start()
        digest, left = hashlib.sha256(), len(data)
        while left and (chunk := one.recv(1 << 20)):
            digest.update(chunk)
            left -= len(chunk)
        sender.join()
    assert digest.digest() == hashlib.sha256(data).digest()


def test_a_delay_that_is_changed_holds_at_once_for_what_waits_already(relay: Relay) -> None:
    relay.delay(up=1000)
    with connect(relay) as one:
        one.sendall(b"first")
        assert silent(one)
        relay.delay(up=0)
        assert read(one, 5) == b"first"


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_stalled_direction_passes_nothing_and_loses_nothing(relay: Relay, way: str) -> None:
    with connect(relay) as one:
        ask(one, b"before")
        relay.stall("up" if way == "up" else "down")
        one.sendall(b"held")
        assert silent(one)
        eventually(lambda: relay.connections()[0].up_arrived == 10, "the relay has it")
        flow = relay.connections()[0]
        passed = {"up": flow.up_passed, "down": flow.down_passed}
        assert passed == {"up": 6, "down": 6} if way == "up" else passed == {"up": 10, "down": 6}
        relay.resume("up" if way == "up" else "down")
        assert read(one, 4) == b"held"


def test_one_connection_can_be_stalled_alone(relay: Relay) -> None:
    with connect(relay) as one, connect(relay) as other:
        ask(one, b"first")
        first = relay.connections()[0].id
        relay.stall(connection=first)
        one.sendall(b"held")
        ask(other, b"passes")
        assert silent(one)
        relay.resume(connection=first)
        assert read(one, 4) == b"held"


def test_a_cut_resets_both_ends_loses_what_waits_and_refuses_until_restored(relay: Relay, echo: Echo) -> None:
    relay.delay(down=1000)
    with connect(relay) as one:
        one.sendall(b"lost")
        eventually(lambda: relay.connections()[0].down_arrived == 4, "the answer waits in the relay")
        relay.cut()
        with pytest.raises(ConnectionResetError):
            one.recv(1)
    eventually(lambda: echo.resets == 1, "the target sees a reset")
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            connect(relay)
    relay.delay(down=0)
    relay.restore()
    with connect(relay) as again:
        ask(again, b"works")


def test_dropped_connections_can_be_made_again_at_once(relay: Relay) -> None:
    for _ in range(20):
        with connect(relay) as one:
            ask(one, b"x")
            relay.drop()
            with pytest.raises(ConnectionResetError):
                one.recv(1)
    assert relay.connections() == []


def test_an_end_arrives_after_what_was_sent_before_it(relay: Relay) -> None:
    relay.delay(up=0.02, down=0.02)
    with connect(relay) as one:
        one.sendall(b"last words")
        one.shutdown(socket.SHUT_WR)
        assert read(one, 100) == b"last words"
    eventually(lambda: relay.connections() == [], "nothing stays")


def test_a_target_that_is_not_there_looks_so() -> None:
    with Relay(free_port()) as relay, pytest.raises(ConnectionResetError), connect(relay) as one:
        one.recv(1)


def test_many_connections_come_and_go(relay: Relay, echo: Echo) -> None:
    for _ in range(5):
        connections = [connect(relay) for _ in range(50)]
        for number, one in enumerate(connections):
            ask(one, b"client %d" % number)
        for one in connections:
            one.close()
    eventually(lambda: relay.connections() == [], "nothing stays")
    assert echo.clients == 250


def test_it_ends_with_the_program_that_started_it() -> None:
    program = textwrap.dedent("""
        import os, signal
        from tests.relay import Relay
        print(Relay(1).process.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.returncode == -signal.SIGKILL, done.stderr

    def gone() -> bool:
        try:
            with open(f"/proc/{int(done.stdout)}/stat") as stat:
                return stat.read().rpartition(")")[2].split()[0] == "Z"
        except FileNotFoundError:
            return True

    eventually(gone, "the relay's process has ended")
