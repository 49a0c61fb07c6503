"""Every sentence that rproxy can utter to a client, in one place, and the one exception that settings raise.

Called by every room. It must never hold a client's data: a sentence may name a command or a setting, never a key or a value.
Each sentence about a command says whether the command was executed: `not executed`, or `may or may not have been executed`.
"""

from __future__ import annotations


class SettingsError(ValueError):
    """A setting is wrong. The text names the key, the value, where it stands (file and line, flag or variable) and what to do."""


NO_LEADER = b"-MASTERDOWN rproxy: no leader available, command not executed\r\n"
SEVERAL_LEADERS = b"-MASTERDOWN rproxy: several servers say that they lead, command not executed\r\n"
NO_READER = b"-MASTERDOWN rproxy: no server available for reads, command not executed\r\n"
LEADER_LOST = b"-ERR rproxy: connection to the leader lost, the command may or may not have been executed\r\n"
READER_LOST = b"-ERR rproxy: connection to the server lost, the read was not answered\r\n"
COMMAND_LOST = b"-ERR rproxy: connection to the server lost, the command may or may not have been executed\r\n"
TOO_MANY_HOPS = b"-ERR rproxy: handed from server to server too often, command not executed\r\n"
CURSOR_LOST = (
    b"-ERR rproxy: the server that began this iteration is gone or was restarted, command not executed; begin again at 0\r\n"
)
CURSOR_BEHIND = b"-ERR rproxy: the server that began this iteration has not caught up, command not executed; try it again\r\n"
CURSOR_ELSEWHERE = (
    b"-ERR rproxy: an iteration begun outside of a transaction or subscription cannot go on there, command not executed\r\n"
)
TRANSACTION_LOST = b"-ERR rproxy: the transaction lost its connection to the leader, command not executed\r\n"
EXEC_LOST = b"-EXECABORT Transaction discarded because of: rproxy lost the connection to the leader, not executed\r\n"
EXEC_UNKNOWN = b"-ERR rproxy: connection to the leader lost while EXEC ran, the transaction may or may not have been executed\r\n"
NOT_IN_TRANSACTION = b"-ERR rproxy: this is not possible inside a transaction through rproxy, command not executed\r\n"
UPLOAD_LOST = b"-ERR rproxy: connection to the server lost while the command was on its way, not executed\r\n"
REDIRECT_BUSY = b"-ERR rproxy: the client to redirect to is busy with a transaction or a blocking command, command not executed; try it again\r\n"
NOT_UNDERSTOOD = b"-ERR rproxy: the server answered otherwise than the command asks for, not executed\r\n"
TOO_MANY_PASSWORDS = b"-ERR rproxy: this user is logged in with too many passwords at once, not executed; try it again later\r\n"
TOO_LARGE = b"-ERR rproxy: this command cannot be longer than 256 KB, not executed\r\n"
UNKNOWN_FILTER = b"-ERR rproxy: this filter of clients is not known to rproxy, not executed\r\n"
WAIT_NOPERM = (
    b"-NOPERM rproxy: WAIT needs the permission for SPUBLISH to the channel rproxy:wait, or for SWAPDB, not executed\r\n"
)
LISTENER_READ_ONLY = b"-READONLY rproxy: this listener takes no writes, command not executed\r\n"
TOO_MANY_CLIENTS = b"-ERR max number of clients reached\r\n"

# Redis's own words (networking.c, processInlineBuffer and processMultibulkBuffer; acl.c; server.c).
UNBALANCED_QUOTES = b"unbalanced quotes in request"
TOO_BIG_INLINE = b"too big inline request"
TOO_BIG_COUNT = b"too big mbulk count string"
TOO_BIG_BULK_HEADER = b"too big bulk count string"
INVALID_MULTIBULK = b"invalid multibulk length"
INVALID_BULK = b"invalid bulk length"
STRANGERS_MULTIBULK = b"unauthenticated multibulk length"
STRANGERS_BULK = b"unauthenticated bulk length"
INVALID_CRLF = b"invalid CRLF in request"
NO_MULTI = b"-ERR Command not allowed inside a transaction\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"
EXEC_NOAUTH = b"-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n"
HELLO_NOAUTH = (
    b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to"
    b" authenticate the client and select the RESP protocol version at the same time\r\n"
)
WRONG_PASSWORD = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
BAD_NAME = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"


def protocol_error(words: bytes) -> bytes:
    """The reply to bytes that are not a command, as a Redis server words it; the connection is closed after it."""
    return b"-ERR Protocol error: " + words + b"\r\n"


def denied(name: bytes) -> bytes:
    """The reply to a command that rproxy refuses by default or by the settings."""
    return (
        b"-ERR rproxy: "
        + name.replace(b"|", b" ")
        + b' is refused by rproxy, not executed; to allow it, set commands."'
        + name
        + b'" to "leader"\r\n'
    )


def not_allowed(name: bytes) -> bytes:
    """The reply to a command that the listener does not allow."""
    return b"-NOPERM rproxy: this listener does not allow " + name.replace(b"|", b" ") + b", not executed\r\n"


def only_subscriptions(name: bytes) -> bytes:
    """Redis's own words for a command that a subscriber in RESP2 cannot give (server.c, processCommand)."""
    return (
        b"-ERR Can't execute '"
        + name.lower()
        + b"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n"
    )


def wrong_arity(name: bytes) -> bytes:
    """Redis's own words for a wrong number of arguments (server.c, rejectCommandFormat)."""
    return b"-ERR wrong number of arguments for '" + name.lower() + b"' command\r\n"


def bad_info(attribute: bytes) -> bytes:
    """Redis's own words for a bad value of CLIENT SETINFO (networking.c, clientSetinfoCommand)."""
    return b"-ERR " + attribute + b" cannot contain spaces, newlines or special characters.\r\n"


def bad_option(option: bytes) -> bytes:
    """Redis's own words for an unknown attribute of CLIENT SETINFO."""
    return b"-ERR Unrecognized option '" + _printable(option) + b"'\r\n"


def unknown_subcommand(word: bytes) -> bytes:
    """Redis's own words for a subcommand of CLIENT that it does not have (server.c, commandCheckExistence)."""
    return b"-ERR unknown subcommand '" + _printable(word)[:128] + b"'. Try CLIENT HELP.\r\n"


def _printable(word: bytes) -> bytes:
    return word.replace(b"\r", b" ").replace(b"\n", b" ")
