"""What is handed to the data plane: the outside as it sees it, and the settings that it reads. Types and nothing else.

Made by the service (and the tests), read by `plane` and what it owns. Nothing here may be called at import, or remember anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rproxy.dataplane.clients import UNKNOWN_PEER, Peer
from rproxy.dataplane.handshake import Logins, LoginsInUrls
from rproxy.dataplane.topology import Server


class Transport(Protocol):
    """What the data plane asks of a connection (`asyncio.Transport` has it all)."""

    def write(self, data: bytes, /) -> None: ...
    def writelines(self, pieces: list[bytes], /) -> None: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...
    def is_closing(self) -> bool: ...


class Receiver(Protocol):
    """Whose connection it is: a session, or a connection to a server."""

    def data_received(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Ports:
    """What is handed in: the outside, as the data plane sees it.

    `dial(server, protocol)` connects and calls `protocol.connection_made` or `protocol.dial_failed(reason, refused)`; `hang_up(handle)` ends an attempt.
    `clock` gives monotonic seconds, `random` numbers in [0, 1). `later(seconds, callback)` and `soon(callback)` call back. `suspect(server, reason)`
    tells the control plane that a server failed, `demoted(server, reason)` that the leader refuses writes; `notice(text)` is for the log. `clock_ns` gives
    the stamps of the freshness table (`system_clock`: it is CLOCK_MONOTONIC, which may be asked without a call), `stamped()` wakes the freshness clock where
    it rests. `descriptor` gives a transport's socket, which must not block, or -1 where only the transport may use it; `socket` gives it in any case, to be
    watched alone. `watch(descriptor, ready)` calls back
    in each loop pass in which the descriptor is ready, and gives what ends that; None where no loop does. `peer` tells of the client at its other end.
    `wrong_process(server)`: a connection to it was not to the process that it is, so the next is by another address, where its name has several.
    `unheard(transport)` tells for how many seconds the host at the other end has acknowledged nothing of what was sent to it; 0 where it does, or nobody knows.
    `logins` are those that rproxy itself has at servers.
    `memory` is what all workers share; None where there is one. `wall` gives seconds since 1970, for people. `others(words, told)` asks every other worker,
    and tells what they answer.
    """

    dial: Callable[[Server, object], object]
    hang_up: Callable[[object], None]
    clock: Callable[[], float]
    random: Callable[[], float]
    later: Callable[[float, Callable[[], None]], object]
    soon: Callable[[Callable[[], None]], object]
    suspect: Callable[[Server, str], None]
    notice: Callable[[str], None]
    demoted: Callable[[Server, str], None] = lambda server, reason: None
    clock_ns: Callable[[], int] = lambda: 0
    system_clock: bool = False
    stamped: Callable[[], None] = lambda: None
    logins: Logins = LoginsInUrls()
    wrong_process: Callable[[Server], None] = lambda server: None
    unheard: Callable[[Transport], float] = lambda transport: 0.0
    descriptor: Callable[[Transport], int] = lambda transport: -1
    socket: Callable[[Transport], int] = lambda transport: -1
    watch: Callable[[int, Callable[[], None]], Callable[[], object]] | None = None
    memory: object = None
    wall: Callable[[], float] = lambda: 0.0
    others: Callable[[list[bytes], Callable[[list[bytes]], None]], None] = lambda words, told: told([])
    peer: Callable[[Transport], Peer] = lambda transport: UNKNOWN_PEER


@dataclass(frozen=True, slots=True)
class Options:
    """The settings that the data plane reads. Times in seconds, sizes in bytes, `leader_reads` in percent.

    `consistency` is that of listeners without one of their own; `tables`: freshness tables are kept, because some listener wants fresh reads. `command`:
    how long a server may take for one command, 0 for ever.
    `idle`, `login` and `transaction` are time-outs of clients, 0 for none. This is `worker` (from 0) of `workers`.
    """

    consistency: str = "eventual"
    tables: bool = False
    leaderless_reads: str = "serve"
    lost_writes: str = "error"
    budget: float = 1.5
    connect: float = 0.5
    idle_lane: float = 60.0
    session_output: int = 64 * 1024 * 1024
    client_memory: int = 0
    clients_per_address: int = 0
    clients_per_user: int = 0
    clients: int = 10000
    command: float = 0.0
    read_policy: str = "random"
    zone: str = ""
    leader_reads: int = 100
    slow: float = 0.05
    idle: float = 0.0
    login: float = 0.0
    transaction: float = 0.0
    worker: int = 0
    workers: int = 1

    @property
    def keeps_tables(self) -> bool:
        """Whether some client's reads are to be fresh."""
        return self.tables or self.consistency == "fresh"

    @property
    def supervises(self) -> bool:
        """Whether this is not a worker, but what the supervisor knows in place of its workers' data planes."""
        return self.worker == self.workers
