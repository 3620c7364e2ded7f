"""When does an asker hear what a behaviour offers him? When what that may confirm is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from callboard.supervision import Future


class Turn:
    """A handler at work, for whoever waits for what becomes of what it changes.

    There is one when its session owes an answer, or it does something that waits for its end. The
    thread of the actor alone writes it; any thread reads it.
    """

    __slots__ = ("has_died", "outcome")

    def __init__(self) -> None:
        self.outcome: Future[None] = Future()
        """Is done when all that it has changed is kept, or with why it is undone; that of what
        it has changed since its last commit, as long as it is at work."""
        self.has_died = False
        """Whether its incarnation ended over it: whose message it had in hand is told of that."""

    def hand_in(self) -> Future[None]:
        """Return the outcome of what was changed so far; what follows gets another."""
        outcome, self.outcome = self.outcome, Future()
        return outcome

    def die(self, error: BaseException) -> None:
        """Say that its incarnation has ended. Any thread."""
        self.has_died = True
        self.outcome.offer_exception(error)


class Owed(Future[Any]):
    """A reply that a behaviour owes, and gives with `offer` or `offer_exception`. Any thread.

    It goes to the asker when all is kept that it may confirm, as a plain reply does:

    - what its session had handed in when it was given, by whatever incarnation;
    - what the handler that owed it has changed, which is waited for while that is at work, but
      for what that handler itself gives before it has changed anything;
    - what the handler has changed within which it is given, and what its session had handed in,
      whichever session that is.

    What was not kept, or undone, is the answer in its place. In memory all this is known when the
    handlers have returned.

    Args:
        asked: the future that the asker waits for.
        turn: the handler that owes it.
        built_upon: returns what is done when all is kept, or not, that an answer of now may
            confirm.
        point: is told that it is given, and that the asker gets it, in a moment: for simulations.
    """

    __slots__ = ("_built_upon", "_point", "asked", "turn")

    def __init__(
        self,
        asked: Future[Any],
        turn: Turn,
        built_upon: Callable[[Turn], Sequence[Future[None]]],
        point: Callable[[str, Owed], object],
    ) -> None:
        super().__init__(asked.owner, asked.deadline_s, asked.blocker)
        self._built_upon = built_upon
        self._point = point
        self.asked = asked
        self.turn = turn
        self.when_done(self._given)

    @property
    def is_done(self) -> bool:
        """Whether it is given, or the asker has given up."""
        return super().is_done or self.asked.is_done

    def offer(self, value: Any) -> bool:
        """Give the value unless somebody was first; say whether it was taken."""
        return not self.asked.is_done and super().offer(value)

    def offer_exception(self, error: BaseException) -> bool:
        """Give the exception unless somebody was first; say whether it was taken."""
        return not self.asked.is_done and super().offer_exception(error)

    def _given(self) -> None:
        if not self.asked.is_done:
            self._point("offer", self)
            self._pass_on(self._built_upon(self.turn))

    def _pass_on(self, upon: Sequence[Future[None]]) -> None:
        """Tell the asker when these are done, the one after the other."""
        for place, each in enumerate(upon):
            if not each.is_done:
                each.when_done(partial(self._pass_on, upon[place:]))
                return
            if each.error is not None:
                if not self.turn.has_died:  # its end tells the asker, and knows better why
                    self.asked.offer_exception(each.error)
                return
        self._point("answer", self)
        if self.error is None:
            self.asked.offer(self._value)
        else:
            self.asked.offer_exception(self.error)


def promised(outcome: Future[None], keep: Callable[[], object]) -> None:
    """Have `keep()` called when that which a handler changes is kept; never, if it is not."""

    def look() -> None:
        if outcome.error is None:
            keep()

    outcome.when_done(look)
