"""What the manager is about to do: it must survive the manager, so the system owns it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from callboard.actors.errors import StoreError
from callboard.actors.keeping import STANDARD, Keeping
from callboard.actors.messages import CreateSession
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.keys import Creates
from callboard.actors.sessions.spawning import Spawns
from callboard.actors.sessions.starts import Starts
from callboard.supervision import ActorKilled, Future, SystemStopped


class Ending:
    """A session that is to end, and who waits for that.

    Args:
        number: tells its grace from an earlier one's.
        reason: why it ends.
        until_s: when its grace is over, on the monotonic clock.
        answers: called with the last snapshot, the store's refusal, or None when it does not end
            after all.
        idle_longer_than_s: end only if it has been idle for longer; None: in any case.
    """

    __slots__ = (
        "answers",
        "expires_after_s",
        "idle_longer_than_s",
        "is_bound",
        "is_forced",
        "last",
        "number",
        "reason",
        "refusals",
        "undertaker",
        "undertakers",
        "until_s",
    )

    def __init__(
        self,
        number: int,
        reason: str,
        until_s: float,
        answers: list[Callable[[Session | StoreError | None], None]],
        idle_longer_than_s: float | None,
    ) -> None:
        self.number = number
        self.reason = reason
        self.until_s = until_s
        self.answers = answers
        self.idle_longer_than_s = idle_longer_than_s
        self.last: Session | None = None
        """The last snapshot, as soon as the row is about to go: a manager that falls after that is
        followed by one that tells it."""
        self.expires_after_s = idle_longer_than_s
        """The same, and still known when there is no way back."""
        self.is_forced = False
        self.is_bound = False
        """Whether it ends whatever the session is: its creator was told that it never was."""
        self.refusals = 0
        """How often the store has refused the end of a session that must end."""
        self.undertaker: Any = None
        """Who undoes what the session has spawned, in place of its actor."""
        self.undertakers = 0
        """How many have been sent."""


class Waiting:
    """A create that waits until the session that has its id is gone.

    Args:
        create: the message.
        reply: where its asker waits.
    """

    __slots__ = ("create", "is_taken", "reply")

    def __init__(self, create: CreateSession, reply: Future[Any]) -> None:
        self.create = create
        self.reply = reply
        self.is_taken = False
        """Whether a manager is at it: one that was killed may have had it taken up already."""


class Book:
    """What is under way. The manager alone changes it.

    Args:
        partitions: over how many the sessions are spread.
        keeping: how long the keys of creates are kept, and how many.
    """

    def __init__(self, partitions: int = 1, keeping: Keeping = STANDARD) -> None:
        self.starts = Starts(partitions)
        self.spawns = Spawns()
        self.endings: dict[str, Ending] = {}
        self.sleepers: dict[str, list[Any]] = {}
        """Session id -> the futures of those who wait for its sleep."""
        self.creates = Creates(keys_max=keeping.keys_max, keep_s=keeping.keys_keep_s)
        self.waiting: dict[str, list[Waiting]] = {}
        """Session id -> the creates that wait for it; those whose askers have given up go when
        another one comes."""
        self.keeper: Any = None
        """The manager's incarnation that writes here."""
        self.is_draining = False
        self.are_to_wake = False
        """Whether the sessions that a store has brought back are still to be started."""
        self._numbers = count(1)
        self._promises: dict[Future[Any], None] = {}
        """The answers that are still to come."""

    def promised(self, reply: Future[Any]) -> Future[Any]:
        """Note that somebody waits for what a manager answers later; return the future."""
        self._promises[reply] = None
        reply.when_done(partial(self._promises.pop, reply, None))
        return reply

    def close(self) -> None:
        """Tell whoever waits that nobody will answer: the tree has ended. Any thread.

        Of the creates that wait nothing has been done; how far the others came nobody knows.
        """
        for creates in list(self.waiting.values()):
            for each in list(creates):
                each.reply.offer_exception(SystemStopped("the sessions have been stopped"))
        for reply in list(self._promises):
            reply.offer_exception(ActorKilled("the sessions were stopped before it was done"))

    def next_number(self) -> int:
        """Return a number that none had before."""
        return next(self._numbers)
