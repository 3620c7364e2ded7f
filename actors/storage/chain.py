"""Which commits wait for the disk, and in which order? The chain of versions is their queue.

With a durable store a version is handed in first, and published when it is kept. The protocol,
on top of that of `kept.py`:

- To hand in a version is to claim the place behind its base, as ever. So the chain holds what is
  published, then what waits, in order; whoever is killed between two steps leaves no gap.
- `head` is the last published version. The journal's writer alone moves it: forward along the
  chain, when what it passes is on the disk (`advance`) or says nothing new (`catch_up`).
- An incarnation begins behind all that was handed in, and goes on upon it without a wait: what
  its predecessor handed in is kept, and told, whether or not that one still lives.
- When the store has not kept something, all that was handed in behind `head` is given up by
  one more claim, at the end of it: a version that says what `head` says (`give_up`). Who
  still builds upon what was given up finds the place taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from callboard.actors.errors import StoreError
from callboard.actors.storage.kept import Kept, Ledger
from callboard.actors.storage.records import MessageRecord

S = TypeVar("S")
L = TypeVar("L")

Act: TypeAlias = "Callable[[StoreError | None], object]"
"""Is told what became of a commit: None when it is kept, else why it is not."""


class Pending(msgspec.Struct, eq=False):
    """What of one commit is to be written, and who is to be told of it.

    Its session's thread fills it in before it is handed in; afterwards the writer alone settles
    it, and any thread may wait for that.
    """

    body: bytes | None = None
    """What of the snapshot seldom changes, as JSON, if it has changed."""
    messages: tuple[MessageRecord, ...] = ()
    """What was appended."""
    events: tuple[object, ...] = ()
    """What to announce when it is kept."""
    places: int = 1
    """How many of those that may wait it takes: see `journal.WAITING_MAX`."""
    may_be_kept: bool = False
    """Whether a writer was stopped in the middle of writing it: if it is refused now, it may
    have been kept all the same."""
    is_settled: bool = False
    error: StoreError | None = None
    """Why it was not kept; None when it was."""
    _acts: list[Act] | None = []

    def when_settled(self, act: Act) -> None:
        """Have `act` called when it is known whether the commit is kept; at once if it is. Once.

        On the thread of the writer, which it must not hold up; acts come in the order given.
        """
        acts = self._acts
        if acts is None:
            act(self.error)
            return
        acts.append(act)  # before looking: whoever settles it takes what is there
        if self.is_settled and _took(acts, act):  # its own alone: the writer tells the others
            act(self.error)

    def settle(self, error: StoreError | None) -> None:
        """Tell what became of it. The writer alone; repeating it is harmless."""
        if not self.is_settled:
            self.error = error
            self.is_settled = True
            self.body, self.messages, self.events = None, (), ()
        acts = self._acts
        while acts:
            try:
                act = acts.pop(0)
            except IndexError:  # another thread took its own meanwhile
                break
            act(error)
        self._acts = None


def _took(acts: list[Act], act: Act) -> bool:
    try:
        acts.remove(act)
    except ValueError:  # the other one took it
        return False
    return True


# `gc=True`, unlike what is kept in memory alone: it leads to those who wait, and so back to itself.
class Handed(Kept[S, L], Generic[S, L], frozen=True, gc=True, eq=False):
    """A version that was handed in. When it is kept, it is one like every other."""

    pending: Pending = msgspec.field(default_factory=Pending)


class Opening(Kept[S, L], Generic[S, L], frozen=True, gc=True, eq=False):
    """A version that says what the one before it says: an incarnation begins. Nothing to write."""

    is_opening: ClassVar[bool] = True


class Marks(Protocol):
    """What the writer looks through: in `journal.py` the journal."""

    def mark(self, ledger: Any, /) -> None:
        """Have the writer look at a ledger."""


class DurableLedger(Ledger[S, L]):
    """A ledger whose versions are published by the journal's writer. A mixin for rows."""

    __slots__ = ()

    made: ClassVar[type[Kept[Any, Any]]] = Handed
    opened: ClassVar[type[Kept[Any, Any]]] = Opening

    marks: Marks
    """Where it is noted for the writer."""

    def mark(self) -> None:
        """Have the writer look at it."""
        self.marks.mark(self)

    def latest(self) -> Kept[S, L]:
        """Return the last published version: no message, no lock, no wait."""
        kept = self.head
        while kept.successor:
            following = kept.successor[0]
            if not following.is_opening:
                break
            kept = following
        return kept

    def tip(self) -> Kept[S, L]:
        """Return the last version that was handed in, published or not."""
        kept = self.head
        while kept.successor:
            kept = kept.successor[0]
        return kept

    def waiting(self, *, before: Kept[S, L] | None = None) -> list[Handed[S, L]]:
        """Return the versions that wait to be published, in order; those before one, if given."""
        found: list[Handed[S, L]] = []
        kept = self.head
        while kept is not before and kept.successor:
            kept = kept.successor[0]
            if isinstance(kept, Handed):
                found.append(kept)
        return found

    def when_settled(self, act: Act) -> bool:
        """Have `act` called when all that has been handed in by now is kept, or not. Any thread.

        Returns:
            False when nothing waits: then it is not called.
        """
        waiting = self.waiting()
        if not waiting:
            return False
        waiting[-1].pending.when_settled(act)
        self.mark()  # whoever handed it in may have been killed before he had it written
        return True

    def claim(self, base: Kept[S, L], version: Kept[S, L]) -> Kept[S, L] | None:
        """Put `version` behind `base`; return what stands there already, None if it does not.

        Nothing may be built upon what was refused: its place is taken too, by the winner.
        """
        winner = base.successor.setdefault(0, version)
        if winner is version:
            return None
        version.successor.setdefault(0, winner)
        return winner

    def begin(self, incarnation: int) -> Kept[S, L] | None:
        """Hand the session over to a new incarnation; see `Ledger.begin`. It waits for nothing."""
        while True:
            tip = self.tip()
            if tip.incarnation >= incarnation:
                return None
            session = self.opening(tip.session)
            first: Kept[S, L] = Opening(incarnation, session, tip.log, tip.active_s, {})
            if self.claim(tip, first) is None:
                if self.head.successor and self.waiting():
                    self.mark()  # its predecessor may have been killed before it did
                return first

    # -- the writer alone --------------------------------------------------

    def advance(self, last: Handed[S, L]) -> None:
        """Publish all up to this version: it is kept."""
        self.head = last

    def catch_up(self) -> None:
        """Let go of what was published before the last version; nothing waits."""
        self.head = self.latest()

    def give_up(self) -> list[Handed[S, L]]:
        """Return to what is published; return the versions that are given up, in order."""
        while self.waiting():
            tip, published = self.tip(), self.latest()
            session = self.opening(published.session)
            back: Kept[S, L] = Opening(
                tip.incarnation, session, published.log, published.active_s, {}
            )
            if self.claim(tip, back) is None:
                given_up = self.waiting(before=back)  # what is behind it already is not given up
                self.head = back
                return given_up
        return []
