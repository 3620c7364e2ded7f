"""What do sessions leave behind when their system is stopped? Taken away, or named.

For the host's thread, in the time that a stop has; what may wait for ever is done by actors, which
are killed when that is over.
"""

from __future__ import annotations

from typing import Final

from callboard.actors.errors import StoreError
from callboard.actors.sessions.caretaking import take_care
from callboard.actors.sessions.clearing import Clearing
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.ending import STOPPED, UNDERTAKERS_AT_ONCE_MAX
from callboard.actors.sessions.errands import Errand, Go, Undertaker
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.spawn import WORKSPACE, Step, plan, to_undo
from callboard.actors.sessions.states import SessionState, Transition
from callboard.actors.sessions.table import Row
from callboard.supervision import ActorRef, ActorSystem, CallboardError
from callboard.supervision.model.reasons import is_abnormal

NO_TIME: Final = "there was no time for it"
"""Why something is left that nothing else was in the way of."""


def undo_all(services: Services, until_s: float) -> tuple[str, ...]:
    """Undo what sessions have that no part of the tree lives to undo; return what failed.

    As the manager does for a session without an actor, so many at once: the steps are undone by an
    undertaker, and the session's row goes. Nobody else may come to the table any more.

    Args:
        services: what the parts shared.
        until_s: when to give up, in the dispatcher's time.
    """
    system, failed = services.system, list[str]()
    rows = [row for row in services.table.rows() if _steps(services, row.session())]
    for first in range(0, len(rows), UNDERTAKERS_AT_ONCE_MAX):
        if system.dispatcher.now_s() >= until_s:
            break
        at_once = rows[first : first + UNDERTAKERS_AT_ONCE_MAX]
        under_way = [(row, _begin(services, row, failed)) for row in at_once]
        for row, undertaker in under_way:
            left_s = max(0.0, until_s - system.dispatcher.now_s())
            reason = None if undertaker is None else undertaker.wait(left_s)
            if reason is not None and not is_abnormal(reason):
                _end(services, row)
            elif undertaker is not None:
                undertaker.kill()  # its row stays, and says that it was not done
    return tuple(failed)


def not_undone(services: Services) -> tuple[str, ...]:
    """Return what of sessions is still to be undone, but their folders, which are `clear_all`'s."""
    return tuple(
        _named(step.name, session)
        for session in [row.session() for row in services.table.rows()]
        for step in _steps(services, session)
        if step.name != WORKSPACE
    )


def clear_all(system: ActorSystem, clearing: Clearing, until_s: float) -> tuple[str, ...]:
    """Remove the folders of all sessions, and delete what was removed; return what is left.

    Args:
        system: the actor system.
        clearing: the folders.
        until_s: when to give up, in the dispatcher's time.
    """
    why: list[str] = []

    def clear() -> None:
        try:
            clearing.provider.sweep(())
        except Exception as error:  # noqa: BLE001 -- named edge: a cleanup step
            why.append(str(error) or type(error).__name__)
        remains = clearing.step()
        while remains.folders and remains.error is None:
            remains = clearing.step()
        if remains.error is not None:
            why.append(remains.error)

    errand = system.spawn(Errand, clear)
    try:
        errand.ask(Go(), timeout=max(0.0, until_s - system.dispatcher.now_s()))
    except CallboardError:
        errand.kill()
        why.append(NO_TIME)
    if not why:
        return ()
    said = f"folders of {clearing.provider!r}, {clearing.left} of them to be deleted"
    return (f"{said}: {'; '.join(why)}",)


# -- one session -----------------------------------------------------------


class _Failures:
    """Hears how each step went, and keeps which did not go well."""

    def __init__(self, failed: list[str]) -> None:
        self._failed = failed

    def tell(self, session: Session, kind: EventKind, /, **details: object) -> None:
        """Note a step that has failed."""
        del kind
        name = str(details.get("name"))
        if not details.get("ok") and name != WORKSPACE:
            self._failed.append(_named(name, session))


def _begin(services: Services, row: Row, failed: list[str]) -> ActorRef[Undertaker] | None:
    """Have a session undone; None: the store did not keep that it ends, so it is as it was."""
    draft = take_care(services.addresses.kept(row), services.limits)
    draft.move(Transition.TERMINATE, wall_s=services.system.clock.wall_s(), reason=STOPPED)
    is_kept = _is_kept(services, draft)
    draft.let_go()
    if not is_kept:
        return None
    session = row.session()
    return services.system.spawn(Undertaker, session, _steps(services, session), _Failures(failed))


def _end(services: Services, row: Row) -> None:
    draft = take_care(services.addresses.kept(row), services.limits)
    reason = draft.session.state_reason
    draft.move(Transition.CLEAN, wall_s=services.system.clock.wall_s(), reason=reason)
    _is_kept(services, draft)
    draft.let_go()
    services.table.remove(row.id)


def _is_kept(services: Services, draft: Draft) -> bool:
    try:
        if draft.has_changed:
            services.keep(draft)
    except StoreError:
        draft.rebase()
        return False
    return True


def _steps(services: Services, session: Session) -> tuple[Step, ...]:
    """Return what a session has to be undone, but for its connections: they went with the tree."""
    if session.state is SessionState.CLEANED:
        return ()
    return to_undo(plan(services.planners, session))


def _named(step: str, session: Session) -> str:
    return f"{step} of session {session.id}"
