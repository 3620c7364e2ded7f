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
    """

    unstopped: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether everything ended by itself, within its time."""
        return not self.unstopped and not self.abandoned

    def with_also(self, other: StopReport) -> StopReport:
        """Return what both reports say, this one's part first."""
        return StopReport(
            unstopped=self.unstopped + other.unstopped,
            abandoned=self.abandoned + other.abandoned,
        )

    def __str__(self) -> str:
        if self.is_clean:
            return "everything stopped in time"
        abandoned = set(self.abandoned)
        killed = [each for each in self.unstopped if each not in abandoned]
        said = (("killed", killed), ("abandoned", self.abandoned))
        return "; ".join(f"{how}: {_named(which)}" for how, which in said if which)


def _named(paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:NAMES_SHOWN_MAX])
    more = len(paths) - NAMES_SHOWN_MAX
    return f"{shown} and {more:,} more" if more > 0 else shown
