"""Server and Topology: frozen types and nothing else.

The settings name the servers, the control plane builds topologies, the data plane reads them. A topology is replaced whole and never edited.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Server:
    """One Redis or Valkey process, as the settings name it.

    `host` and `port` for TCP, or `path` for a unix socket (then `host` is empty and `port` 0). `user` and `password` are what the URL holds,
    for sessions that have not authenticated themselves; empty where it holds none. `database` is where such a session begins. `weight` (reads, against
    other replicas') and `zone` are for the read policies. `ca`, `cert` and `key` are files for TLS: whom to believe, and
    what to show, "" for the system's CAs and for nothing. `index` is below 256 and no other server's.
    `password_file`, `password_command` and `expires`: where the password comes from in place of the URL, and for how many seconds it holds, 0.0 where only
    that may know.
    `resolve_all`: `host` is a name, and each of its addresses is a server of its own; of such a server `address` is its address, which is connected to.
    """

    index: int
    host: str
    port: int
    path: str = ""
    tls: bool = False
    user: str = ""
    password: str = ""
    database: int = 0
    weight: int = 1
    zone: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    resolve_all: bool = False
    address: str = ""
    password_file: str = ""
    password_command: str = ""
    expires: float = 0.0

    @property
    def has_password(self) -> bool:
        """Whether rproxy has a password of its own there."""
        return bool(self.password) or self.has_changing_password

    @property
    def has_changing_password(self) -> bool:
        """Whether that comes from a file or a command."""
        return bool(self.password_file or self.password_command)

    @property
    def dial_host(self) -> str:
        """The name or address that is connected to, for TCP."""
        return self.address or self.host

    @property
    def name(self) -> str:
        """What logs, tables and errors call this server: `host:port` or `unix:///path`. Never holds a secret."""
        if self.path:
            return f"unix://{self.path}"
        return f"[{self.dial_host}]:{self.port}" if ":" in self.dial_host else f"{self.dial_host}:{self.port}"

    def __repr__(self) -> str:
        return f"<server {self.index} {self.name}>"


IDLE_CLOSED = "an idle connection was closed"
"""What the data plane tells of a server that has closed connections on which nothing was under way: its `timeout` may have passed, or it is gone."""


@dataclass(frozen=True, slots=True)
class Topology:
    """A snapshot of who serves what.

    `leader` takes writes, or was the last to. `leader_up`: it answers. `settled` is False while nobody can say who leads: writes wait then;
    `contested`: because several say that they do. `asked` is False at the start, until every server has been asked who leads: a leader that nobody has found
    yet is not one that is away. `replicas`
    are all other servers, in order; `readers` are those that may be read now. By server index, and absent for a server not seen: `offsets`, the
    replication offsets of the last probes (bytes; where no leader answers, the reader with the highest one is the freshest), `latencies` (seconds),
    `why`, one sentence each on why a server is in or out, `reasons`, why a replica is out in one word, `links_down`, for how many seconds a replica has had no
    link to its leader, `maxclients`, how many clients a server takes, and `processes`, the run ids (INFO, `run_id`) of the processes that the servers are,
    empty for one that shows another on each connection.
    """

    leader: Server
    replicas: tuple[Server, ...] = ()
    readers: tuple[Server, ...] = ()
    offsets: tuple[tuple[int, int], ...] = ()
    leader_up: bool = True
    settled: bool = True
    latencies: tuple[tuple[int, float], ...] = ()
    why: tuple[tuple[int, str], ...] = ()
    maxclients: tuple[tuple[int, int], ...] = ()
    contested: bool = False
    asked: bool = True
    reasons: tuple[tuple[int, str], ...] = ()
    links_down: tuple[tuple[int, float], ...] = ()
    processes: tuple[tuple[int, bytes], ...] = ()

    def process_of(self, server: Server) -> bytes | None:
        """The run id of the server's process, empty where it shows another on each connection; None where it is not known."""
        return next((run_id for index, run_id in self.processes if index == server.index), None)

    @property
    def servers(self) -> tuple[Server, ...]:
        """Every server, the leader first."""
        return (self.leader, *self.replicas)

    def freshest_reader(self) -> Server | None:
        """The reader with the highest known offset, or None without readers."""
        if not self.readers:
            return None
        offsets = dict(self.offsets)
        return max(self.readers, key=lambda server: offsets.get(server.index, -1))
