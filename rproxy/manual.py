"""`rproxy config reference`: every setting in Markdown, from the Structs that declare them. `docs/settings.md` is what it prints.

Called by the command line. It must never say of a setting what its Struct doesn't.
"""

from __future__ import annotations

from itertools import groupby

from rproxy.config import OPTIONS, ROUTE, Option
from rproxy.config_sources import variable_of

_HEAD = """# Settings

Made by `rproxy config reference`; what is said here stands in `rproxy/settings.py`.

A setting is a key in the file, a variable and a flag: `[timeouts] connect` is `RPROXY_TIMEOUTS__CONNECT` and `--timeouts.connect`.
A variable with `_FILE` behind its name, as `RPROXY_SERVERS_FILE`, names a file that holds the value: for secrets.
A variable that begins with `RPROXY_` and is close to a setting's is an error, which names that; any other is ignored with a warning.
Flags win over variables, variables over the file, the file over the default. `rproxy config show` says which value each has and where it comes from.
Times are written `"250ms"`, `"2s"`, `"1m"`, sizes in bytes or `"64mb"`.
"""
_SECTIONS = {"": "At the top of the file"}


def reference() -> str:
    """The whole page."""
    parts = [_HEAD]
    for section, options in groupby(OPTIONS.values(), lambda option: option.key.rpartition(".")[0]):
        parts.append(f"## {_SECTIONS.get(section, f'[{section}]')}\n")
        parts.append("| key | default | what it is | variable |\n| --- | --- | --- | --- |\n" + "".join(map(_row, options)))
    parts.append(
        f"## [commands]\n\n{_sentence(ROUTE.title)} {ROUTE.why}\n"
        "A key is a command's name; as a variable `RPROXY_COMMANDS__NAME`, as a flag `--commands.NAME`.\n"
    )
    return "\n".join(parts)


def _row(option: Option) -> str:
    default = option.write(option.default)
    what = f"{_sentence(option.title)} {option.why}{_kind(option)}"
    shown = f"`{default}`" if default else "none"
    return f"| `{option.key.rpartition('.')[2]}` | {shown} | {what.replace('|', '&#124;')} | `{variable_of(option.key)}` |\n"


def _kind(option: Option) -> str:
    if option.choices:
        return f" One of {', '.join(f'`{choice}`' for choice in option.choices)}."
    word = {"time": "A time", "size": "A size", "number": "A number", "secret": "Secret", "path": "A file"}.get(option.unit)
    least = f", at least {option.write(option.least)}" if option.least and option.unit in ("time", "size", "number") else ""
    return f" {word}{least}." if word else ""


def _sentence(title: str) -> str:
    return f"{title[0].upper()}{title[1:]}."
