"""What may go wrong with a store in a simulation: faults of a `FaultPlan`, for a `FakeStore`.

Of all of them `of` is compared with the session's name, `session/<id>`, and `on` with the state
that it has in the commit: `active`, `cleaned` and so on.
"""

from __future__ import annotations

from typing import ClassVar

from callboard.supervision.model.errors import InvalidSpec, is_seconds
from callboard.supervision.testing.faults import Fault


class StoreFault(Fault, frozen=True, kw_only=True):
    """The base of what strikes a commit."""


class StoreRefuses(StoreFault, frozen=True, kw_only=True):
    """The store keeps nothing of the commit, and says so."""

    word: ClassVar[str] = "store that refuses"

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the store refuses a commit of {who}, {on}"


class StoreForgets(StoreFault, frozen=True, kw_only=True):
    """The store is lost before it has synced the commit: nothing is kept, and nobody knows."""

    word: ClassVar[str] = "store that forgets"

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the store is lost with a commit of {who}, {on}, that it had not synced"


class StoreDies(StoreFault, frozen=True, kw_only=True):
    """The store is lost between the write and its answer: the commit is kept, and nobody knows."""

    word: ClassVar[str] = "store that dies"

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the store is lost after it has written a commit of {who}, {on}"


class StoreIsSlow(StoreFault, frozen=True, kw_only=True):
    """The store takes its time, and whoever commits waits; it keeps the commit.

    Args:
        seconds: how long.
    """

    word: ClassVar[str] = "store that is slow"
    seconds: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (is_seconds(self.seconds) and 0 < self.seconds < float("inf")):
            raise InvalidSpec("seconds", self.seconds, "Give seconds above zero.")

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the store takes {self.seconds:g} s for a commit of {who}, {on}"
