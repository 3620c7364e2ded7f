"""A child has ended: is it restarted, who with it, or is it all over? The heart of supervision."""

from __future__ import annotations

from typing import Generic

import msgspec

from callboard.supervision.model import reporting
from callboard.supervision.model.child import Child, RefT
from callboard.supervision.model.happenings import DelayOver, Exited, Happening, RetryDue
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.plan import (
    End,
    Forget,
    IfFails,
    Plan,
    Postpone,
    Put,
    Remember,
    Start,
    Step,
    Stop,
)
from callboard.supervision.model.reasons import ExitReason, Shutdown, is_abnormal
from callboard.supervision.model.specs import AutoShutdown, ChildId, RestartType, Strategy
from callboard.supervision.model.state import SupervisorState


def decide(
    state: SupervisorState[RefT],
    happened: Happening[RefT],
    *,
    now_s: float,
    chance: float = 0.5,
) -> Plan[RefT]:
    """Say what is to be done about a child that has ended or waits to be restarted.

    What is about an incarnation that is no longer the current one, or about a
    wait that is not the present one, calls for nothing: an empty plan. Nor does the end
    of one that is still starting: that ends its start, and `after_start` decides.

    Every attempt to restart is counted before it is made. A child's own budget
    comes first; when it is spent that child alone is given up, and the
    supervisor's count is spared. Under `ONE_FOR_ALL` and `REST_FOR_ONE` others
    depend on the child, so there the supervisor gives up.

    Args:
        state: the supervisor as it is.
        happened: what it has just learnt.
        now_s: monotonic seconds; never wall time.
        chance: a random number from 0 to 1, for the jitter of a backoff.

    Source: OTP supervisor.erl, `restart_child/3`, `do_restart/3`, `restart/2` and
    `handle_cast({try_again_restart, _}, _)`.
    """
    child = state.children.get(happened.key)
    if child is None:
        return ()
    if isinstance(happened, Exited):
        if child.ref != happened.ref or child.is_restarting or child.is_starting:
            return ()
        return _after_exit(_Case(state, child, happened.reason, now_s, chance))
    if child is not happened.child:
        return ()
    match happened:
        case RetryDue(reason=reason):
            return _restart(_Case(state, child, reason, now_s, chance))
        case DelayOver():
            return _bring_back(state, child)


def calls_for_restart(restart: RestartType, reason: ExitReason) -> bool:
    """Say whether a child of this restart type that ended so is restarted.

    `Killed` is an abnormal reason like any other.

    Source: OTP supervisor.erl, `do_restart/3`.
    """
    match restart:
        case RestartType.PERMANENT:
            return True
        case RestartType.TRANSIENT:
            return is_abnormal(reason)
        case RestartType.TEMPORARY:
            return False


def group_of(state: SupervisorState[RefT], key: ChildId) -> tuple[Child[RefT], ...]:
    """Return the children that are restarted together with this one, itself included.

    Returns:
        In start order.

    Source: OTP supervisor.erl, `restart/3`.
    """
    children = state.children
    match state.flags.strategy:
        case Strategy.ONE_FOR_ONE:
            return (children[key],)
        case Strategy.ONE_FOR_ALL:
            return tuple(children.values())
        case Strategy.REST_FOR_ONE:
            keys = tuple(children)
            return tuple(children[each] for each in keys[keys.index(key) :])


def settled(state: SupervisorState[RefT], child: Child[RefT]) -> Step[RefT]:
    """Return the step for a child that ended for good: its spec stays, stopped, or goes with it.

    Source: OTP supervisor.erl, `del_child/2`; Elixir DynamicSupervisor, `delete_child/2`.
    """
    return Forget((child.key,)) if state.forgets(child) else Put(child.stopped(), is_final=True)


class _Case(msgspec.Struct, Generic[RefT], frozen=True):
    """All that the rules below look at."""

    state: SupervisorState[RefT]
    child: Child[RefT]
    reason: ExitReason
    now_s: float
    chance: float


def _after_exit(case: _Case[RefT]) -> Plan[RefT]:
    state, child, reason = case.state, case.child, case.reason
    if calls_for_restart(child.spec.restart, reason):
        return _restart(case)
    if is_abnormal(reason):
        return (*reporting.crashed(state, child, reason, None), *_end_for_good(case))
    return (*reporting.finished(state, child, reason), *_end_for_good(case))


def _restart(case: _Case[RefT]) -> Plan[RefT]:
    budget = case.child.window or case.child.spec.budget
    own, is_spent = budget.record(now_s=case.now_s) if budget else (None, False)
    if own and is_spent:
        return (*_reported_crash(case, own), *_give_up_child(case, own))
    limit = case.state.window
    window, has_exceeded = limit.record(now_s=case.now_s) if limit else (None, False)
    reported = _reported_crash(case, window or own)
    if window and has_exceeded:
        return (*reported, *_give_up(case, window))
    remembered = (Remember(window),) if window else ()
    return (*reported, *remembered, *_bring_back_in_time(case, own))


def _reported_crash(case: _Case[RefT], window: RestartWindow | None) -> Plan[RefT]:
    # A start that failed was reported as such when it did.
    if case.child.is_restarting:
        return ()
    return reporting.crashed(case.state, case.child, case.reason, window)


def _give_up_child(case: _Case[RefT], own: RestartWindow) -> Plan[RefT]:
    if case.state.flags.strategy is not Strategy.ONE_FOR_ONE:
        return _give_up(case, own)
    reports = reporting.given_up(case.state, case.child, case.reason, own)
    return (*reports, *_end_for_good(case))


def _give_up(case: _Case[RefT], window: RestartWindow) -> Plan[RefT]:
    state, child = case.state, case.child
    reports = reporting.supervisor_gave_up(state, child, case.reason, window)
    return (*reports, settled(state, child), End(Shutdown()))


def _bring_back_in_time(case: _Case[RefT], own: RestartWindow | None) -> Plan[RefT]:
    state, child, backoff = case.state, _counted(case, own), case.child.spec.backoff
    put = () if child is case.child else (Put(child),)
    delay_s = backoff.delay_s(child.delays - 1, chance=case.chance) if backoff else 0.0
    if delay_s <= 0:
        return (*put, *_bring_back(state, child))
    waiting = child.waiting(child.ref)
    reports = reporting.postponed(state, child, delay_s)
    return (Put(waiting), *reports, Postpone(DelayOver(waiting), delay_s))


def _counted(case: _Case[RefT], own: RestartWindow | None) -> Child[RefT]:
    child, backoff = case.child, case.child.spec.backoff
    if backoff is None:
        return child if own is None else msgspec.structs.replace(child, window=own)
    # Only a life can be calm: a child that waits had none since it was last counted.
    lived_s = 0.0 if child.is_restarting else case.now_s - child.started_at_s
    delays = 0 if lived_s >= backoff.reset_after_s else child.delays
    return msgspec.structs.replace(child, window=own, delays=delays + 1)


def _bring_back(state: SupervisorState[RefT], child: Child[RefT]) -> Plan[RefT]:
    if state.flags.strategy is Strategy.ONE_FOR_ONE:
        return (Start((child.key,), IfFails.RETRY, cause=child),)
    group = group_of(state, child.key)
    others = [each for each in group if each.key != child.key]
    # Those that only wait to be restarted are stopped too: they wait no longer.
    stopped = tuple(each.key for each in reversed(others) if not each.is_stopped)
    gone = tuple(each.key for each in others if each.is_temporary)
    started = tuple(each.key for each in group if not each.is_temporary)
    steps: list[Step[RefT]] = [Put(child.stopped())]
    if stopped:
        steps.append(Stop(stopped, is_for_restart=True))
    if gone:
        steps.append(Forget(gone))
    return (*steps, Start(started, IfFails.RETRY, cause=child))


def _end_for_good(case: _Case[RefT]) -> Plan[RefT]:
    state, child = case.state, case.child
    if not _ends_supervisor(state, child):
        return (settled(state, child),)
    reports = reporting.supervisor_finished(state, child)
    return (settled(state, child), *reports, End(Shutdown()))


def _ends_supervisor(state: SupervisorState[RefT], child: Child[RefT]) -> bool:
    if not child.spec.significant:
        return False
    match state.flags.auto_shutdown:
        case AutoShutdown.NEVER:
            return False
        case AutoShutdown.ANY_SIGNIFICANT:
            return True
        case AutoShutdown.ALL_SIGNIFICANT:
            return not any(
                each.spec.significant and not each.is_stopped and each.key != child.key
                for each in state.children.values()
            )
