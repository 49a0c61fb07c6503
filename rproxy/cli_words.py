"""What every subcommand has in common: each setting is a flag of it, and `load()` makes one object of flags, environment and file.

Used by the declarations in `cli_*.py`: a function under `@subcommand(...)` and click's own `@click.option`, which is called with `load` and its own options.
It must never import what only one subcommand needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import click

from rproxy import config
from rproxy.config import OPTIONS, Loaded, Option
from rproxy.errors import SettingsError

SHORT = {"listen": "-l", "servers": "-s"}
SHOWN = ("listen", "servers", "consistency", "read_policy", "discovery", "sentinels", "service", "log.level")
"""The options that a help screen has room for."""
ALL_FLAGS = "Every setting's flag works here too: `rproxy serve --help` lists them."
AS_JSON = click.option("as_json", "--json", is_flag=True, help="Print JSON.")


class Load(Protocol):
    """Reads the settings, as often as it is called. Raises SettingsError, also where there are no servers and some are needed."""

    def __call__(self, *, servers_needed: bool = True) -> Loaded: ...


class Subcommand(click.Command):
    """A subcommand whose function is called with `load` and its own options. `shown`: whether its help lists the settings' flags."""

    def __init__(self, *words: Any, shown: bool = False, **rest: Any) -> None:
        super().__init__(*words, **rest)
        self._shown = shown
        self._own = self.params
        self._settings: list[click.Parameter] = []

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the flags of the settings too; the words as they came stay in `ctx.obj`."""
        ctx.obj = tuple(args)
        self._settings = _setting_params(args, hidden=not self._shown)
        self.params = [*self._settings, *self._own]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the function."""
        assert self.callback is not None
        given = {param.name: ctx.params.pop(param.name, None) for param in self._settings if param.name}
        return ctx.invoke(self.callback, partial(_load, given, self._settings), **ctx.params)


def subcommand(name: str, short: str, text: str = "", **rest: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declares a function as `rproxy NAME`: one line for `rproxy --help`, and what its own help says, where that is more."""
    rest = {"epilog": ALL_FLAGS} | rest
    return click.command(name, cls=Subcommand, short_help=short, help=text or short, **rest)


def _setting_params(words: Sequence[str], hidden: bool) -> list[click.Parameter]:
    """One flag for each option of the settings, and one for each `--commands.NAME` among the words, whose
    names are free.
    """
    params: list[click.Parameter] = [
        click.Option(["config", "-c", "--config"], metavar="FILE", help="The settings file; also $RPROXY_CONFIG")
    ]
    for key, option in OPTIONS.items():
        flags = [SHORT[key], f"--{key}"] if key in SHORT else [f"--{key}"]
        title = f"{option.title[0].upper()}{option.title[1:]}"
        params.append(
            click.Option(
                [_name(key), *flags],
                metavar=_metavar(option),
                multiple=option.unit in ("listeners", "servers", "sentinels"),
                hidden=hidden or key not in SHOWN,
                help=f"{title} [{option.write(option.default) or ('required' if key == 'servers' else 'none')}]",
            )
        )
    named = dict.fromkeys(word.partition("=")[0] for word in words if word.startswith("--commands."))
    for index, flag in enumerate(named):
        params.append(click.Option([f"commands__{index}", flag], metavar="ROUTE", hidden=True))
    if not hidden and "--commands.NAME" not in named:
        placeholder = ["commands", "--commands.NAME"]
        params.append(click.Option(placeholder, metavar="ROUTE", help="One command: leader, replica or deny"))
    return params


def _name(key: str) -> str:
    """A name for a flag's value that click accepts."""
    return key.replace(".", "__")


def _metavar(option: Option) -> str:
    words = {
        "time": "TIME", "size": "SIZE", "number": "NUMBER", "listeners": "URL", "servers": "URL", "sentinels": "URL",
        "percent": "PERCENT", "switch": "true|false", "name": "NAME", "secret": "SECRET", "path": "FILE", "text": "TEXT",
    }  # fmt: skip
    return words.get(option.unit) or "|".join(option.choices)


def _load(given: dict[str, Any], params: Sequence[click.Parameter], *, servers_needed: bool = True) -> Loaded:
    """The settings with these flags over the environment and the file, every command override checked too."""
    flags = {
        max(param.opts, key=len).removeprefix("--"): list(value) if isinstance(value, tuple) else value
        for param in params
        if (value := given.get(param.name or "")) not in (None, ()) and param.name != "config"
    }
    loaded = config.load_with_places(given["config"], os.environ, flags)
    _check_overrides(loaded)
    if servers_needed:
        config.need_servers(loaded.settings)
    return loaded


def _check_overrides(loaded: Loaded) -> None:
    """Whether the commands that the settings override exist: the data plane knows that, the settings know where each stands."""
    from rproxy.dataplane.commands import CommandTable
    from rproxy.urls import parse_listener

    try:
        table = CommandTable(loaded.settings.commands)
        for url in loaded.settings.listen:
            try:
                table.under(parse_listener(url).policy.limits)
            except SettingsError as error:
                raise SettingsError(f"listen: {url}: {error} ({loaded.places['listen']})") from None
    except SettingsError:
        for name, route in loaded.settings.commands.items():
            try:
                CommandTable({name: route})
            except SettingsError as error:
                raise SettingsError(f"{error} ({loaded.places[f'commands.{name}']})") from None
        raise  # each is right by itself, and they contradict each other
