"""The words of `rproxy top` and its exit codes.

Called by the command line, which knows the settings' flags. It must never import what only a running `top` needs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from rproxy.settings import Settings

OK, FAILED, SERVERS_DIFFER = 0, 1, 3
TEXT = "Watch a running rproxy; q ends. It asks the admin listener or, where that does not answer or with a URL, one of the clients' listeners."


def command(settings_params: Sequence[click.Parameter], load: Callable[[dict[str, Any]], Settings], epilog: str) -> click.Command:
    """`load` makes settings of what was given for these parameters."""
    params = [
        *settings_params,
        click.Option(["once", "--once"], is_flag=True, help="Print one frame and end, as where the output is no terminal."),
        click.Option(
            ["admin", "--admin"], metavar="URL", default="", help="The admin listener; without it, that of the settings."
        ),
        click.Argument(["url"], required=False, default="", metavar="[URL]"),
    ]

    def top(url: str, admin: str, once: bool, **given: Any) -> int:
        settings = load(given)
        from rproxy import status, top

        try:
            ask = top.source(settings, url, admin)
            if once or not sys.stdout.isatty():
                return OK if top.once(ask) else SERVERS_DIFFER
            top.watch(ask)
        except status.NotThere as problem:
            print(f"rproxy: {problem}", file=sys.stderr)
            return FAILED
        except KeyboardInterrupt:
            pass  # the usual way to end it
        return OK

    return click.Command("top", callback=top, params=params, help=TEXT, short_help="Watch a running rproxy.", epilog=epilog)
