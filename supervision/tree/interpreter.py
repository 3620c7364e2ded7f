"""Carries out what the model decided, step by step, and has no opinions of its own.

A plan is carried out as an operation of the supervisor's cell: it waits for a
child by yielding `Until`, without a thread, while the supervisor's mailbox is
held. So nobody sees a plan half done, as in OTP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from callboard.supervision.model.child import Child
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.model.events import TreeEvent
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
from callboard.supervision.model.reasons import ExitReason, Killed, Shutdown
from callboard.supervision.model.specs import (
    BRUTAL_KILL,
    BrutalKill,
    ChildId,
    ChildSpec,
    SupervisorFlags,
)
from callboard.supervision.model.starting import (
    Failed,
    Ignored,
    Started,
    StartResult,
    after_start,
    timed_out,
)
from callboard.supervision.model.state import SupervisorState
from callboard.supervision.model.stopping import after_parallel_stop, after_stop
from callboard.supervision.runtime.crashes import crashed
from callboard.supervision.runtime.names import Address, NameTaken
from callboard.supervision.runtime.operations import Deaths, Until

if TYPE_CHECKING:
    from callboard.supervision.runtime.cell import Cell
    from callboard.supervision.runtime.system import ActorSystem

Ref: TypeAlias = "Cell[Any]"
Steps: TypeAlias = Generator[Until, bool, Any]


class Interpreter:
    """One supervisor's table of children, and the only code that changes it.

    Args:
        ref: the supervisor.
        name: its path, for events.
        flags: how it treats its children.
        is_dynamic: whether children have no lasting place.
        arguments_of: the positional arguments for a child's start.
        report: gets every event.
    """

    def __init__(
        self,
        ref: Ref,
        *,
        name: str,
        flags: SupervisorFlags,
        is_dynamic: bool,
        arguments_of: Callable[[Child[Ref]], tuple[object, ...]],
        report: Callable[[TreeEvent], None],
    ) -> None:
        self._ref = ref
        self._system: ActorSystem = ref.system
        self._arguments_of = arguments_of
        self._report = report
        self._addresses: dict[ChildId, Address[Any]] = {}
        self.children: dict[ChildId, Child[Ref]] = {}
        self.state: SupervisorState[Ref] = SupervisorState(
            name=name,
            flags=flags,
            children=self.children,
            window=flags.new_window(),
            is_dynamic=is_dynamic,
        )
        self._starting: Ref | None = None
        self._starting_spec: ChildSpec | None = None
        self.ends_with: ExitReason | None = None
        """Set by a plan that ends the supervisor: the reason."""

    def carry_out(self, plan: Plan[Ref]) -> Steps:
        """Do the steps in order; return whether all starts succeeded.

        Raises:
            CallboardError: the refusal that the plan ends with.
        """
        for step in plan:
            match step:
                case Report(event=event):
                    self._report(event)
                case Remember(window=window):
                    self.state = msgspec.structs.replace(self.state, window=window)
                case Put(child=child):
                    self.children[child.key] = child
                case Forget(keys=keys):
                    for key in keys:
                        self._forget(key)
                case Stop(keys=keys, is_parallel=False):
                    for key in keys:
                        yield from self._stop(key)
                case Stop(keys=keys):
                    yield from self._stop_at_once(keys)
                case Start():
                    if not (yield from self._start_all(step)):
                        return False
                case Retry(due=due):
                    self._ref.notify(due)
                case Postpone(due=delay, delay_s=delay_s):
                    due_s = self._system.clock.now_s() + delay_s
                    self._system.timers.call_at(due_s, self._ref.notify, delay)
                case Refuse(error=error):
                    raise error
                case End(reason=reason):
                    self.ends_with = reason
        return True

    def refs(self) -> list[Ref]:
        """Return the children's refs, in start order, with the one that is starting; any thread."""
        starting = self._starting
        refs = [child.ref for child in list(self.children.values()) if child.ref is not None]
        return refs if starting is None or starting in refs else [*refs, starting]

    def release_names(self) -> None:
        """Give back the names that this supervisor took for its children."""
        for key in list(self._addresses):
            self._release_name(key)

    def orphan(self, reason: ExitReason) -> None:
        """Take the children along, for this supervisor was killed; from the killer's thread.

        Each gets an exit signal and its shutdown time, as if it were stopped;
        its name is given back when it has ended, unless a successor of this
        supervisor has taken it over.
        """
        starting, spec = self._starting, self._starting_spec
        if starting is not None and spec is not None:
            self._take_along(starting, spec, reason)
        for child in list(self.children.values()):
            cell = child.ref
            if cell is None or cell.is_dead:
                self._release_name(child.key)
                continue
            self._take_along(cell, child.spec, reason)
            if not cell.when_dead(("name", self), partial(self._released, child.key)):
                self._release_name(child.key)

    def _released(self, key: ChildId, _reason: ExitReason) -> None:
        self._release_name(key)

    def _take_along(self, cell: Ref, spec: ChildSpec, reason: ExitReason) -> None:
        cell.exit_from(self._ref, reason)
        shutdown_s = spec.shutdown_time
        if isinstance(shutdown_s, (int, float)) and shutdown_s != math.inf:
            due_s = self._system.clock.now_s() + shutdown_s
            self._system.timers.call_at(due_s, cell.kill)

    def _release_name(self, key: ChildId) -> None:
        address = self._addresses.pop(key, None)
        if address is None:
            return
        with self._system.rare:  # a successor takes it over, or it goes: not both
            if address.owner is not self:
                return
            if self._system.names.get(address.name) is address:
                del self._system.names[address.name]
        self._system.release(address)

    # -- starting ----------------------------------------------------------

    def _start_all(self, step: Start[Ref]) -> Steps:
        for key in step.keys:
            child = self.children[key].attempted()
            result = yield from self._start(child)
            try:
                yield from self.carry_out(after_start(self.state, child, step, result))
            finally:
                # Not before it is among the children: a kill looks there too.
                self._starting = None
            if isinstance(result, Failed):
                return False
        return True

    def _start(self, child: Child[Ref]) -> Generator[Until, bool, StartResult[Ref]]:
        spec = child.spec
        try:
            address = yield from self._address_of(child)
            cell: Ref = self._system.start_child(
                self._ref,
                cast("Callable[..., Any]", spec.start),  # the model knows no actor classes
                self._arguments_of(child),
                _plain(spec.kwargs),
                address=address,
                tag=child.key,
                incarnation=child.incarnation,
            )
        except (CallboardError, RuntimeError) as error:  # the name is taken, or no thread is left
            return Failed(crashed(error))
        self._starting_spec = spec
        self._starting = cell
        if self._ref.is_dead:  # killed just now: who let its children go did not know this one
            self._take_along(cell, spec, Killed())
        if not cell.is_started and not cell.has_told:
            is_in_time = yield Until(lambda: cell.is_started or cell.has_told, spec.start_limit_s)
            if not is_in_time:
                cell.kill()
                if isinstance(cell.reason, Killed):  # it may have failed by itself just now
                    return timed_out(spec)
        if cell.is_started:
            return Started(cell, self._system.clock.now_s())
        assert cell.reason is not None
        return Ignored() if cell.is_ignored else Failed(cell.reason)

    def _address_of(self, child: Child[Ref]) -> Generator[Until, bool, Address[Any] | None]:
        """Return the address for a child's name; whoever lives there must have ended before."""
        name = child.spec.name
        if name is None:
            return None
        while True:
            address = self._system.lookup(name)
            if address is None:
                address = self._system.reserve(name, keeps_mailbox=child.spec.keeps_mailbox)
                address.owner = self
                self._addresses[child.key] = address
                return address
            holder = address.ref
            if self._is_taken(address, holder):
                raise NameTaken(name, address)
            if address.owner in {None, self} or self._adopts(address, child.key):
                break
        # A predecessor whose supervisor was killed: it still cleans up.
        poke = self._ref.poke
        if holder is not None and holder.when_dead(("successor", self), lambda _reason: poke()):
            yield Until(lambda: holder.is_dead)
        return address

    def _is_taken(self, address: Address[Any], holder: Ref | None) -> bool:
        """Say whether somebody lives there, or will again, who is no orphan."""
        if holder is not None and not holder.is_dead:
            return holder.parent is None or not holder.parent.is_dead
        owner = address.owner
        return isinstance(owner, Interpreter) and owner is not self and not owner.is_over

    @property
    def is_over(self) -> bool:
        """Whether the supervisor has ended."""
        return self._ref.is_dead

    def _adopts(self, address: Address[Any], key: ChildId) -> bool:
        """Take an address over from a killed supervisor, unless it is given back just now."""
        with self._system.rare:
            if self._system.names.get(address.name) is not address:
                return False
            address.owner = self
        self._addresses[key] = address
        return True

    # -- stopping ----------------------------------------------------------

    def _stop(self, key: ChildId) -> Steps:
        child = self.children[key]
        cell = child.ref
        if cell is None or child.is_restarting:
            self.children[key] = child.stopped()
            return
        if not cell.is_dead:
            yield from self._end(cell, child.spec)
        if not cell.has_told:
            yield Until(lambda: cell.has_told)
        assert cell.reason is not None
        yield from self.carry_out(after_stop(self.state, child, cell.reason))

    def _end(self, cell: Ref, spec: ChildSpec) -> Steps:
        shutdown_s = spec.shutdown_time
        if shutdown_s is BRUTAL_KILL:
            cell.kill()
            return
        assert isinstance(shutdown_s, (int, float))
        cell.exit(Shutdown())
        timeout_s = None if shutdown_s == math.inf else shutdown_s
        if not (yield Until(lambda: cell.is_dead, timeout_s)):
            self._kill_late(cell)

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
            if not child.is_running:
                self._forget(child.key)
        yield from self.carry_out(after_parallel_stop(self.state, ended))

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

    def _forget(self, key: ChildId) -> None:
        self.children.pop(key, None)
        self._release_name(key)


def _plain(kwargs: Mapping[str, object]) -> dict[str, Any]:
    return dict(kwargs) if kwargs else {}
