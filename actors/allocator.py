"""Has the C library keep little of what is freed, and give it back. Of glibc; others are let be.

Python takes whatever is larger than 512 bytes from the C library. What it frees there stays with
the process as a rule: beside what is in use, in the arena of the thread that took it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

ARENAS_MAX: Final = 1
"""Arenas that threads take memory from. Python's threads take turns as it is; and what is free in
one arena, no thread of another finds."""

OWN_BLOCK_BYTES: Final = 131_072
"""Blocks from this size on are asked of the kernel one by one, and given back when they are freed.
glibc begins with that, too, and asks for ever larger ones only once such a block was freed."""

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_SAID_BY: Final = ("MALLOC_", "GLIBC_TUNABLES")

Function: TypeAlias = Callable[..., int]


def keep_little(environment: Mapping[str, str] = os.environ) -> bool:
    """Have the C library keep little of what is freed, from now on; say whether it will.

    Once in a process, and before it starts threads: an arena that is there stays. It is not done
    where somebody has settled that in the environment, with `MALLOC_...` or `GLIBC_TUNABLES`.

    Args:
        environment: of the process.

    Source: mallopt(3).
    """
    settle = _function("mallopt", ctypes.c_int, ctypes.c_int)
    if settle is None or any(each.startswith(_SAID_BY) for each in environment):
        return False
    is_one = settle(_M_ARENA_MAX, ARENAS_MAX) == 1
    return settle(_M_MMAP_THRESHOLD, OWN_BLOCK_BYTES) == 1 and is_one


def give_back() -> bool:
    """Have the C library give back whatever is free; say whether there was something.

    It takes some milliseconds for each 100 MB, in which other threads take no memory from the C
    library. Any thread.

    Source: malloc_trim(3).
    """
    trim = _function("malloc_trim", ctypes.c_size_t)
    return trim is not None and trim(0) == 1


@cache
def _function(name: str, *takes: Any) -> Function | None:
    """Return a function of the C library; None where it has none of that name."""
    try:
        found = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):  # another library, or another system
        return None
    found.argtypes, found.restype = takes, ctypes.c_int
    function: Function = found
    return function
