"""`rproxy reload`, `pause`, `resume`, `drain`, `ready`, `kill`: what a running rproxy is asked to change, over its admin listener.

Called by the command line, which makes a command of each action. It must never change anything itself.
"""

from __future__ import annotations

from typing import NamedTuple

from rproxy.settings import Admin


class Action(NamedTuple):
    """What is asked for. `asks`: the parameter that the one argument is for, "" without one; `options`: parameters that may be given by a flag."""

    asks: str
    short: str
    text: str
    options: tuple[str, ...] = ()


ACTIONS = {
    "reload": Action(
        "",
        "Read the settings again.",
        "Read the settings again, as SIGHUP does. Exit code 2: they are no good, and stay as they were.",
    ),
    "pause": Action(
        "", "Hold all clients for a while.", "Take no command from any client until `rproxy resume`, or --for is over.", ("for",)
    ),
    "resume": Action("", "Let all clients go on.", "End a pause."),
    "drain": Action(
        "server", "Read a replica no more.", "Give a replica (HOST:PORT, or its URL) no new reads until `rproxy ready`."
    ),
    "ready": Action("server", "Read a drained replica again.", "Let a drained replica (HOST:PORT, or its URL) be read again."),
    "kill": Action(
        "client", "Close a client's connection.", "Close the connection of the client with this id: `id` in CLIENT LIST."
    ),
}


def send(admin: Admin, url: str, name: str, parameters: dict[str, str]) -> str:
    """Ask for an action at the listener `url`, or at the first one of these settings. The sentence that says what was done. Raises as `asking`."""
    from rproxy import asking  # HTTP costs 25 ms, which `rproxy serve` has no use for

    return str(asking.where(admin, url).ask(f"/api/{name}", parameters, "POST")["done"])
