"""A child's start that has begun: how far is it, and who waits for it?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from callboard.supervision.model.child import Child
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.model.plan import Start
from callboard.supervision.model.reasons import ExitReason, Killed, Shutdown
from callboard.supervision.model.refusals import StartFailed
from callboard.supervision.model.specs import ChildId, ChildSpec
from callboard.supervision.model.starting import Failed, Ignored, Started, StartResult, timed_out
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.notices import Notice
from callboard.supervision.runtime.operations import Until
from callboard.supervision.tree.names import ChildNames

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.futures import Future
    from callboard.supervision.runtime.names import Address
    from callboard.supervision.runtime.timers import Timer


class StartMoved(Notice, frozen=True):
    """To oneself: there is something new about the start of this child."""

    key: ChildId


class StartUnderWay:
    """One start, from its beginning until its supervisor knows how it ended.

    It belongs to the supervisor's thread, but for `fail` and what is read of `cell`.

    Args:
        supervisor: whose child it is.
        names: where its name is taken.
        attempt: the child as it was before, numbered for this start.
        step: what asked for it.
        arguments: the positional arguments of the child's start function.
        name: what the child is to be reached under, if anything.
    """

    cell: Cell[Any] | None = None
    """The incarnation; None while it cannot begin yet."""

    # Most starts need none of these.
    _has_claimed = False
    _address: Address[Any] | None = None
    _predecessor: Cell[Any] | None = None
    _due_s: float | None = None
    _timer: Timer | None = None
    _replies: list[Future[Any]] | None = None

    def __init__(
        self,
        supervisor: Cell[Any],
        names: ChildNames,
        attempt: Child[Cell[Any]],
        step: Start[Cell[Any]],
        arguments: tuple[object, ...],
        *,
        name: str | Address[Any] | None,
    ) -> None:
        self.attempt = attempt
        self.step = step
        self._supervisor = supervisor
        self._names = names
        self._arguments = arguments
        self._name = name

    # -- how far it is -----------------------------------------------------

    def look(self) -> StartResult[Cell[Any]] | None:
        """Say how it ended, None while it goes on. Begins what can begin, kills what is late."""
        cell = self.cell
        if cell is None:
            try:
                cell = self._begin()
            except (CallboardError, RuntimeError) as error:  # a name is taken, or no thread is left
                return Failed(crashed(error))
            if cell is None:
                return None
        if cell.is_started:
            return Started(cell, self._supervisor.system.clock.now_s())
        if not cell.has_told:
            if cell.is_dead or not self._is_late():
                return None
            cell.kill()
            if isinstance(cell.reason, Killed):  # it may have failed by itself just now
                return timed_out(self.attempt.spec)
        assert cell.reason is not None
        return Ignored() if cell.is_ignored else Failed(cell.reason)

    def _is_late(self) -> bool:
        due_s = self._due_s
        return due_s is not None and self._supervisor.system.clock.now_s() >= due_s

    def until_it_moves(self) -> Until:
        """Return what the supervisor waits for, its mailbox held, before it looks again."""
        if self.cell is None:
            # Nobody else tells of it: it is no child of this supervisor.
            self.call_when_moved(self._supervisor.poke)
        if self._due_s is None:
            return Until(self)
        return Until(self, max(0.0, self._due_s - self._supervisor.system.clock.now_s()))

    def call_when_moved(self, tell: Callable[[], object]) -> bool:
        """Have `tell()` called, on any thread, when to `look` again; False if that is now."""
        self.cancel_timer()
        if self._due_s is not None:
            self._timer = self._supervisor.system.timers.call_at(self._due_s, tell)
        awaited = self.awaited
        assert awaited is not None, "only what has begun, or cannot begin yet, is waited for"
        is_mine = awaited is self.cell
        if awaited.when_dead(("start", self), lambda _reason: tell(), or_started=is_mine):
            return True
        # Of a child that is dead and has not told everybody, the supervisor will hear.
        return is_mine and not awaited.is_started and not awaited.has_told

    def cancel_timer(self) -> None:
        """Wait for no time any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def awaited(self) -> Cell[Any] | None:
        """Whose news alone is of interest, as a condition to wait for."""
        return self._predecessor if self.cell is None else self.cell

    def __call__(self) -> bool:
        """Say whether it has moved, as a condition to wait for."""
        cell = self.cell
        if cell is not None:
            return cell.is_started or cell.has_told
        return self._predecessor is None or self._predecessor.is_dead

    def _begin(self) -> Cell[Any] | None:
        """Begin the incarnation, unless a predecessor still lives under its name."""
        spec = self.attempt.spec
        if self._name is not None and not self._has_claimed:
            self._address, self._predecessor = self._names.claim(
                self.attempt.key, self._name, keeps_mailbox=spec.keeps_mailbox
            )
            self._has_claimed = True
            if self._names.is_over:  # killed just now: who gave its names back may not know this
                self._names.release(self.attempt.key)
                self._supervisor.system.refuse_fenced(self._supervisor, self._address.name)
        if self._predecessor is not None and not self._predecessor.is_dead:
            return None
        if self._address is not None and spec.keeps_mailbox:
            self._names.open(self._address)
        system = self._supervisor.system
        start: Any = spec.start  # the model knows no actor classes
        limit_s = spec.start_limit_s
        cell: Cell[Any] = system.start_child(
            self._supervisor,
            start,
            self._arguments,
            _plain(spec.kwargs),
            address=self._address,
            tag=self.attempt.key,
            incarnation=self.attempt.incarnation,
            # A limit could not be kept to while the start has this supervisor's own thread.
            may_lend=limit_s is None,
        )
        self.cell = cell
        if self._supervisor.is_dead:  # killed just now: who let its children go did not know this
            take_along(self._supervisor, cell, spec, Killed())
            self._names.release_after(cell, self.attempt.key)
        if limit_s is not None:
            self._due_s = system.clock.now_s() + limit_s
        return cell

    # -- who waits for it --------------------------------------------------

    def join(self, reply: Future[Any]) -> None:
        """Have somebody told how it ends."""
        if self._replies is None:
            self._replies = []
        self._replies.append(reply)
        if self._supervisor.is_dead:  # killed just now, see `_begin`
            self.fail(self._supervisor.dead_error())

    def answer(self, ref: Cell[Any] | None) -> None:
        """Tell those who wait what runs now; None: it chose not to run."""
        for reply in self._replies or ():
            reply.offer(ref)

    def fail(self, error: Exception) -> None:
        """Tell those who wait why nothing does. Any thread."""
        for reply in self._replies or ():
            reply.offer_exception(error)

    def was_stopped(self) -> None:
        """Take it that the child was stopped before the start was over."""
        self.cancel_timer()
        reason = None if self.cell is None else self.cell.reason
        self.fail(StartFailed(self.attempt.id, reason or Shutdown()))


def take_along(supervisor: Cell[Any], cell: Cell[Any], spec: ChildSpec, reason: ExitReason) -> None:
    """End a child whose supervisor was killed, within its shutdown time. Any thread.

    Until it has ended it is a root: a stop of the system waits for it, and reports it.
    """
    system = supervisor.system
    system.adopt(cell)
    cell.exit_from(supervisor, reason)
    shutdown_s = spec.shutdown_time
    if isinstance(shutdown_s, (int, float)) and shutdown_s != math.inf:
        system.timers.call_at(system.clock.now_s() + shutdown_s, partial(_kill_late, cell))


def _kill_late(cell: Cell[Any]) -> None:
    if not cell.is_dead:
        cell.system.did_not_stop(cell.path)
        cell.kill()


def _plain(kwargs: Mapping[str, object]) -> dict[str, Any]:
    return dict(kwargs) if kwargs else {}
