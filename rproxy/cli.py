"""The command line: `rproxy serve`, `check`, `explain`, `status`, `top`, what steers a running one, `demo`, `--version`; exit codes; errors
as one line on stderr.

Called by the console script and by `python -m rproxy`. It must never do work of its own: it reads words,
loads the settings and calls the one that does the work. Nothing heavy is imported before it is known to be
needed: `rproxy --version` is asked by scripts, and costs what Python itself costs.

Exit codes: 0 fine, 1 failed while running, 2 wrong usage or settings (nothing was bound), 3 `check --connect`
found a server that is not what the settings say, or `status` no leader, or replicas of which none is read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rproxy import __version__
from rproxy.errors import SettingsError

if TYPE_CHECKING:
    import click

    from rproxy.config import Loaded, Option
    from rproxy.steer import Action

OK, FAILED, USAGE, SERVERS_DIFFER, INTERRUPTED = 0, 1, 2, 3, 130
BAD_SETTINGS = 422  # by which the admin listener says that settings are not taken
SHORT = {"listen": "-l", "servers": "-s"}
SHOWN = ("listen", "servers", "consistency", "read_policy", "discovery", "sentinels", "service", "log.level")
"""The options that a help screen has room for."""
ALL_FLAGS = "Every setting's flag works here too: `rproxy serve --help` lists them."


def main(words: Sequence[str] | None = None) -> int:
    """Run the program with these words (`sys.argv` without them); returns the exit code."""
    words = list(sys.argv[1:] if words is None else words)
    if words[:1] in (["--version"], ["-V"]):
        print(f"rproxy {__version__}")
        return OK
    if not words or (words[0].startswith("-") and words[0] not in ("--help", "-h")):
        words.insert(0, "serve")  # `rproxy -s redis://a` is enough

    import click

    try:
        result = _program(words).main(words, prog_name="rproxy", standalone_mode=False)
        return result if isinstance(result, int) else OK
    except SettingsError as error:
        return _fail(str(error), USAGE)
    except click.NoSuchOption as error:
        return _fail(_unknown_flag(error, words), error.exit_code)
    except click.UsageError as error:
        hint = error.ctx.command_path if error.ctx else "rproxy"
        return _fail(f"{error.format_message()} ({hint} --help says more)", error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED


def _fail(message: str, code: int) -> int:
    print(f"rproxy: {message}", file=sys.stderr)
    return code


def _unknown_flag(error: click.NoSuchOption, words: Sequence[str]) -> str:
    """One message that names the flag, its value, and the nearest flag that the command has."""
    from rproxy.config_values import nearest, shown

    flag = error.option_name
    params = error.ctx.command.params if error.ctx else []
    near = nearest(flag, [known for param in params for known in param.opts if known.startswith("--")])
    hint = f"the nearest valid flag is {near}" if near else "--help lists the valid ones"
    after = words[words.index(flag) + 1 :][:1] if flag in words else []
    values = [word.partition("=")[2] for word in words if word.startswith(f"{flag}=")] or after
    value = f" {shown(values[0], flag)}" if values and not values[0].startswith("-") else ""
    return f"unknown flag {flag}{value}; {hint}"


def _program(words: Sequence[str]) -> click.Group:
    import click

    from rproxy import steer

    group = click.Group(
        "rproxy",
        help="A proxy for Redis and Valkey: writes go to the leader, reads to a replica.",
        epilog="`rproxy --version` prints the version.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    for command in (
        _serve_command(words),
        _check_command(words),
        _explain_command(words),
        _status_command(words),
        _top_command(words),
        _demo_command(),
    ):
        group.add_command(command)
    for name, action in steer.ACTIONS.items():
        group.add_command(_steering_command(words, name, action))
    return group


def _serve_command(words: Sequence[str]) -> click.Command:
    import click

    params = _setting_params(words, hidden=False)

    def serve(**given: Any) -> int:
        return _serve(lambda: _load(given, params))

    text = "Serve until SIGTERM. Flags win over RPROXY_ variables, these over the file. Every key of config/rproxy.toml is a flag: --timeouts.connect 1s."
    return click.Command(
        "serve", callback=serve, params=params, help=text, short_help="Serve; what rproxy does when only flags are given."
    )


def _check_command(words: Sequence[str]) -> click.Command:
    import click

    settings_params = _setting_params(words, hidden=True)
    params = [
        *settings_params,
        click.Option(
            ["--connect"],
            is_flag=True,
            help="Ask the servers too; exit 3 if one differs from the settings.",
        ),
        click.Option(["as_json", "--json"], is_flag=True, help="Print JSON."),
    ]

    def check(connect: bool, as_json: bool, **given: Any) -> int:
        loaded = _load(given, settings_params)
        from rproxy import check

        if connect:
            return SERVERS_DIFFER if check.print_servers(loaded.settings, as_json) else OK
        check.print_settings(loaded, as_json)
        return OK

    text = "Say whether the settings are valid: exit code 0, or 2."
    return click.Command("check", callback=check, params=params, help=text, short_help=text, epilog=ALL_FLAGS)


def _explain_command(words: Sequence[str]) -> click.Command:
    import click

    settings_params = _setting_params(words, hidden=True)
    params = [
        *settings_params,
        click.Option(["--connect"], is_flag=True, help="Ask the running rproxy what it would do now."),
        click.Option(["as_json", "--json"], is_flag=True, help="Print JSON."),
        click.Argument(["command"], nargs=-1, required=True, metavar="COMMAND [ARGUMENT]..."),
    ]

    def explain(command: tuple[str, ...], connect: bool, as_json: bool, **given: Any) -> int:
        command, behind = _flags_behind(command, words)
        connect, as_json = connect or bool(behind), as_json or "--json" in behind
        loaded = _load(given, settings_params, servers_needed=False)
        question = [os.fsencode(word) for word in command]
        from rproxy import explain, status

        if not connect:
            explain.print_explanation(loaded.settings, question, as_json)
            return OK
        try:
            status.print_explanation(status.address_of(loaded.settings.listen[0]), question, as_json)
        except status.NotThere as problem:
            return _fail(str(problem), FAILED)
        return OK

    text = "Say where a command goes, and why: rproxy explain GET user:1"
    return click.Command(
        "explain",
        callback=explain,
        params=params,
        help=text,
        epilog=ALL_FLAGS,
        context_settings={"allow_interspersed_args": False},
    )


def _flags_behind(command: tuple[str, ...], words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of a command, and the flags that were written behind it: `--connect`, or `--connect --json`. All else there is the command's, and after
    `--` these are too.
    """
    if words[-len(command) - 1] == "--":
        return command, ()
    for flags in (("--connect",), ("--connect", "--json")):
        if len(command) > len(flags) and command[-len(flags) :] == flags:
            return command[: -len(flags)], flags
    return command, ()


def _status_command(words: Sequence[str]) -> click.Command:
    import click

    settings_params = _setting_params(words, hidden=True)
    params = [
        *settings_params,
        click.Option(["as_json", "--json"], is_flag=True, help="Print JSON."),
        click.Argument(["url"], required=False, metavar="[URL]"),
    ]

    def status(url: str | None, as_json: bool, **given: Any) -> int:
        loaded = _load(given, settings_params, servers_needed=False)
        from rproxy import status

        try:
            fine = status.print_status(status.address_of(url or loaded.settings.listen[0]), as_json)
        except status.NotThere as problem:
            return _fail(str(problem), FAILED)
        return OK if fine else SERVERS_DIFFER

    text = "Ask a running rproxy how it is: servers, lag, freshness. Exit code 3 without a leader or a reader, 1 where none runs."
    short = "How a running rproxy and its servers are."
    return click.Command("status", callback=status, params=params, help=text, short_help=short, epilog=ALL_FLAGS)


def _top_command(words: Sequence[str]) -> click.Command:
    from rproxy import top_command

    params = _setting_params(words, hidden=True)
    return top_command.command(params, lambda given: _load(given, params, servers_needed=False).settings, ALL_FLAGS)


def _steering_command(words: Sequence[str], name: str, action: Action) -> click.Command:
    import click

    settings_params = _setting_params(words, hidden=True)
    params = [
        *settings_params,
        click.Option(
            ["admin", "--admin"], metavar="URL", default="", help="The admin listener; without it, that of the settings."
        ),
        *(click.Option([f"--{option}"], metavar=option.upper(), help="At most so long [5s]") for option in action.options),
        *([click.Argument([action.asks], metavar=action.asks.upper())] if action.asks else []),
    ]

    def steer(admin: str, **given: Any) -> int:
        loaded = _load(given, settings_params, servers_needed=False)
        from rproxy import asking, steer

        try:
            print(
                steer.send(loaded.settings.admin, admin, name, {key: given[key] for key in (*action.options, action.asks) if key})
            )
        except asking.Problem as problem:
            return _fail(str(problem), USAGE if problem.status == BAD_SETTINGS else FAILED)
        return OK

    return click.Command(name, callback=steer, params=params, help=action.text, short_help=action.short, epilog=ALL_FLAGS)


def _demo_command() -> click.Command:
    import click

    params: list[click.Parameter] = [
        click.Option(
            ["--port"],
            type=click.IntRange(0, 65535),
            default=7379,
            show_default=True,
            help="Where to listen.",
        ),
        click.Option(
            ["--duration"],
            type=click.FloatRange(min=0),
            metavar="SECONDS",
            help="Stop by itself after a while.",
        ),
    ]

    def demo(port: int, duration: float | None) -> int:
        from rproxy import demo

        return int(demo.main(port=port, duration=duration) or OK)

    text = "Try rproxy with a leader and two replicas, started for it."
    return click.Command("demo", callback=demo, params=params, help=text, short_help=text)


def _setting_params(words: Sequence[str], hidden: bool) -> list[click.Parameter]:
    """One flag for each option of the settings, and one for each `--commands.NAME` among the words, whose
    names are free.
    """
    import click

    from rproxy.config import OPTIONS

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
        "percent": "PERCENT", "switch": "true|false", "name": "NAME", "secret": "SECRET", "path": "FILE",
    }  # fmt: skip
    return words.get(option.unit) or "|".join(option.choices)


def _load(given: dict[str, Any], params: Sequence[click.Parameter], servers_needed: bool = True) -> Loaded:
    """The settings with these flags over the environment and the file, every command override checked too."""
    from rproxy import config

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

    try:
        CommandTable(loaded.settings.commands)
    except SettingsError:
        for name, route in loaded.settings.commands.items():
            try:
                CommandTable({name: route})
            except SettingsError as error:
                raise SettingsError(f"{error} ({loaded.places[f'commands.{name}']})") from None
        raise  # each is right by itself, and they contradict each other


def _serve(load: Callable[[], Loaded]) -> int:
    """Run the service on uvloop where it is installed, else on asyncio."""
    import asyncio

    loaded = load()

    from rproxy.admin.door import Door
    from rproxy.service import logs
    from rproxy.service.lifecycle import serve

    logs.set_up(loaded.settings.log)
    serving = serve(loaded.settings, beside=Door, again=load, places=loaded.places)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(serving)
    return uvloop.run(serving)
