"""rproxy: a TCP proxy that speaks RESP, sends writes to the leader and reads to a random replica, and is invisible to the client."""

__version__ = "0.1.0"
