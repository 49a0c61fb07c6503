"""`rproxy config show`, `reference` and `init`: the declarations of their words.

Read by `cli`. It must never do work of its own, nor import what does it before that subcommand is called.
"""

from __future__ import annotations

import sys

import click

from rproxy.cli_words import AS_JSON, Load, subcommand


@subcommand("show", "Every setting: its value, and where that comes from. Secrets are masked.")
@AS_JSON
def show(load: Load, as_json: bool) -> None:
    loaded = load(servers_needed=False)
    from rproxy import check

    check.print_origins(loaded, as_json)


@click.command("reference", help="Every setting there is, in Markdown.")
def reference() -> None:
    from rproxy.manual import reference

    print(reference(), end="")


@click.command("init", short_help="Write the settings for a Django site.")
@click.option(
    "--django", required=True, metavar="MODULE", help="The site's settings, as mysite.settings; called where manage.py stands."
)
@click.option("--cache", default="default", show_default=True, metavar="NAME", help="Which one of its CACHES.")
@click.option("output", "-o", "--output", metavar="FILE", help="Where to write; without it, to stdout.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def init(django: str, cache: str, output: str | None, force: bool) -> None:
    """Write the settings for a Django site to FILE or stdout, and say on stderr which LOCATION the site has then."""
    from rproxy import django_location

    start = django_location.start_of(django_location.caches_of(django), cache, django)
    if output:
        django_location.write(start, output, force)
    else:
        print(start.settings, end="")
    for remark in start.remarks:
        print(f"Note: {remark}", file=sys.stderr)
    print(f'In Django: "LOCATION": "{start.location}"', file=sys.stderr)


CONFIG = click.Group(
    "config", {"show": show, "reference": reference, "init": init}, help="Show the settings, list all there are, begin a file."
)
COMMANDS = (CONFIG,)
