"""What does a session need before it works, and what is undone when it ends? Steps, as data.

A `Planner` looks at a session's snapshot and says which steps it needs; `plan` puts
those of all planners in order. The session's actor does them one after the other
(`actor.py`, by `errands.py`), the last one first when it undoes them. Whoever
brings a new kind of thing brings a planner, and gives it to the system:

    def agents(session: Session) -> tuple[Step, ...]:
        if session.agent is None:
            return ()
        return (Step(name="agent", do=start_agent, undo=end_agent, do_s=20.0, is_redone=True),)

    services.planners.append(agents)

- `do(session, vault)` is called in an actor of its own, so it may block, or be a
  coroutine function; when its time is over it is killed. It returns the fields of
  the snapshot that it sets (`{"workspace": path}`), or None. It gets secrets from
  the vault, which takes them out of the error's text again.
- `undo(session)` is called in the same way, on every ending, whether `do` was
  finished, failed half-way or was killed: it must not mind finding nothing. The
  snapshot is the last one: it holds what `do` of this and earlier steps set.
- A step without `do` is only undone: on every ending, as the cleaner is.
- A step with `otherwise` may fail: the session does without.
- A step that `is_redone` is done again by an incarnation that follows a crash or
  a sleep (ACTIVE -> SPAWNING -> ACTIVE). A failure then is a crash like others: the
  session's budget decides, and what it holds is kept.

The first spawn that fails, or is struck by a crash, is undone and ends the session;
who created it gets the first cause. A session without steps knows nothing of all this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from callboard.actors.checks import check_patch
from callboard.actors.errors import PromptError, SessionError, SpawnError
from callboard.actors.limits import SessionLimits
from callboard.actors.prompts import PromptComposer
from callboard.actors.secrets import Vault
from callboard.actors.sessions.cleaning import Cleaner
from callboard.actors.sessions.data import Session, SessionPatch
from callboard.actors.sessions.states import SessionState
from callboard.actors.workspace import WorkspaceProvider

DO_S: Final = 4.0
"""Seconds that a step may take unless it says otherwise."""

UNDO_S: Final = 4.0
"""Seconds that undoing a step may take unless it says otherwise: less than a grace of 5 s."""

CAUSE_CHARS_MAX: Final = 500
"""How much of a foreign error's text the creator gets."""

AGAIN: Final = "respawn"
"""The reason of SPAWNING when a session was ACTIVE before: then a crash does not end it."""

WORKSPACE: Final = "workspace"
"""The step that makes a session's folder."""

STRUCK: Final = "crashed while it was being spawned"
"""The reason of TERMINATING when an incarnation ended before the first spawn was over."""

Changes: TypeAlias = Mapping[str, object]
"""Fields of the snapshot, by name, with what they become."""

Do: TypeAlias = Callable[[Session, Vault], "Changes | Awaitable[Changes | None] | None"]
Undo: TypeAlias = Callable[[Session], "Awaitable[None] | None"]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a session needs.

    Args:
        name: what it is called in events and errors.
        do: makes it; see the module. None: there is nothing to make.
        undo: takes it away; None: there is nothing to take away.
        do_s: seconds that `do` may take.
        undo_s: seconds that `undo` may take.
        otherwise: what the snapshot gets when `do` fails; None: then the spawn has failed.
        is_redone: whether a later incarnation must do it again.
    """

    name: str
    do: Do | None = None
    undo: Undo | None = None
    do_s: float = DO_S
    undo_s: float = UNDO_S
    otherwise: Changes | None = None
    is_redone: bool = False


Planner: TypeAlias = Callable[[Session], tuple[Step, ...]]
"""Says which steps a session needs: the same ones for every snapshot of one session."""


def plan(planners: Iterable[Planner], session: Session) -> tuple[Step, ...]:
    """Return all that a session needs, in the order in which it is done."""
    return tuple(step for planner in planners for step in planner(session))


def to_do(steps: tuple[Step, ...], *, again: bool = False) -> tuple[Step, ...]:
    """Return what is to be done, in order; of a session that was ACTIVE before: again."""
    return tuple(step for step in steps if step.do is not None and (step.is_redone or not again))


def to_undo(steps: tuple[Step, ...], *, begun: Step | None = None) -> tuple[Step, ...]:
    """Return what is to be undone, in order: the last one first.

    Args:
        steps: the plan.
        begun: the last step that was begun; None: nobody knows, so it is all of them.
    """
    reached = len(steps) if begun is None else steps.index(begun) + 1
    return tuple(
        step
        for place, step in reversed(tuple(enumerate(steps)))
        if step.undo is not None and (place < reached or step.do is None)
    )


def is_half_spawned(session: Session) -> bool:
    """Say whether a session has never been ACTIVE, and was on the way there."""
    return session.state is SessionState.SPAWNING and session.state_reason != AGAIN


def must_end(session: Session) -> bool:
    """Say whether a session whose incarnation has ended can only be undone.

    Its first spawn was under way, or its cleanup was.
    """
    return is_half_spawned(session) or session.state is SessionState.TERMINATING


def cause_of(step: Step, session: Session, error: BaseException, vault: Vault) -> SessionError:
    """Return what the creator gets because a step failed: its own refusal, or a SpawnError.

    No secret of the step is in it: not in its text, its fields, or what led to it.
    """
    refusal = vault.refusal(error)
    if refusal is not None:
        return refusal
    said = f"{type(error).__name__}: {vault.said(error)}"[:CAUSE_CHARS_MAX]
    return SpawnError(f"step {step.name!r} of session {session.id} failed: {said}")


# -- the planners of the ports ---------------------------------------------


def workspaces(
    provider: WorkspaceProvider, *, removed: Callable[[], object], undo_s: float = UNDO_S
) -> Planner:
    """Return what plans a folder for each session.

    Args:
        provider: makes and removes it.
        removed: called when one was removed: it may have left something to be cleared.
        undo_s: seconds that removing it may take.
    """

    def make(session: Session, _: Vault) -> Changes:
        return {"workspace": provider.make(session.user_id, session.id)}

    def remove(session: Session) -> None:
        try:
            provider.remove(session.user_id, session.id)
        finally:
            removed()

    steps = (Step(name=WORKSPACE, do=make, undo=remove, undo_s=undo_s),)
    return lambda _: steps


def prompts(
    composer: PromptComposer, *, default: str | None, is_strict: bool, limits: SessionLimits
) -> Planner:
    """Return what plans a system prompt for each session.

    Args:
        composer: composes it.
        default: what a session gets when that fails.
        is_strict: whether it gets nothing then, and its creation fails.
        limits: how long a prompt may be.
    """

    def compose(session: Session, _: Vault) -> Changes:
        prompt: Any = composer.compose(session.user_id, session.org_id, session.variables)
        if type(prompt) is not str:
            msg = f"the composer returned {type(prompt).__name__}, not str"
            raise PromptError(msg)
        check_patch(SessionPatch(system_prompt=prompt), limits)
        return {"system_prompt": prompt}

    otherwise = None if is_strict else {"system_prompt": default}
    steps = (Step(name="prompt", do=_strictly(compose), otherwise=otherwise),)
    return lambda _: steps


def _strictly(compose: Callable[[Session, Vault], Changes]) -> Do:
    """Have every failure of a composer be a PromptError."""

    def composed(session: Session, vault: Vault) -> Changes:
        try:
            return compose(session, vault)
        except PromptError:
            raise
        except Exception as error:  # a port's foreign code, translated
            msg = f"{type(error).__name__}: {error}"[:CAUSE_CHARS_MAX]
            raise PromptError(msg) from error

    return composed


def cleaners(cleaner: Cleaner, *, undo_s: float = UNDO_S) -> Planner:
    """Return what plans the host's own cleanup: the last step, and so the first to be undone.

    Args:
        cleaner: does it.
        undo_s: seconds that it may take.
    """
    steps = (Step(name="cleaner", undo=cleaner.clean, undo_s=undo_s),)
    return lambda _: steps
