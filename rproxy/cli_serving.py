"""`rproxy serve`, `check` and `demo`: the declarations of their words.

Read by `cli`. It must never do work of its own, nor import what does it before that subcommand is called.
"""

from __future__ import annotations

import click

from rproxy.cli_words import AS_JSON, Load, subcommand

SERVERS_DIFFER = 3


@subcommand(
    "serve",
    "Serve; what rproxy does when only flags are given.",
    "Serve until SIGTERM. Flags win over RPROXY_ variables, these over the file. "
    "Every key of config/rproxy.toml is a flag: --timeouts.connect 1s.",
    shown=True,
    epilog=None,
)
def serve(load: Load) -> int:
    """Run the service on uvloop where it is installed, else on asyncio."""
    import asyncio
    import logging

    loaded = load()

    from rproxy.admin.door import Door
    from rproxy.service import lifecycle, logs

    logs.set_up(loaded.settings.log)
    for warning in loaded.warnings:
        logging.getLogger("rproxy").warning("%s", warning)
    serving = lifecycle.serve(loaded.settings, beside=Door, again=load, places=loaded.places)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(serving)
    return uvloop.run(serving)


@subcommand("check", "Say whether the settings are valid: exit code 0, or 2.")
@click.option("--connect", is_flag=True, help="Ask the servers too; exit 3 if one differs from the settings.")
@AS_JSON
def check(load: Load, connect: bool, as_json: bool) -> int:
    loaded = load()
    from rproxy import check

    for warning in loaded.warnings:
        click.echo(f"rproxy check: {warning}", err=True)
    if connect:
        return SERVERS_DIFFER if check.print_servers(loaded.settings, as_json) else 0
    check.print_settings(loaded, as_json)
    return 0


@click.command("demo", help="Try rproxy with a leader and two replicas, started for it.")
@click.option("--port", type=click.IntRange(0, 65535), default=7379, show_default=True, help="Where to listen.")
@click.option("--duration", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop by itself after a while.")
def demo(port: int, duration: float | None) -> int:
    from rproxy import demo

    return int(demo.main(port=port, duration=duration) or 0)


COMMANDS = (serve, check, demo)
