"""Lists that are filled and emptied again for each command, and keep their memory meanwhile.

Called by `session`. This is what is done interpreted; compiled it is the C functions in `lists.pxd`: a list of CPython gives its memory back when it becomes
empty, and to take it anew each time was an eighth of the instructions of a command. They must be given lists that nobody else goes through meanwhile.
"""

from __future__ import annotations

from typing import TypeVar

Item = TypeVar("Item")


def take_first(items: list[Item]) -> Item:
    """Remove the first, and return it. There must be one."""
    return items.pop(0)


def empty(items: list[Item]) -> None:
    """Remove all."""
    items.clear()
