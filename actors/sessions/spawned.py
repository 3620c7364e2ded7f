"""How does a session get what it needs, and how is that undone? By the steps of its plan."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, ClassVar

import msgspec

from callboard.actors.errors import SessionError, StoreError
from callboard.actors.sessions.committing import CommittingActor, D
from callboard.actors.sessions.errands import do, undo
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.failing import StartFailed
from callboard.actors.sessions.internal import CleanUp, EndRefused, SpawnSession
from callboard.actors.sessions.spawn import STRUCK, Step, is_half_spawned, to_do, to_undo
from callboard.actors.sessions.spawning import Spawning
from callboard.actors.sessions.starts import Cause
from callboard.actors.sessions.states import SessionState, Transition
from callboard.supervision import handles


class StepDoneWithout(msgspec.Struct, frozen=True):
    """An event of the system's hook: a step of a spawn failed that the session does without.

    Args:
        session_id: whose.
        step: its name.
        error: what failed, without secrets.
    """

    log_level: ClassVar[int] = logging.WARNING
    log_event: ClassVar[str] = "session.did_without"

    session_id: str
    step: str
    error: str


class RespawnFailed(Exception):
    """A session that has been ACTIVE could not be spawned again; its budget decides."""


class SpawnedActor(CommittingActor[D]):
    """The part of a session's actor that does and undoes the steps of its plan."""

    def continue_with(self, message: Any) -> None:
        """Handle `message` right after this one; after a start, when the session is ACTIVE.

        Raises:
            InvalidSpec: there is one to be handled next already.
        """
        cell = self.actor_ref
        spawn: Any = cell.next_message
        if type(spawn) is SpawnSession and spawn.then is None:
            cell.next_message = SpawnSession(message)
        else:
            super().continue_with(message)

    @handles(SpawnSession)
    async def on_spawn_session(self, message: SpawnSession) -> None:
        """Do the steps of the plan; be ACTIVE, or undo what was done and end."""
        draft, clock = self._working(), self.system.clock
        spawns, steps = self._services.book.spawns, self._services.plan(draft.session)
        is_again = not is_half_spawned(draft.session)
        spawning = spawns.enter(self._row.id)
        begun: Step | None = None
        try:
            for step in to_do(steps, again=is_again):
                begun = step
                await self._do(step, spawning)
                if spawning.cancelled is not None:
                    break
            else:
                draft.move(Transition.ACTIVATE, wall_s=clock.wall_s())
                await self.commit_async()
        except SessionError as cause:
            if is_again and spawning.cancelled is None:
                raise RespawnFailed(str(cause)) from cause
            spawning.fail(cause)
        if draft.session.state is SessionState.ACTIVE:
            session = self._row.session()
            self._services.book.creates.replied(self._row.id, session)
            spawns.take_out(self._row.id)
            spawning.answer(session)
            if message.then is not None:
                self.continue_with(message.then)
            return
        reason = str(spawning.cause) if spawning.cancelled is None else spawning.cancelled
        if spawning.cancelled is None:
            self.system.emit(StartFailed(self._row.id, Cause.CREATE, reason))
        draft.move(Transition.TERMINATE, wall_s=clock.wall_s(), reason=reason)
        try:
            await self.commit_async()
        except StoreError as cause:
            if is_again:  # it was ACTIVE before, so it stays: whoever wanted its end is told
                self._stay(cause)
                spawns.take_out(self._row.id)
                spawning.refuse()
                raise RespawnFailed(str(cause)) from cause
            # Else it is undone all the same: it is half spawned, and so its next incarnation, or
            # the manager, goes on with its end.
        await self._clean_up(to_undo(steps, begun=None if is_again else begun), reason)

    async def _do(self, step: Step, spawning: Spawning) -> None:
        """Do one step and keep what it changes."""
        draft, services = self._working(), self._services
        try:
            changes = await do(self, step, draft.session, services.secrets, sent=spawning.sent)
        except SessionError as cause:
            if step.otherwise is None or spawning.cancelled is not None:
                raise
            error = type(cause).__name__
            services.tell(draft.session, EventKind.ERROR, name=step.name, error=error)
            self.system.emit(StepDoneWithout(draft.session.id, step.name, str(cause)))
            changes = step.otherwise
        draft.enter(changes)
        await self.commit_async()

    async def _clean_up(self, steps: tuple[Step, ...], reason: str = STRUCK) -> None:
        """Undo steps, in this order, and end; the manager then removes the row."""
        draft = self._working()
        spawning = self._services.book.spawns.get(self._row.id)
        errand = None if spawning is None else spawning.errand
        await undo(self, steps, draft.session, self._services, after=errand)
        self._be_clean(reason)

    def _be_clean(self, reason: str = STRUCK) -> None:
        """Note that all is undone, and end. The reason counts if there is none yet."""
        draft, wall_s = self._working(), self.system.clock.wall_s()
        reason = draft.move(Transition.TERMINATE, wall_s=wall_s, reason=reason).state_reason or ""
        draft.move(Transition.CLEAN, wall_s=wall_s, reason=reason)
        with suppress(StoreError):  # the manager finds it so, and tries again
            if draft.has_changed:
                self._keep(draft)  # the manager waits for a durable store
        self.stop()

    def _stay(self, error: StoreError) -> None:
        """Tell the manager, and so who wanted the end, that the store did not keep it."""
        ending = self._services.book.endings.get(self._row.id)
        number = None if ending is None else ending.number
        self._services.announce(EndRefused(self._row, number, error))

    @handles(CleanUp)
    async def on_clean_up(self, message: CleanUp) -> None:
        """Undo all that the session has spawned, and end."""
        del message
        await self._clean_up(to_undo(self._services.plan(self._working().session)))
