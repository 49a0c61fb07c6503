"""What COMMAND does not tell: where rproxy treats a command otherwise than its flags say, and why.

Read by `commands` once. Each line is one decision with its reason, which `rproxy explain` shows. Everything else follows from the flags: `readonly` to the
replicas, all else to the leader.
"""

from __future__ import annotations

ANY = "read"
LEADER = "write"
LOCAL = "local"
DENIED = "denied"
BROADCAST = "broadcast"

ROUTES: tuple[tuple[str, str, str], ...] = (
    (
        "PING ECHO",
        ANY,
        "it asks whether the leader is there; any server answers while the leader is away, or where reads need not be fresh",
    ),
    ("TOUCH", LEADER, "its effect is the leader's LRU clock"),
    ("OBJECT|FREQ OBJECT|IDLETIME", LEADER, "a replica's access clocks are other data"),
    ("OBJECT|ENCODING OBJECT|REFCOUNT MEMORY|USAGE", LEADER, "a replica may hold the value in another encoding"),
    ("DUMP", LEADER, "a replica of a newer version writes it in a form that the leader cannot restore"),
    ("XINFO|STREAM", LEADER, "it shows how the server holds the stream, which a replica may do otherwise"),
    ("XINFO|CONSUMERS", LEADER, "a replica has not seen the consumers itself, and counts their idle time otherwise"),
    ("LOLWUT", LEADER, "it shows the version of the server that the client believes to talk to"),
    ("CLUSTERSCAN", LEADER, "a cursor means something only to the server that gave it"),
    ("ACL|SETUSER ACL|DELUSER ACL|LOAD ACL|SAVE", BROADCAST, "users are each server's own and do not replicate"),
    ("SCRIPT|LOAD SCRIPT|FLUSH", BROADCAST, "each server has a script cache of its own"),
    ("SELECT AUTH HELLO RESET QUIT", LOCAL, "it is about the client's own connection"),
    ("CLIENT|ID CLIENT|GETNAME CLIENT|SETNAME CLIENT|SETINFO", LOCAL, "it is about the client's own connection"),
    ("CLIENT|LIST CLIENT|INFO CLIENT|KILL CLIENT|UNBLOCK", LOCAL, "it is about rproxy's own clients"),
    (
        "CLIENT|PAUSE CLIENT|UNPAUSE SCRIPT|KILL FUNCTION|KILL FUNCTION|STATS",
        LOCAL,
        "to the leader, on a connection on which nothing waits",
    ),
    ("CLIENT|MAINT_NOTIFICATIONS", LOCAL, "only managed services know it; clients go on where it is unknown"),
    ("RPROXY RPROXY|HELP RPROXY|STATUS RPROXY|EXPLAIN INFO|RPROXY", LOCAL, "it is about rproxy itself"),
    ("SYNC PSYNC REPLCONF", DENIED, "it would turn a shared connection into a replication link"),
    ("REPLICAOF SLAVEOF FAILOVER SHUTDOWN", DENIED, "it changes who serves what"),
    ("CLIENT|CAPA CLIENT|IMPORT-SOURCE", DENIED, "it would change a connection that others share"),
    ("SCRIPT|DEBUG", DENIED, "it would make a debugger of a connection that others share"),
)

SIGNS_OF_LIFE = "PING ECHO"
"""They ask whether the leader is there, which may be busy with a script, or loading."""

ATTACHING = (
    "SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE MONITOR "
    "CLIENT|TRACKING CLIENT|REPLY CLIENT|NO-EVICT CLIENT|NO-TOUCH"
)
"""They give the client state on one server connection, which it keeps."""

SUBSCRIPTIONS = (b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE")
"""Each is confirmed once for each of its channels."""

CURSORS = "SCAN HSCAN SSCAN ZSCAN"
"""They go on with an iteration, on the server that began it."""

UNORDERED = "HGETALL HKEYS HVALS SMEMBERS SINTER SUNION SDIFF KEYS SORT_RO"
"""Reads whose replies have no order of their own, but that of the server's hash table (`nondeterministic_output_order` in COMMAND's tips): a client that asks
twice expects the same order twice.
"""

ALONE = "SYNC PSYNC REPLCONF CLIENT|CAPA CLIENT|IMPORT-SOURCE SCRIPT|DEBUG"
"""Where settings allow them, each is given a connection of its own, which is closed behind its reply."""

BLOCK_OPTION = {"XREAD": "BLOCK", "XREADGROUP": "BLOCK"}
"""They block only with this option."""

ADDED = {
    "CLIENT|MAINT_NOTIFICATIONS": -2,
    "RPROXY": -2,
    "RPROXY|HELP": 2,
    "RPROXY|STATUS": 2,
    "RPROXY|EXPLAIN": -3,
    "INFO|RPROXY": -2,
}
"""Commands that no server of the table knows, with their arity."""
