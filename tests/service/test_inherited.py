"""Sockets that systemd gives: which are taken, and that none is left over in silence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from rproxy.embedded import EmbeddedServer
from rproxy.service.inherited import Inherited, of_systemd
from rproxy.service.listener import bind, release
from tests.integration.wire import Wire


def listening(path: str = "") -> socket.socket:
    made = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    made.bind(path or ("127.0.0.1", 0))
    made.listen()
    return made


def test_what_listens_at_an_address_is_taken_in_place_of_binding_and_its_path_left_at_the_end(tmp_path: Path) -> None:
    tcp, unix = listening(), listening(str(tmp_path / "s"))
    inherited = Inherited({"a": tcp, "b": unix})
    port = tcp.getsockname()[1]
    bound = bind((f"tcp://127.0.0.1:{port}", f"unix://{tmp_path}/s", "tcp://127.0.0.1:0"), inherited)
    inherited.end()
    assert [one.socket for one in bound[:2]] == [tcp, unix] and bound[2].socket not in (tcp, unix)
    release(bound)
    assert (tmp_path / "s").is_socket()


def test_what_nobody_takes_is_an_error_that_names_it() -> None:
    with listening() as left:
        inherited = Inherited({"descriptor 3 (clients)": left})
        with pytest.raises(OSError, match=rf"descriptor 3 \(clients\) at tcp://127.0.0.1:{left.getsockname()[1]}"):
            inherited.end()


def test_sockets_for_another_process_are_not_taken() -> None:
    env = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDNAMES": "x"}
    of_systemd(env).end()
    assert env == {}


ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="clients")
os.execv(sys.executable, [sys.executable, "-m", "rproxy", "serve", *sys.argv[2:]])
"""


def activated(server: EmbeddedServer, given: socket.socket, *flags: str) -> subprocess.Popen[str]:
    """rproxy as systemd starts it, with this socket as descriptor 3."""
    words = [str(given.fileno()), "-s", f"redis://127.0.0.1:{server.port}", "--admin.listen", "", *flags]
    command = [sys.executable, "-c", ACTIVATE, *words]
    return subprocess.Popen(command, pass_fds=[given.fileno()], stderr=subprocess.PIPE, text=True)


def test_clients_that_come_between_two_rproxies_are_served_by_the_second(leader: EmbeddedServer) -> None:
    with listening() as given:
        address = given.getsockname()
        for workers in ("1", "2"):
            with Wire(address) as waiting:  # nobody accepts yet, and nobody is refused
                process = activated(leader, given, "-l", f"tcp://127.0.0.1:{address[1]}", "--workers", workers)
                assert waiting.ask("PING") == b"+PONG\r\n"
                process.send_signal(signal.SIGTERM)
                assert process.wait(10) == 0
                assert process.stderr is not None
                process.stderr.close()


def test_it_does_not_start_where_a_socket_is_left_over(leader: EmbeddedServer) -> None:
    with listening() as given:
        process = activated(leader, given, "-l", "tcp://127.0.0.1:0")
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1 and "nothing in the settings listens: descriptor 3 (clients)" in said
