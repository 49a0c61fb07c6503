"""Makes a process look names that end in `.test` up in the file that TEST_HOSTS names, as /etc/hosts is read: lines of a name and its addresses.

Python imports it at the start of a process that has this folder in PYTHONPATH. Everything else is looked up as ever.
"""

import os
import socket
from pathlib import Path

_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, port, *args, **options):  # type: ignore[no-untyped-def]
    """As the system's."""
    if not (isinstance(host, str) and host.endswith(".test")) or options.get("flags", 0) & socket.AI_NUMERICHOST:
        return _getaddrinfo(host, port, *args, **options)
    lines = [line.split() for line in Path(os.environ["TEST_HOSTS"]).read_text().splitlines()]
    addresses = next((line[1:] for line in lines if line[:1] == [host]), [])
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [found for address in addresses for found in _getaddrinfo(address, port, *args, **options)]


socket.getaddrinfo = getaddrinfo
