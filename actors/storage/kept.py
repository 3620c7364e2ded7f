"""What has been committed of one session, and by which incarnation? The chain that is the fence.

The protocol, which everything above relies on:

- A `Kept` is one committed version. It has at most one successor, ever: whoever
  wants to follow it claims the place by one atomic `dict.setdefault`.
- A commit names the version it was built upon. If that version has a successor
  already, the commit is refused: something else came first.
- An incarnation begins by claiming a place for itself. What its predecessor
  committed before that is what it starts from; whatever the predecessor still
  tries afterwards finds the place taken. So there is no moment between "checked"
  and "written" in which an old incarnation could slip in, and no lock.
- `Ledger.head` is a hint, stored after the claim; readers follow the chain from
  it. A thread that is held up between the claim and the store does no harm.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

S = TypeVar("S")
L = TypeVar("L")

NO_INCARNATION = 0
"""What a session has before its first incarnation; real ones count from 1."""

CLOSED = sys.maxsize
"""The incarnation that nobody is: it ends a chain for good."""


# `gc=False`: it leads to later versions alone, so it is in no cycle.
class Kept(msgspec.Struct, Generic[S, L], frozen=True, gc=False, eq=False):
    """One committed version of a session.

    Compared by identity: a version is followed, not a value.

    Args:
        incarnation: whose commit it was.
        session: the snapshot.
        log: the log that belongs to it.
        active_s: when it was last active, on the monotonic clock.
        successor: empty, or the one version that followed, under the key 0.
    """

    incarnation: int
    session: S
    log: L
    active_s: float
    successor: dict[int, Kept[S, L]]

    is_opening: ClassVar[bool] = False
    """Whether it says what the one before it says (`chain.py`)."""


class Holder(Protocol):
    """Who builds the next versions: the working state of one incarnation."""

    incarnation: int

    def let_go(self) -> None:
        """Hold the chain no longer: a newer incarnation has it."""


class Ledger(Generic[S, L]):
    """The committed part of a session's row. Any thread may read it at any time."""

    __slots__ = ("head", "holder")

    made: ClassVar[type[Kept[Any, Any]]] = Kept
    """What a new version is made as, before it is handed in."""
    opened: ClassVar[type[Kept[Any, Any]]] = Kept
    """What the ledger begins with, and each incarnation."""

    def __init__(self, session: S, log: L, *, active_s: float, incarnation: int = 0) -> None:
        self.head: Kept[S, L] = self.opened(incarnation, session, log, active_s, {})
        self.holder: Holder | None = None

    def latest(self) -> Kept[S, L]:
        """Return the last committed version: no message, no lock, no wait."""
        kept = self.head
        while kept.successor:
            kept = kept.successor[0]
        return kept

    tip = latest
    """The last version that was handed in: in memory, what is handed in is committed."""

    def publish(self, base: Kept[S, L], version: Kept[S, L]) -> bool:
        """Make `version` the one that follows `base`; say whether it does.

        Repeating what has been done already is harmless. False means that
        something else followed `base`: the writer has been fenced.
        """
        winner = base.successor.setdefault(0, version)
        if winner is version:
            self.head = version
            return True
        # Nothing may be built upon what was refused: its place is taken too, by the winner, so
        # that even from here the way leads to the true chain.
        version.successor.setdefault(0, winner)
        return False

    def begin(self, incarnation: int) -> Kept[S, L] | None:
        """Hand the session over to a new incarnation and refuse all older ones from now on.

        Args:
            incarnation: its number, greater than every earlier one's.

        Returns:
            What it starts from, or None when a later one has begun already (or
            the session is closed).
        """
        while True:
            last = self.latest()
            if last.incarnation >= incarnation:
                return None
            session = self.opening(last.session)
            first = Kept(incarnation, session, last.log, last.active_s, {})
            # Not claimed: the predecessor's commit, or another incarnation, came first. Look again.
            if self.publish(last, first):
                return first

    def opening(self, session: S) -> S:
        """Return the snapshot with which the next incarnation begins; of the same version."""
        return session

    def hold(self, holder: Holder) -> None:
        """Note whose working state builds the next versions, and tell the one before.

        The fence does without it. But an abandoned incarnation that kept its
        last version would keep every later one in memory: each leads to the next.
        """
        earlier = self.holder
        if earlier is None:
            self.holder = holder
        elif earlier.incarnation < holder.incarnation:
            self.holder = holder
            earlier.let_go()

    def close(self) -> None:
        """Refuse every commit and every incarnation from now on: the row is going."""
        self.begin(CLOSED)
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.let_go()
