"""`rproxy explain` and `status`, and what steers a running one: the declarations of their words.

Read by `cli`. It must never do work of its own, nor import what does it before that subcommand is called.
"""

from __future__ import annotations

import os
from typing import Any

import click

from rproxy import steer
from rproxy.cli_words import AS_JSON, Load, subcommand
from rproxy.errors import SettingsError

SERVERS_DIFFER = 3
BAD_SETTINGS = 422  # by which the admin listener says that settings are not taken


@subcommand(
    "explain", "Say where a command goes, and why: rproxy explain GET user:1", context_settings={"allow_interspersed_args": False}
)
@click.option("--connect", is_flag=True, help="Ask the running rproxy what it would do now.")
@AS_JSON
@click.argument("command", nargs=-1, required=True, metavar="COMMAND [ARGUMENT]...")
@click.pass_obj
def explain(words: tuple[str, ...], load: Load, command: tuple[str, ...], connect: bool, as_json: bool) -> None:
    command, behind = _flags_behind(command, words)
    connect, as_json = connect or bool(behind), as_json or "--json" in behind
    settings = load(servers_needed=False).settings
    question = [os.fsencode(word) for word in command]
    from rproxy import explain, status

    if not connect:
        explain.print_explanation(settings, question, as_json)
        return
    try:
        status.print_explanation(status.address_of(settings.listen[0]), question, as_json)
    except status.NotThere as problem:
        raise click.ClickException(str(problem)) from None


def _flags_behind(command: tuple[str, ...], words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of a command, and the flags that were written behind it: `--connect`, or `--connect --json`. All else there is the command's, and after
    `--` these are too.
    """
    if words[: -len(command)][-1:] == ("--",):
        return command, ()
    for flags in (("--connect",), ("--connect", "--json")):
        if len(command) > len(flags) and command[-len(flags) :] == flags:
            return command[: -len(flags)], flags
    return command, ()


@subcommand(
    "status",
    "How a running rproxy and its servers are.",
    "Ask a running rproxy how it is: servers, lag, freshness. Exit code 3 without a leader or a reader, 1 where none runs.",
)
@AS_JSON
@click.argument("url", required=False, metavar="[URL]")
def status(load: Load, url: str | None, as_json: bool) -> int:
    settings = load(servers_needed=False).settings
    from rproxy import status

    try:
        fine = status.print_status(status.address_of(url or settings.listen[0]), as_json)
    except status.NotThere as problem:
        raise click.ClickException(str(problem)) from None
    return 0 if fine else SERVERS_DIFFER


@subcommand(
    "healthcheck",
    "Whether the rproxy of these settings can serve: exit code 0, or 1.",
    "Ask the first listener: exit code 0 where it answers and has a leader and, with replicas, a reader; 1 with the reason where not.",
)
@click.argument("url", required=False, metavar="[URL]")
def healthcheck(load: Load, url: str | None) -> None:
    settings = load(servers_needed=False).settings
    from rproxy import healthcheck

    if problem := healthcheck.problem_of(url or settings.listen[0]):
        raise click.ClickException(problem)


def _steering(name: str, action: steer.Action) -> click.Command:
    """The subcommand for one of the changes that the admin listener makes."""

    def send(load: Load, admin: str, **given: Any) -> None:
        settings = load(servers_needed=False).settings
        from rproxy import asking

        try:
            print(steer.send(settings.admin, admin, name, {key: given[key] for key in (*action.options, action.asks) if key}))
        except asking.Problem as problem:
            raise (SettingsError if problem.status == BAD_SETTINGS else click.ClickException)(str(problem)) from None

    command = subcommand(name, action.short, action.text)(send)
    command.params += [
        click.Option(
            ["admin", "--admin"], metavar="URL", default="", help="The admin listener; without it, that of the settings."
        ),
        *(click.Option([f"--{option}"], metavar=option.upper(), help="At most so long [5s]") for option in action.options),
        *([click.Argument([action.asks], metavar=action.asks.upper())] if action.asks else []),
    ]
    return command


COMMANDS = (explain, status, healthcheck, *(_steering(name, action) for name, action in steer.ACTIONS.items()))
