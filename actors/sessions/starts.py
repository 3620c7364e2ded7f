"""Which sessions are being started, and how far is each? One state for each of them.

    want --> WAITING --ask--> ASKED --settle--> gone: it runs, or its failure was told
               ^   ^            | |                                            ^
               |   |            | +---give_up--> FAILED --settle---------------+
               |   +---wait-----+     its partition has ended: asked again when it is back
               +-wait- PAUSED <-+     (pause) it failed or was refused: again after a delay

Before it is asked for, a start may be LOADING (load): its session's last messages are read from a
store. When they are here it is WAITING again, and asked for at once. One that the partition has
answered may be KEEPING (keep): with a durable store it runs when what it began with is kept.

The system owns this, the manager alone changes it, but for `refuse` and `hand_in`. A manager may be
killed between any two steps: its successor calls `take_over`, and asks once more for
whatever was under way. The partition starts nothing twice, so asking twice does no harm.

An id may be used again as soon as its session is gone, so a start is that of a row: what is said
of the one before finds none.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import count, islice
from typing import Any

from callboard.actors.errors import StoreError
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.table import Row
from callboard.actors.storage.chain import Pending


class Cause(StrEnum):
    """Why a session is started: it decides what a failure means."""

    CREATE = "create"
    """For the first time: when it fails, the session never was."""
    REVIVE = "revive"
    """Somebody asked for a quarantined one: when it fails, that one is told and it is quarantined
    again."""
    RESUME = "resume"
    """Somebody asked for one that slept: when it fails, that one is told and it sleeps on."""
    WAKE = "wake"
    """A message waits: when it fails, it is tried again as the partition would do."""


class Phase(StrEnum):
    """How far a start has come."""

    WAITING = "waiting"
    """For its partition to come back, or for a place among the starts under way there."""
    ASKED = "asked"
    """The partition has been asked; it will answer, or its end will."""
    KEEPING = "keeping"
    """It has begun; what it began with is being kept in a store. What becomes of it meanwhile is
    news like that of any session that runs."""
    LOADING = "loading"
    """What was said last in its session is being read from a store; then it is asked for."""
    PAUSED = "paused"
    """For a delay to pass."""
    FAILED = "failed"
    """It comes to nothing: what that makes of the session is carried out, then it is told."""


_UNDER_WAY = frozenset({Phase.ASKED, Phase.KEEPING, Phase.LOADING})
"""What counts for the bound of starts under way in a partition."""


class Start:
    """One session that is to run.

    Args:
        row: which.
        cause: why.
        replies: the futures of those who wait for it.
    """

    __slots__ = (
        "cause",
        "error",
        "handed",
        "number",
        "partition",
        "patched",
        "phase",
        "refusal",
        "replies",
        "row",
        "session",
        "session_id",
    )

    def __init__(self, row: Row, cause: Cause, replies: list[Any] | None = None) -> None:
        self.row = row
        self.session_id = row.id
        self.partition = row.partition
        """The number of the partition that runs it."""
        self.cause = cause
        self.phase = Phase.WAITING
        self.number = 0
        """Of the last request to the partition; of all starts each has its own."""
        self.replies: list[Any] = [] if replies is None else replies
        self.session: Session | None = None
        """What those were told who waited for it, when it came to run."""
        self.error: Exception | None = None
        """What it ended with, when it failed for good."""
        self.handed: Pending | None = None
        """What the incarnation began with that a durable store has yet to keep; see `hand_in`."""
        self.patched: Pending | None = None
        """What was changed before it began that a durable store has yet to keep."""
        self.refusal: StoreError | None = None
        """Why the store did not keep what an attempt has changed; see `refuse`."""

    @property
    def unkept(self) -> Pending | None:
        """What it waits for, or failed by: a durable store has not kept it. None: nothing."""
        for each in (self.patched, self.handed):
            if each is not None and (each.error is not None or not each.is_settled):
                return each
        return None

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for it who has not given up."""
        return any(not reply.is_done for reply in self.replies)

    def answer(self, session: Session) -> None:
        """Tell everybody that it runs."""
        self.session = session
        for reply in self.replies:
            reply.offer(session)

    def fail(self, error: Exception) -> None:
        """Tell everybody why it does not; the first reason stays."""
        self.error = self.error or error
        for reply in self.replies:
            reply.offer_exception(self.error)


class Starts:
    """All starts that are not settled yet. Nothing here waits or calls out.

    The states are the truth; the order of those that wait and the number of those
    that were asked for are derived from them, and made anew by `take_over`.

    Args:
        partitions: over how many the sessions are spread.
    """

    def __init__(self, partitions: int) -> None:
        self._starts: dict[str, Start] = {}
        self._waiting: list[dict[str, None]] = [{} for _ in range(partitions)]
        self._asked = [0] * partitions
        self._numbers = count(1)
        self.get = self._starts.get
        """The start of a session's id, or None. Any thread."""

    # -- what there is -----------------------------------------------------

    def of(self, row: Row) -> Start | None:
        """Return the start of this session, and of no other one of its id, or None. Any thread."""
        start = self._starts.get(row.id)
        return start if start is not None and start.row is row else None

    def __contains__(self, session_id: str) -> bool:
        start = self._starts.get(session_id)
        return start is not None and start.phase is not Phase.FAILED

    def __len__(self) -> int:
        return len(self._starts)

    def __iter__(self) -> Iterator[Start]:
        return iter(list(self._starts.values()))

    def is_asked(self, session_id: str) -> bool:
        """Whether the manager is to hear of this start by an answer. Any thread."""
        start = self._starts.get(session_id)
        return start is not None and start.phase is Phase.ASKED

    def asked(self, partition: int) -> int:
        """Return how many starts are under way in a partition, those that are loading included."""
        return self._asked[partition]

    def has_waiting(self, partition: int) -> bool:
        """Whether a start waits for this partition."""
        return bool(self._waiting[partition])

    # -- transitions -------------------------------------------------------

    def want(self, row: Row, cause: Cause) -> Start:
        """Have a session started; the start that there is takes the stronger cause.

        A pause goes on when only one more message waits, and ends when somebody asks for it. One
        that failed is followed by another, with those who wait for it: a manager that is killed
        before it has told them leaves them to its successor.
        """
        start = self._starts.get(row.id)
        if start is None or start.phase is Phase.FAILED:
            replies = [] if start is None else start.replies
            start = self._starts[row.id] = Start(row, cause, replies)
            self._waiting[row.partition][row.id] = None
        elif start.cause is Cause.WAKE and cause is not Cause.WAKE:
            start.cause = cause
            if start.phase is Phase.PAUSED:
                self.wait(start)
        return start

    def take(self, partition: int, most: int) -> list[Start]:
        """Return up to `most` starts that wait for a partition, the longest first."""
        first = islice(self._waiting[partition], max(0, most))
        return [self._starts[session_id] for session_id in first]

    def ask(self, start: Start) -> None:
        """Note that the partition is being asked; what the store said of an earlier try stays.

        That one's failure may not have been told yet; and a commit that the store may have kept
        is not undone by another attempt.
        """
        start.number = next(self._numbers)
        self._enter(start, Phase.ASKED)

    def keep(self, start: Start) -> None:
        """Note that it has begun, and is told when what it began with is kept."""
        self._enter(start, Phase.KEEPING)

    def load(self, start: Start) -> None:
        """Note that its session's last messages are being read; it counts as under way."""
        self._enter(start, Phase.LOADING)

    def wait(self, start: Start) -> None:
        """Have it asked for again: at once, or when the partition is back."""
        self._enter(start, Phase.WAITING)

    def pause(self, start: Start) -> None:
        """Have it wait until `wait` is called for it."""
        self._enter(start, Phase.PAUSED)

    def give_up(self, start: Start, error: Exception) -> None:
        """Have it be no more, but for those who are told of the error by `settle`'s caller."""
        start.error = start.error or error
        self._enter(start, Phase.FAILED)

    def settle(self, start: Start) -> None:
        """Forget it: it has come to its end. Harmless when it had before."""
        if self._starts.get(start.session_id) is start:
            del self._starts[start.session_id]
            self._leave(start)

    def refuse(self, row: Row, error: StoreError) -> None:
        """Note why a start is about to fail: the session's actor does, before it ends of it.

        That an earlier attempt may have been kept is not forgotten over it.
        """
        start = self.of(row)
        if start is not None and (start.refusal is None or start.refusal.is_outcome_known):
            start.refusal = error

    def hand_in(self, row: Row, handed: Pending | None) -> None:
        """Note what a start has handed in: the session's actor does, before it has started.

        Whoever wants it to run is told when that is kept. None: nothing; then a create still
        waits for what an earlier attempt has handed in, upon which this one goes on.
        """
        start = self.of(row)
        if start is not None and (handed is not None or start.cause is not Cause.CREATE):
            start.handed = handed

    def take_over(self) -> None:
        """Have everything asked for again: whoever had asked is no more."""
        self._asked = [0] * len(self._asked)
        self._waiting = [{} for _ in self._waiting]
        for start in self:
            start.phase = Phase.WAITING
            self._waiting[start.partition][start.session_id] = None

    def _enter(self, start: Start, phase: Phase) -> None:
        self._leave(start)
        start.phase = phase
        if phase in _UNDER_WAY:
            self._asked[start.partition] += 1
        elif phase is Phase.WAITING:
            self._waiting[start.partition][start.session_id] = None

    def _leave(self, start: Start) -> None:
        if start.phase in _UNDER_WAY:
            self._asked[start.partition] -= 1
        elif start.phase is Phase.WAITING:
            self._waiting[start.partition].pop(start.session_id, None)
