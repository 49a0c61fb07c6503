"""`rproxy top`: the declaration of its words.

Read by `cli`. It must never do work of its own, nor import what does it before the subcommand is called.
"""

from __future__ import annotations

import sys

import click

from rproxy.cli_words import Load, subcommand

SERVERS_DIFFER = 3


@subcommand(
    "top",
    "Watch a running rproxy.",
    "Watch a running rproxy; q ends. It asks the admin listener or, where that does not answer or with a URL, one of the clients' listeners.",
)
@click.option("--once", is_flag=True, help="Print one frame and end, as where the output is no terminal.")
@click.option("--admin", metavar="URL", default="", help="The admin listener; without it, that of the settings.")
@click.argument("url", required=False, default="", metavar="[URL]")
def top(load: Load, url: str, admin: str, once: bool) -> int:
    settings = load(servers_needed=False).settings
    from rproxy import status, top

    try:
        ask = top.source(settings, url, admin)
        if once or not sys.stdout.isatty():
            return 0 if top.once(ask) else SERVERS_DIFFER
        top.watch(ask)
    except status.NotThere as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        pass  # the usual way to end it
    return 0


COMMANDS = (top,)
