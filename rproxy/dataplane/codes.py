"""The codes of error replies that are counted, each by itself; whatever else comes (scripts may answer any word) counts as `other`.

Called by `upstream` for servers' errors and by `session` for rproxy's own, so never for a command that goes well. It must never take a word of a client's
or a server's for a name of a counter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rproxy.dataplane.states import ASK

if TYPE_CHECKING:
    from rproxy.dataplane.pending import Pending
    from rproxy.dataplane.session import Session

CODES = (
    "ERR WRONGTYPE NOAUTH NOPERM WRONGPASS NOSCRIPT BUSY LOADING MASTERDOWN READONLY MISCONF OOM EXECABORT NOREPLICAS NOPROTO BUSYKEY "
    "BUSYGROUP NOGROUP UNBLOCKED CROSSSLOT MOVED ASK TRYAGAIN CLUSTERDOWN NOTBUSY UNKILLABLE NOMASTERLINK INPROG IOERR DENIED DUPLICATE other"
).split()
_INDEX = {code.encode(): index for index, code in enumerate(CODES)}
_OTHER = len(CODES) - 1
_LONGEST = 16


def count(pending: Pending, data: bytes, pos: int) -> None:
    """A client gets the error of a server that begins at `pos`; of what rproxy itself asked, its client is told later."""
    if pending.session is not None and pending.effect != ASK:
        pending.session.plane.tallies.count_error(code_at(data, pos))


def said(session: Session, reply: bytes, replies: int = 1) -> None:
    """rproxy answers this by itself, so many times."""
    if reply.startswith(b"-"):
        session.plane.tallies.count_error(code_at(reply), replies)


def code_at(data: bytes, pos: int = 0) -> int:
    """The index of the code of the error reply that begins at `pos`."""
    words = data[pos + 1 : pos + _LONGEST].split(None, 1)
    if data.startswith(b"!", pos):  # a bulk error of RESP3: its text is on the next line
        words = data[data.find(b"\n", pos) + 1 :][:_LONGEST].split(None, 1)
    return _INDEX.get(words[0], _OTHER) if words else _OTHER
