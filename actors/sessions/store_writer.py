"""The actor that writes what the journal holds. It is the one that may change the store."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from callboard.actors.errors import StoreError, StoreRefused
from callboard.actors.sessions.internal import FailNow, LookAgain
from callboard.actors.sessions.stepping import next_step
from callboard.actors.storage.records import Leased, Probed
from callboard.supervision import (
    ExitReason,
    PinnedActor,
    Request,
    handles,
)
from callboard.supervision.runtime.notices import Notice
from callboard.supervision.runtime.timers import Timer

if TYPE_CHECKING:
    from callboard.actors.sessions.storing import Storing

BATCHES_PER_TURN: Final = 16
"""Transactions before the writer looks whether it is to do something else."""

PURGED_AT_ONCE: Final = 100
"""Sessions that ended long ago which are deleted before the writer does something else."""

PROBE_EVERY_S: Final = 10.0
"""Seconds between two looks whether a store that has refused a commit takes something again, when
nobody has anything to keep."""

OCCUPIED_CHECK_S: Final = 0.01
"""How often a writer looks whether the killed one before it has come back from the disk."""


class Purge(Notice, frozen=True):
    """To the writer: delete sessions that ended before this time, UTC."""

    ended_before: float


class WorkOn(Request["tuple[bool, Any]"], frozen=True):
    """To the writer: do one step of an operator's work; the reply is that of `next_step`."""

    steps: Generator[None, None, Any]


class WorkOver(Notice, frozen=True):
    """To the writer: nobody wants an operator's work any more, done or not."""

    steps: Generator[None, None, Any]


class Renew(Notice, frozen=True):
    """To the writer itself: say that this system has the store still."""


class Probe(Notice, frozen=True):
    """To the writer itself: see whether the store takes something again."""


class StoreWriter(PinnedActor):
    """Writes what the journal holds, what gathered meanwhile in one transaction.

    It is never interrupted: what it has begun it ends, also when it is killed. Its successor
    waits until it has.

    Args:
        storing: what the system owns.
    """

    interruptible = False

    begun_s: float | None = None
    """Since when it is at the store, on the monotonic clock; None: it is not. See `has_hung`."""

    def __init__(self, storing: Storing) -> None:
        super().__init__()
        self._storing = storing
        self._is_fresh = True
        self._is_to_probe = False
        self._again: Timer | None = None
        self._purging: Purge | None = None

    def on_start(self) -> None:
        """Go on with what waits."""
        self._storing.line = self.actor_ref.parent
        self.actor_ref.notify(LookAgain())
        self.on_renew(Renew())

    @handles(LookAgain)
    def on_look_again(self, message: LookAgain) -> None:
        """Write what waits, then let others have their turn."""

        def write() -> None:
            for _ in range(BATCHES_PER_TURN):
                self.begun_s = self.system.clock.now_s()
                if self.actor_ref.is_dead or not self._storing.write():
                    break

        self._do(write, message)

    @handles(Purge)
    def on_purge(self, message: Purge) -> None:
        """Delete sessions that ended long ago, some at a time."""
        if self._purging not in {None, message}:
            return  # that one goes on; the janitor comes again

        def purge() -> None:
            before, store = message.ended_before, self._storing.store
            self._purging = None  # should it fail
            purged = store.purge(ended_before=before, limit=PURGED_AT_ONCE)
            self._storing.took()
            if purged.has_more:
                self._purging = message
                self.actor_ref.notify(LookAgain())  # what waits has its turn first
                self.actor_ref.notify(message)

        self._do(purge, message)

    @handles(Renew)
    def on_renew(self, message: Renew) -> None:
        """Say to a store that others can take over that its owner lives."""
        store = self._storing.store
        if not isinstance(store, Leased):
            return

        def renew() -> None:
            store.renew()
            self._storing.took()

        self.send_after(store.renew_every_s, message).is_recurring = True
        self._do(renew, LookAgain())

    @handles(Probe)
    def on_probe(self, message: Probe) -> None:
        """See whether the store takes something again, though nobody has anything to keep."""
        del message
        storing, store = self._storing, self._storing.store
        self._is_to_probe = False
        if storing.refusal is None or not isinstance(store, Probed):
            storing.look()  # this message may have been taken for one that has him do that
            return

        def probe() -> None:
            store.probe()
            storing.took(is_commit=True)
            storing.journal.settle()  # nothing is in flight: what was refused is marked again

        self._do(probe, LookAgain())

    @handles(WorkOn)
    def on_work_on(self, message: WorkOn) -> tuple[bool, Any]:
        """Do one step of an operator's work.

        Raises:
            StoreError: it failed; so it does while a writer that was killed is still there.
        """
        if not self._enter():
            msg = "a writer that was killed is still at the store"
            raise StoreError(msg)
        self.begun_s = self.system.clock.now_s()
        is_over = True  # and so it is when it raises
        try:
            is_over, done = next_step(message.steps)
            return is_over, done
        finally:
            if is_over:  # before whoever asked knows: he may go on with another one
                self._storing.working.clear()
            self._leave()

    @handles(WorkOver)
    def on_work_over(self, message: WorkOver) -> None:
        """Give up what is left of an operator's work, and take another."""
        if not self._enter():  # a writer that was killed may be at one of its steps
            self.send_after(OCCUPIED_CHECK_S, message)
            return
        working = self._storing.working
        try:
            message.steps.close()
        finally:
            if working.get("work") is message.steps:  # else it was done, and another has begun
                working.clear()
            self._leave()

    def _do(self, act: Callable[[], object], message: Any) -> None:
        """Do something at the store; see that what has come meanwhile is written.

        What the store refuses of it nobody waits for: it is done again another time.
        """
        if not self._enter():
            # As long as it takes: the mailbox is bounded, and health names who hangs.
            self.begun_s = self.begun_s or self.system.clock.now_s()
            if self._again is None or not self._again.is_pending:
                self._again = self.send_after(OCCUPIED_CHECK_S, message)
            return
        self.begun_s = self.system.clock.now_s()
        try:
            act()
        except (StoreError, StoreRefused) as error:
            self._storing.note(error)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Let others be at the store; see that what has come meanwhile is written."""
        storing = self._storing
        self.begun_s = None
        storing.leave()
        if storing.refusal is not None and not (self._is_to_probe or storing.is_fenced):
            self._is_to_probe = True
            self.send_after(PROBE_EVERY_S, Probe()).is_recurring = True

    def _enter(self) -> bool:
        """Be the one who is at the store; False while a killed one is still there."""
        storing = self._storing
        if storing.occupied_by is not None:
            return False
        storing.occupied_by = self.actor_ref
        if self._is_fresh:
            self._is_fresh = False
            storing.journal.resume()
        return True

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)

    def terminate(self, reason: ExitReason) -> None:
        """Write the rest: nothing else runs any more that could commit."""
        del reason
        if self._enter():
            try:
                self._storing.journal.resume()  # what it had in flight, if it has crashed over that
                while self._storing.write():
                    pass
            finally:
                self._storing.leave()
