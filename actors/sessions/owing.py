"""When does an asker hear what a handler offers him? When what the handler changed is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from callboard.supervision import Future

if TYPE_CHECKING:
    from collections.abc import Callable


class Owed(Future[Any]):
    """A reply that a behaviour owes, and gives with `offer` or `offer_exception`.

    What a handler gives that has changed something waits for the commit: a reply confirms
    nothing that may still be undone. From anywhere else it goes to the asker at once.

    Args:
        asked: the future that the asker waits for.
        holds_back: takes one if a handler is at work that has changed something; says whether
            it did.
        outlives: whether it may still be given after the actor that owes it has ended.
    """

    __slots__ = ("asked", "outlives")

    def __init__(
        self, asked: Future[Any], holds_back: Callable[[Owed], bool], *, outlives: bool
    ) -> None:
        super().__init__(asked.owner, asked.deadline_s, asked.blocker)
        self.asked = asked
        self.outlives = outlives

        def given() -> None:
            if not holds_back(self):
                self.pass_on()

        self.when_done(given)

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

    def pass_on(self) -> None:
        """Tell the asker."""
        error = self.error
        if error is None:
            self.asked.offer(self._value)
        else:
            self.asked.offer_exception(error)
