"""`rproxy healthcheck`: is the rproxy of these settings fit to serve? For container engines and scripts.

Called by the command line. It asks over the first listener, as a client would, and needs neither the admin listener nor a password. It must never say that a
process is well because it exists.
"""

from __future__ import annotations

from rproxy.status import NotThere, address_of, ask, is_fine


def problem_of(url: str) -> str:
    """What the rproxy that listens at this URL lacks, in a sentence; "" where it answers and has somebody to ask. Who must have a password first only knows
    that it answers.
    """
    try:
        facts = ask(address_of(url), b"STATUS")
    except NotThere as problem:
        return "" if "wants a password first" in str(problem) else str(problem)
    if is_fine(facts):
        return ""
    led = facts["settled"] and facts["leader_up"]
    return "no replica may be read" if led else "nobody knows who leads, or the leader does not answer"
