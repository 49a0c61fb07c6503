"""The admin room: rproxy over HTTP, for people who run it and what watches it for them.

Made by the command line, which hands it to `service.lifecycle`. Each module of routes has a list `ROUTES`, which `app` joins. It must never be in the way of
a client: it is imported when rproxy listens already, and asks only what costs little.
"""
