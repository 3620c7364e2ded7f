"""How an orderly stop went: what did not stop when it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

NAMES_SHOWN_MAX: Final = 5
"""How many of those that did not stop a report names when it is shown; it holds them all."""


class StopReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an orderly stop left behind.

    Beyond OTP, where a stop always succeeds because every process can be killed.

    Args:
        unstopped: those that did not end within their shutdown time and were killed,
            as paths through the tree (`root/sessions/3`), in the order it happened.
        abandoned: those of them that even a kill did not end in time: they are stuck
            outside Python code, and a thread with them.
        left: what was to be taken away and may still be there, as whoever stopped says: a folder
            that could not be deleted in time. An actor system by itself leaves nothing.
    """

    unstopped: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether everything ended by itself, within its time, and nothing of it is left."""
        return not (self.unstopped or self.abandoned or self.left)

    def with_also(self, other: StopReport) -> StopReport:
        """Return what both reports say, this one's part first."""
        return StopReport(
            unstopped=self.unstopped + other.unstopped,
            abandoned=self.abandoned + other.abandoned,
            left=self.left + other.left,
        )

    def __str__(self) -> str:
        if self.is_clean:
            return "everything stopped in time"
        abandoned = set(self.abandoned)
        killed = [each for each in self.unstopped if each not in abandoned]
        said = (("killed", killed), ("abandoned", self.abandoned), ("left", self.left))
        return "; ".join(f"{how}: {_named(which)}" for how, which in said if which)


def _named(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:NAMES_SHOWN_MAX])
    more = len(paths) - NAMES_SHOWN_MAX
    return f"{shown} and {more:,} more" if more > 0 else shown
