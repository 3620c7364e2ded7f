"""When are two keys of a registry the same one?"""

from __future__ import annotations

import enum
from collections.abc import Hashable
from typing import cast


class Keys(enum.Enum):
    """How many entries a key of a registry may have.

    Source: Elixir, Registry.start_link/1, option `:keys`.
    """

    UNIQUE = "unique"
    """One. The key is a name: see `Registry.via`."""

    DUPLICATE = "duplicate"
    """Any number, several of one owner included. The key is a topic: see `Registry.dispatch`."""


def exact(key: Hashable) -> Hashable:
    """Return what stands for `key` in a table: equal only for the same value of the same type.

    For Python `1`, `1.0` and `True` are one key, for Elixir they are different
    ones. Tuples are compared so all the way down; what is inside other objects
    is compared as their own `==` says.

    Source: Elixir, Registry: keys are compared with `===`.
    """
    kind = type(key)
    if kind is str:  # most keys are: the table holds them as they are
        return key
    if isinstance(key, tuple):
        return (kind, *map(exact, cast("tuple[Hashable, ...]", key)))
    return (kind, key)
