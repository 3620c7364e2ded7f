"""Does a user's class give a name to something of its own that its base uses itself?

A method replaces what has its name in a base, also what only the base knows of: that would then
call the user's, and do whatever that does in its place.
"""

from __future__ import annotations

from typing import Any

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.runtime.seam import Actor


def refuse_taken_names(actor_class: type[Any]) -> None:
    """Refuse a class that defines a private name of those bases of it that are callboard's.

    Private is what begins with one underscore. Of a class of callboard's own nothing is refused,
    nor what pykka has named: that may be overridden as in pykka. Classes that are only mixed in
    count as well. What is set on an instance at run time is not seen.

    Raises:
        InvalidSpec: it does.
    """
    ours = [each for each in actor_class.__mro__ if _is_ours(each)]
    if actor_class in ours:
        return
    taken = {name for each in ours for name in _private_names(each)}
    for each in actor_class.__mro__:
        if each in ours:
            continue
        for name in _private_names(each):
            if name in taken:
                base = ours[0].__qualname__
                remedy = f"{base} uses this name itself: rename yours, best without an underscore."
                raise InvalidSpec("name", f"{each.__qualname__}.{name}", remedy)


def _is_ours(base: type[Any]) -> bool:
    return base.__module__.startswith("callboard.")


def _private_names(base: type[Any]) -> list[str]:
    """Return what a class defines, or says that its instances have, and pykka has not named."""
    members = vars(base)
    return [
        name
        for name in (*members, *members.get("__annotations__", ()))
        if name.startswith("_")
        and not name.startswith(("__", "_callboard_"))
        and not hasattr(Actor, name)
    ]
