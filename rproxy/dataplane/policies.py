"""What is set for the clients of one listener: their consistency, and the commands that they may give.

A listener whose commands are limited has a table of its own, made of the plane's: what is refused there stands in it as a denied command
with its sentence, so that nothing is asked per command. Called where a session begins, where its user changes and where settings do; tables are
made by `commands`. It must never let a command through that the listener doesn't allow, under whatever spelling of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rproxy import errors
from rproxy.errors import SettingsError

if TYPE_CHECKING:
    from rproxy.dataplane.commands import Command, CommandTable
    from rproxy.dataplane.session import Session

_ALWAYS = ("AUTH", "HELLO", "QUIT", "RESET")
_ABOUT_THE_CONNECTION = (
    *_ALWAYS, "PING", "ECHO", "SELECT", "CLIENT|ID", "CLIENT|GETNAME", "CLIENT|SETNAME", "CLIENT|SETINFO", "CLIENT|MAINT_NOTIFICATIONS", "COMMAND", "EXEC",
    "DISCARD", "UNWATCH",
)  # fmt: skip
"""What clients and their libraries say before and between all commands: an `allow` list need not name it."""
_CHANGE_NOTHING = frozenset(
    """PING ECHO SELECT AUTH HELLO QUIT RESET MULTI EXEC DISCARD WATCH UNWATCH WAIT WAITAOF TIME ROLE LASTSAVE INFO LOLWUT COMMAND MONITOR
    SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE PUBLISH SPUBLISH TOUCH READONLY READWRITE ASKING RPROXY
    ACL|CAT ACL|DRYRUN ACL|GENPASS ACL|GETUSER ACL|LIST ACL|USERS ACL|WHOAMI CLIENT|CACHING CLIENT|GETNAME CLIENT|GETREDIR CLIENT|ID CLIENT|INFO CLIENT|LIST
    CLIENT|MAINT_NOTIFICATIONS CLIENT|NO-EVICT CLIENT|NO-TOUCH CLIENT|REPLY CLIENT|SETINFO CLIENT|SETNAME CLIENT|TRACKING CLIENT|TRACKINGINFO CLUSTER|INFO
    CLUSTER|KEYSLOT CLUSTER|LINKS CLUSTER|MYID CLUSTER|MYSHARDID CLUSTER|NODES CLUSTER|REPLICAS CLUSTER|SHARDS CLUSTER|SLAVES CLUSTER|SLOTS
    CLUSTER|SLOT-STATS CLUSTER|COUNTKEYSINSLOT CLUSTER|GETKEYSINSLOT CLUSTER|COUNT-FAILURE-REPORTS COMMANDLOG|GET COMMANDLOG|LEN CONFIG|GET FUNCTION|DUMP
    FUNCTION|LIST FUNCTION|STATS LATENCY|DOCTOR LATENCY|GRAPH LATENCY|HISTOGRAM LATENCY|HISTORY LATENCY|LATEST MEMORY|DOCTOR MEMORY|MALLOC-STATS MEMORY|STATS
    MODULE|LIST PUBSUB|CHANNELS PUBSUB|NUMPAT PUBSUB|NUMSUB PUBSUB|SHARDCHANNELS PUBSUB|SHARDNUMSUB SCRIPT|EXISTS SCRIPT|LOAD SCRIPT|SHOW SLOWLOG|GET
    SLOWLOG|LEN INFO|RPROXY""".split()
)
"""Commands without the flag `readonly` that change neither data nor users, settings, scripts that others use, or other clients."""


class Policy(NamedTuple):
    """What is set for a listener. `consistency`, `lost_writes`: "" for that of the settings. `allow`, `deny`: names of commands, or `NAME|SUB`; `auth`:
    nothing is taken before AUTH or HELLO with AUTH. `proxy_from`: a header of the PROXY protocol comes first, from addresses in these networks alone (empty:
    there is none).
    """

    consistency: str = ""
    read_only: bool = False
    auth: bool = False
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    lost_writes: str = ""
    proxy_from: tuple[str, ...] = ()

    @property
    def limits(self) -> Policy:
        """What of it is about commands."""
        return self._replace(consistency="", lost_writes="", auth=False, proxy_from=())


OPEN = Policy()
LOCKED = Policy(auth=True)
"""That of a client which has not said yet who it is."""


class Restricted:
    """The plane's table as the clients of a listener see it: `commands` is the same object for ever."""

    def __init__(self, table: CommandTable, policy: Policy) -> None:
        self._table = table
        self._policy = policy
        self.commands: dict[bytes, Command] = {}
        for name in (*policy.allow, *policy.deny):
            first, _, sub = name.encode().partition(b"|")
            found = table.find(first, sub)
            if found is table.unknown or (sub and found.name != name.upper().encode()):
                raise SettingsError(f"no such command {name}")
        self.build()

    def build(self) -> None:
        """Make it anew: the plane's table has changed."""
        table = self._table
        self.unknown = self._judged(table.unknown)
        made = {command: self._judged(command) for command in set(table.commands.values())}
        self.commands.clear()
        self.commands.update((name, made[command]) for name, command in table.commands.items())

    def find(self, name: bytes, sub: bytes = b"") -> Command:
        """As CommandTable's."""
        command = self.commands.get(name) or self.commands.get(name.upper(), self.unknown)
        if sub and command.subcommands:
            return command.subcommands.get(sub) or command.subcommands.get(sub.upper(), command)
        return command

    def _judged(self, command: Command) -> Command:
        """The command, or one in its place that is refused or has subcommands which are."""
        refusal = self._refusal(command)
        if not command.subcommands:
            return command.refused(refusal) if refusal else command
        inner = {sub: self._judged(sub) for sub in set(command.subcommands.values())}
        if all(old is new for old, new in inner.items()) and not refusal:
            return command
        container = command.refused(refusal or errors.not_allowed(command.name))
        for word, sub in command.subcommands.items():
            container.add(word.decode(), inner[sub])
        return container

    def _refusal(self, command: Command) -> bytes:
        """Why this listener takes no such command, "" where it does."""
        policy = self._policy
        name = command.name.decode(errors="replace")
        names = (name, name.partition("|")[0])
        if not any(known in _ALWAYS for known in names):
            if policy.auth:
                return errors.EXEC_NOAUTH if name == "EXEC" else errors.NOAUTH
            if any(denied.upper() in names for denied in policy.deny):
                return errors.not_allowed(command.name)
            if policy.allow and not any(known.upper() in names for known in (*policy.allow, *_ABOUT_THE_CONNECTION)):
                return errors.not_allowed(command.name)
        if policy.read_only and _may_write(command):
            return errors.LISTENER_READ_ONLY
        return b""


def _may_write(command: Command) -> bool:
    """Whether it may change anything; of what is not known it is assumed."""
    name = command.name.decode(errors="replace")
    if (
        "readonly" in command.flags
        or name in _CHANGE_NOTHING
        or name.partition("|")[0] in ("COMMAND", "RPROXY")
        or name.endswith("|HELP")
    ):
        return "write" in command.flags
    return not command.subcommands  # of a container its subcommands tell


def adopt(session: Session) -> None:
    """Take what the session may do from its listener's policy, its user and the settings."""
    policy, plane = session.policy, session.plane
    consistency = policy.consistency or plane.options.consistency
    session.fresh = consistency == "fresh"
    session.strict = consistency == "leader"
    stranger = locked(session) or (session.key.user is None and plane.strangers.locked_out)
    session.bound_output(stranger)
    session.framer.stranger = stranger
    session.table = plane.table.under(LOCKED if locked(session) else policy.limits)
    session.names = session.table.commands
    session.run.command = None  # what it knew of the last command may have changed


def closes_lost_writes(session: Session) -> bool:
    """Whether its client's connection is closed where the answer to a write was lost."""
    return (session.policy.lost_writes or session.plane.options.lost_writes) == "close"


def locked(session: Session) -> bool:
    """Whether it must say first who it is."""
    return session.policy.auth and session.key.user is None
