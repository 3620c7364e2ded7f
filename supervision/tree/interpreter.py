"""Carries out what the model decided, step by step, and has no opinions of its own.

A plan is carried out as far as there is nothing to wait for; what is left is an
operation of the supervisor's cell: it waits for a child by yielding `Until`,
without a thread, while the supervisor's mailbox is held. So nobody sees a plan
half done, as in OTP. Only concurrent starts are waited for with the mailbox open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from callboard.supervision.model.child import Child
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.model.events import TreeEvent
from callboard.supervision.model.happenings import DelayOver, RetryDue
from callboard.supervision.model.plan import (
    End,
    Forget,
    Plan,
    Postpone,
    Put,
    Refuse,
    Remember,
    Report,
    Retry,
    Start,
    Stop,
)
from callboard.supervision.model.reasons import ExitReason, Shutdown
from callboard.supervision.model.specs import (
    BRUTAL_KILL,
    BrutalKill,
    ChildId,
    ChildSpec,
    SupervisorFlags,
)
from callboard.supervision.model.starting import Failed, StartResult, after_start
from callboard.supervision.model.state import SupervisorState
from callboard.supervision.model.stopping import after_parallel_stop, after_stop
from callboard.supervision.runtime.notices import Notice
from callboard.supervision.runtime.operations import Deaths, Until
from callboard.supervision.tree.names import ChildNames
from callboard.supervision.tree.starts import StartMoved, StartUnderWay, take_along

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.futures import Future
    from callboard.supervision.runtime.names import Address
    from callboard.supervision.runtime.system import ActorSystem

Ref: TypeAlias = "Cell[Any]"
Steps: TypeAlias = Generator[Until, bool, None]


class WaitOver(Notice, frozen=True):
    """To the supervisor itself: it is time to try a restart once more."""

    due: RetryDue[Ref] | DelayOver[Ref]


class Interpreter:
    """One supervisor's table of children, and the only code that changes it.

    Args:
        ref: the supervisor.
        name: its path, for events.
        flags: how it treats its children.
        is_dynamic: whether children have no lasting place.
        concurrent_starts: whether the mailbox is open while a child starts.
        arguments_of: the positional arguments for a child's start.
        name_of: the name under which it is reached, or its address, or None.
        report: gets the events.
        is_listening: whether `report` is to have them even when the system has no hook.
    """

    def __init__(
        self,
        ref: Ref,
        *,
        name: str,
        flags: SupervisorFlags,
        is_dynamic: bool,
        concurrent_starts: bool,
        arguments_of: Callable[[Child[Ref]], tuple[object, ...]],
        name_of: Callable[[Child[Ref]], str | Address[Any] | None],
        report: Callable[[TreeEvent], None],
        is_listening: bool,
    ) -> None:
        self._ref = ref
        self._system: ActorSystem = ref.system
        self._concurrent_starts = concurrent_starts
        self._arguments_of = arguments_of
        self._name_of = name_of
        self._report = report
        self._is_listening = is_listening
        self.names = ChildNames(ref)
        self.children: dict[ChildId, Child[Ref]] = {}
        self._state: SupervisorState[Ref] = SupervisorState(
            name=name,
            flags=flags,
            children=self.children,
            window=flags.new_window(),
            is_dynamic=is_dynamic,
        )
        self._under_way: dict[ChildId, StartUnderWay] = {}
        self.ends_with: ExitReason | None = None
        """Set by a plan that ends the supervisor: the reason."""

    @property
    def state(self) -> SupervisorState[Ref]:
        """The supervisor as it is, for a decision."""
        state = self._state
        hook = self._system.on_event  # a host may hang it up at any time
        is_watched = self._is_listening or hook is not None
        hears_routine = self._is_listening or self._system.hears_routine
        if state.is_watched is not is_watched or state.hears_routine is not hears_routine:
            state = self._state = msgspec.structs.replace(
                state, is_watched=is_watched, hears_routine=hears_routine
            )
        return state

    def carry_out(self, plan: Plan[Ref]) -> Steps | None:
        """Do the steps in order, up to the first that has to wait; return what is left, if any.

        Raises:
            CallboardError: the refusal that the plan ends with.
        """
        for place, step in enumerate(plan, start=1):
            match step:
                case Report(event=event):
                    self._report(event)
                case Remember(window=window):
                    self._state = msgspec.structs.replace(self._state, window=window)
                case Put(child=child, is_final=is_final):
                    self.children[child.key] = child
                    if is_final:
                        self.names.close(child.key)
                case Start():  # every plan's last step
                    return self._start_all(step)
                case Forget(keys=keys):
                    for key in keys:
                        self._forget(key)
                case Stop():
                    return self._and_then(self._stop_all(step), plan[place:])
                case Retry(due=due):
                    self._ref.notify(WaitOver(due))
                case Postpone(due=delay, delay_s=delay_s):
                    due_s = self._system.clock.now_s() + delay_s
                    self._system.timers.call_at(due_s, self._ref.notify, WaitOver(delay))
                case Refuse(error=error):
                    raise error
                case End(reason=reason):
                    self.ends_with = reason
                    if self._ref.is_started:  # otherwise its start ends so
                        self._ref.exit(reason)
        return None

    def carry_out_all(self, plan: Plan[Ref]) -> Steps:
        """Do the steps in order and wait where there is something to wait for."""
        rest = self.carry_out(plan)
        if rest is not None:
            yield from rest

    def _and_then(self, steps: Steps, plan: Plan[Ref]) -> Steps:
        yield from steps
        yield from self.carry_out_all(plan)

    def refs(self) -> list[Ref]:
        """Return the children's refs, in start order, with those that are starting; any thread."""
        refs = dict.fromkeys(child.ref for child in list(self.children.values()))
        refs.update(dict.fromkeys(start.cell for start in list(self._under_way.values())))
        return [ref for ref in refs if ref is not None]

    def orphan(self, reason: ExitReason) -> None:
        """Take the children along, for this supervisor was killed; from the killer's thread.

        Each gets an exit signal and its shutdown time, as if it were stopped;
        its name is given back when it has ended, unless a successor of this
        supervisor has taken it over. Who waits for a start hears that it is over.
        """
        starts = dict(self._under_way)
        for child in list(self.children.values()):
            start = starts.get(child.key)
            cell = child.ref if start is None else start.cell
            if cell is not None and not cell.is_dead:
                take_along(self._ref, cell, child.spec, reason)
            self.names.release_after(cell, child.key)
        for start in starts.values():
            start.fail(self._ref.dead_error())

    # -- starting ----------------------------------------------------------

    def _start_all(self, step: Start[Ref]) -> Steps | None:
        for place, key in enumerate(step.keys):
            start = self._begin(key, step)
            result = start.look()
            if result is None:
                if not self._concurrent_starts:
                    return self._start_slowly(start, place)
                result = self._leave_alone(start)
                if result is None:
                    continue
            if not self._conclude(start, result):
                return None
        return None

    def _start_slowly(self, start: StartUnderWay, place: int) -> Steps:
        """Wait for one start that goes on, then do those that come after it."""
        result: StartResult[Ref] | None = None
        while True:
            if result is None:
                yield start.until_it_moves()
            elif not self._conclude(start, result):
                return
            else:
                place += 1
                if place == len(start.step.keys):
                    return
                start = self._begin(start.step.keys[place], start.step)
            result = start.look()

    def _begin(self, key: ChildId, step: Start[Ref]) -> StartUnderWay:
        child = self.children[key].attempted()
        arguments, name = self._arguments_of(child), self._name_of(child)
        start = StartUnderWay(self._ref, self.names, child, step, arguments, name=name)
        self._under_way[key] = start
        return start

    def _conclude(self, start: StartUnderWay, result: StartResult[Ref]) -> bool:
        """Do what follows a start; say whether it is no failure."""
        start.cancel_timer()
        try:
            self.carry_out(after_start(self.state, start.attempt, start.step, result))
        finally:
            # Not before it is among the children: a kill looks there too.
            self._under_way.pop(start.attempt.key, None)
        return not isinstance(result, Failed)

    def _leave_alone(self, start: StartUnderWay) -> StartResult[Ref] | None:
        """Let a start go on by itself, unless it is over; a message tells when it has moved."""
        key = start.attempt.key
        while True:
            self.children[key] = start.attempt.starting(start.cell)
            if start.call_when_moved(partial(self._ref.notify, StartMoved(key))):
                return None
            result = start.look()
            if result is not None:
                return result

    def look_at_start(self, key: ChildId) -> None:
        """Go on with a start that was left alone, if this child is starting."""
        start = self._under_way.get(key)
        if start is None:
            return
        result = start.look()
        if result is None:
            result = self._leave_alone(start)
            if result is None:
                return
        try:
            self._conclude(start, result)
        except CallboardError as refusal:
            start.fail(refusal)
        else:
            start.answer(self.ref_of(key))

    def is_meant(self, key: ChildId, ref: Ref) -> bool:
        """Say whether this ref stands for a child: its own, or one that is being replaced.

        As the old one of a child that waits to be restarted does: whoever has it wants the
        child stopped, not the incarnation that has ended.
        """
        start = self._under_way.get(key)
        return self.ref_of(key) is ref or (start is not None and start.attempt.ref is ref)

    def tell_of_start(self, key: ChildId, reply: Future[Any]) -> None:
        """Have somebody told how the start of a child that is starting ends."""
        self._under_way[key].join(reply)

    def ref_of(self, key: ChildId) -> Ref | None:
        """Return a child's ref; None when it is stopped, or there is none."""
        child = self.children.get(key)
        return None if child is None else child.ref

    # -- stopping ----------------------------------------------------------

    def _stop_all(self, step: Stop) -> Steps:
        if not step.is_for_restart:
            for key in step.keys:  # not one of them is waited for, by a sibling that is asked later
                self.names.close(key)
        if step.is_parallel:
            yield from self._stop_at_once(step.keys)
            return
        for key in step.keys:
            yield from self._stop(key)

    def _stop(self, key: ChildId) -> Steps:
        child = self.children[key]
        cell = child.ref
        if cell is None or child.is_restarting:
            self.children[key] = child.stopped()
            self._cut_short(key)
            return
        if not cell.is_dead:
            yield from self._end(cell, child.spec)
        if not cell.has_told:
            yield Until(Deaths((cell,)))
        assert cell.reason is not None
        self._cut_short(key)
        self.carry_out(after_stop(self.state, child, cell.reason))

    def _end(self, cell: Ref, spec: ChildSpec) -> Steps:
        shutdown_s = spec.shutdown_time
        if shutdown_s is BRUTAL_KILL:
            cell.kill()
            return
        if shutdown_s == 0:
            self._ask_and_kill(cell)
            return
        assert isinstance(shutdown_s, (int, float))
        cell.exit(Shutdown())
        timeout_s = None if shutdown_s == math.inf else shutdown_s
        if not (yield Until(Deaths((cell,)), timeout_s)) and not cell.is_dead:
            self._kill_late(cell)

    def _ask_and_kill(self, cell: Ref) -> None:
        """Ask and kill at once, as a time of 0 has it: who does not trap exits obeys the first."""
        if cell.traps_exits:
            self._kill_late(cell)
        else:
            cell.end_at_once(Shutdown())

    def _kill_late(self, cell: Ref) -> None:
        self._system.did_not_stop(cell.path)
        cell.kill()

    def _stop_at_once(self, keys: tuple[ChildId, ...]) -> Steps:
        """Ask all, then wait for each as long as its own time says, counted from now."""
        began_s = self._system.clock.now_s()
        children = [self.children[key] for key in keys]
        running = [child for child in children if child.ref is not None and child.is_running]
        for child in running:
            assert child.ref is not None
            if child.spec.shutdown_time is BRUTAL_KILL:
                child.ref.kill()
            elif child.spec.shutdown_time == 0:
                self._ask_and_kill(child.ref)
            else:
                child.ref.exit(Shutdown())
        yield from self._await_ends(running, began_s)
        yield Until(Deaths([child.ref for child in reversed(running) if child.ref is not None]))
        ended: list[tuple[Child[Ref], ExitReason]] = []
        for child in running:
            assert child.ref is not None
            assert child.ref.reason is not None
            ended.append((child, child.ref.reason))
        for child in children:
            self._cut_short(child.key)
            if not child.is_running:
                self._forget(child.key)
        self.carry_out(after_parallel_stop(self.state, ended))

    def _await_ends(self, running: list[Child[Ref]], began_s: float) -> Steps:
        """Wait for all, those with the shortest times first: one wait for each time there is."""
        by_time: dict[float, list[Ref]] = {}
        for child in running:
            shutdown_s = child.spec.shutdown_time
            assert child.ref is not None
            if not isinstance(shutdown_s, BrutalKill):  # a brutal kill is over at once
                by_time.setdefault(shutdown_s, []).append(child.ref)
        for shutdown_s, cells in sorted(by_time.items(), key=itemgetter(0)):
            left_s = None
            if shutdown_s != math.inf:
                left_s = max(0.0, began_s + shutdown_s - self._system.clock.now_s())
            if not (yield Until(Deaths(reversed(cells)), left_s)):
                for cell in cells:
                    if not cell.is_dead:
                        self._kill_late(cell)

    def _cut_short(self, key: ChildId) -> None:
        """Take it that a child was stopped: if it was starting, that start is over."""
        start = self._under_way.pop(key, None)
        if start is not None:
            start.was_stopped()

    def _forget(self, key: ChildId) -> None:
        self.children.pop(key, None)
        self.names.release(key)
