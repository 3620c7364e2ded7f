"""What is one step of a long work? So that others have their turn between two."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from callboard.actors.errors import StoreError


def next_step(steps: Generator[None, None, Any]) -> tuple[bool, Any]:
    """Do one step of a work; return whether it was the last, and then what came of it.

    Raises:
        StoreError: a file could not be read, or as the work says.
    """
    try:
        next(steps)
    except StopIteration as end:
        return True, end.value
    except OSError as error:
        msg = f"what is to come in cannot be read: {error.strerror}"
        raise StoreError(msg) from error
    return False, None
