"""The command line: `rproxy serve`, `check`, `explain`, `status`, `top`, what steers a running one, `demo`, `--version`; exit codes; errors
as one line on stderr.

The subcommands are declared by topic in `cli_*.py`, each in one place; `MODULES` lists these files.
Called by the console script and by `python -m rproxy`. It must never do work of its own: it reads words,
loads the settings and calls the one that does the work. Nothing heavy is imported before it is known to be
needed: `rproxy --version` is asked by scripts, and costs what Python itself costs.

Exit codes: 0 fine, 1 failed while running, 2 wrong usage or settings (nothing was bound), 3 `check --connect`
found a server that is not what the settings say, or `status` no leader, or replicas of which none is read.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from rproxy import __version__
from rproxy.errors import SettingsError

if TYPE_CHECKING:
    import click

OK, USAGE, INTERRUPTED = 0, 2, 130
MODULES = ("cli_serving", "cli_asking", "cli_top", "cli_config")
"""Each has `COMMANDS`: click's commands, made by `@subcommand` of `cli_words` where they take the settings' flags."""


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
        result = _program().main(words, prog_name="rproxy", standalone_mode=False)
        return result if isinstance(result, int) else OK
    except SettingsError as error:
        return _fail(str(error), USAGE)
    except click.NoSuchOption as error:
        return _fail(_unknown_flag(error), error.exit_code)
    except click.UsageError as error:
        hint = error.ctx.command_path if error.ctx else "rproxy"
        return _fail(f"{_without(words, error.format_message())} ({hint} --help says more)", error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED


def _fail(message: str, code: int) -> int:
    print(f"rproxy: {message}", file=sys.stderr)
    return code


def _unknown_flag(error: click.NoSuchOption) -> str:
    """One message that names the flag and the nearest one that the command has; not its value, which may be a secret."""
    from rproxy.config_values import nearest

    flag = error.option_name
    params = error.ctx.command.params if error.ctx else []
    near = nearest(flag, [known for param in params for known in param.opts if known.startswith("--")])
    hint = f"the nearest valid flag is {near}" if near else "--help lists the valid ones"
    return f"unknown flag {flag}; {hint}"


def _without(words: Sequence[str], message: str) -> str:
    """The message with each value of the command line masked that stands in it: it may be a secret that has come to the wrong place."""
    from rproxy.urls import masked

    values = {word.partition("=")[2] if word.startswith("-") else word for word in words} - {""}
    for value in sorted(values, key=len, reverse=True):
        for before, after in ("()", "''", "  "):
            message = message.replace(f"{before}{value}{after}", f"{before}{masked(value)}{after}")
    return message


def _program() -> click.Group:
    import click

    group = click.Group(
        "rproxy",
        help="A proxy for Redis and Valkey: writes go to the leader, reads to a replica.",
        params=[click.Option(["-V", "--version"], is_flag=True, expose_value=False, help="Print the version.")],
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    for name in MODULES:
        for command in import_module(f"rproxy.{name}").COMMANDS:
            group.add_command(command)
    return group
