"""How much of what has ended is deleted at once? So much that nobody waits for long. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import msgspec

K = TypeVar("K")

PURGE_MESSAGES_MAX: Final = 10_000
"""Messages that one purge deletes at most; a longer log goes in several, its last ones first."""


class Purged(msgspec.Struct, frozen=True):
    """What a purge has done.

    Args:
        sessions: how many are gone.
        has_more: whether there may be more to delete: then call it again.
    """

    sessions: int
    has_more: bool


class Shortened(msgspec.Struct, Generic[K], frozen=True):
    """The session whose log is too long to be deleted at once.

    Args:
        key: which.
        left: how many messages it keeps, its first ones.
    """

    key: K
    left: int


class PurgePlan(msgspec.Struct, Generic[K], frozen=True):
    """What one purge deletes.

    Args:
        gone: sessions, with all their messages.
        shortened: one that loses its last messages.
        has_more: whether there may be more to delete.
    """

    gone: tuple[K, ...]
    shortened: Shortened[K] | None
    has_more: bool

    @property
    def purged(self) -> Purged:
        """What it has done when it is carried out."""
        return Purged(len(self.gone), self.has_more)


def plan_purge(
    ended: Sequence[tuple[K, int]], *, limit: int, messages_max: int | None = None
) -> PurgePlan[K]:
    """Plan the next purge.

    Args:
        ended: sessions that may go, those first that ended first, each with the number of its last
            message; no more than `limit`.
        limit: how many were looked for: if there are as many, there may be more.
        messages_max: in place of `PURGE_MESSAGES_MAX`.
    """
    room = PURGE_MESSAGES_MAX if messages_max is None else messages_max
    gone: list[K] = []
    for key, last_seq in ended:
        if last_seq > room:
            return PurgePlan(tuple(gone), Shortened(key, last_seq - room), has_more=True)
        gone.append(key)
        room -= last_seq
    return PurgePlan(tuple(gone), None, has_more=len(gone) == limit)
