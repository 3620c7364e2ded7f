"""One session at work: what a behaviour is a subclass of, and the messages of every session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from callboard.actors.checks import check_patch
from callboard.actors.errors import InvalidField, UpdateFailed
from callboard.actors.messages import (
    AppendMessage,
    IncrementMessageCount,
    RecordActivity,
    UpdateSession,
    UpdateSystemPrompt,
)
from callboard.actors.sessions.committing import D
from callboard.actors.sessions.data import Session, SessionPatch
from callboard.actors.sessions.living import LivingActor
from callboard.supervision import handles

DETAIL_CHARS_MAX: Final = 200
"""Characters of the text of what an update's function raised, in `UpdateFailed`."""

START_S: Final = 4.0
"""Seconds that the start of a session may take unless its class says otherwise.

Less than an ask's 5 s, so that whoever creates a session hears why it did not start.
"""


class SessionActor(LivingActor[D]):
    """The behaviour of a session. Subclass it with messages and data of your own.

        class Asked(msgspec.Struct, frozen=True):
            questions: int = 0

        class Guide(SessionActor[Asked]):
            @handles(Question)
            def on_question(self, message: Question) -> str:
                self.append(Role.USER, message.text)
                ...

    One message, one commit: what a handler changed is kept and published
    together when it returns, and none of it when it raises. A refusal leaves
    the session as it was; any other exception ends this incarnation, and the
    next one goes on from the last commit. What the store does not keep is undone,
    and the asker gets StoreError in place of the reply. Plain attributes are a cache that dies
    with the incarnation; what must live on is in the log and in `data`.

    A value of a wrong type that the behaviour gives to `append` or `update` is its own slip, not
    its asker's: `InvalidSpec`, a crash like any other, which is counted, told and logged.

    `SessionSystem.ask` and `tell` bring it `SessionMessage`s. Other frozen structs come by
    its own address (`SessionSystem.address`), from timers, monitors and the actor itself.

    Args:
        row: the session's place in the table.
        services: what the system lends.
    """

    hand_off: ClassVar[bool] = True
    """A plain session's handlers are short. A subclass says so itself, or runs on the pool."""

    start_s: ClassVar[float | None] = START_S
    """How long `__init__` and `on_start` may take, in seconds; None: as long as they take.

    What has not started by then is killed. A create is answered with `SpawnError`; a session
    that was to come back counts it as a crash.
    """

    starts_at_once: ClassVar[bool] = True
    """Whether `__init__`, `on_start` and `initial_data` wait for nothing, as this class's own do.

    They then run on the partition's thread, where `start_s` does not end them. A subclass with
    one of its own says so itself, or starts on the pool.
    """

    callboard_starts: ClassVar[tuple[str, ...]] = (
        *LivingActor.callboard_starts,
        "initial_data",
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        cls.hand_off = bool(cls.__dict__.get("hand_off", False))
        super().__init_subclass__(**kwargs)

    # -- the messages of every session -------------------------------------

    @handles(AppendMessage)
    def on_append_message(self, message: AppendMessage) -> int:
        """Append to the log; reply the message's number."""
        appended = self._append(
            message.role,
            message.content,
            client_msg_id=message.client_msg_id,
            metadata=message.metadata,
        )
        return appended.seq

    @handles(UpdateSession)
    def on_update_session(self, message: UpdateSession) -> Session:
        """Change the session in one step; reply the new snapshot."""
        draft, clock = self._working(), self.system.clock
        patch, fn = message.patch, message.fn
        if (patch is None) == (fn is None):
            raise InvalidField("patch", patch, "Give either a patch, or an fn that returns one.")
        draft.expect(message.expected_version)
        if fn is not None:
            patch = self._patch_by(fn, draft.session)
        assert patch is not None, "there is one or the other"
        draft.update(
            patch,
            wall_s=clock.wall_s(),
            now_s=clock.now_s(),
            expected_version=message.expected_version,
        )
        return draft.session

    def _patch_by(self, fn: Callable[[Session], SessionPatch], session: Session) -> SessionPatch:
        """Call the caller's code: whatever it does wrong is its answer, not our crash."""
        try:
            patch: object = fn(session)
        except Exception as error:  # noqa: BLE001 -- its failure is its answer
            raise UpdateFailed(
                session.id, error=type(error).__name__, detail=str(error)[:DETAIL_CHARS_MAX]
            ) from None
        if not isinstance(patch, SessionPatch):
            detail = "it returns no SessionPatch"
            raise UpdateFailed(session.id, error=type(patch).__name__, detail=detail)
        check_patch(patch, self._services.limits)
        return patch

    @handles(IncrementMessageCount)
    def on_increment_message_count(self, message: IncrementMessageCount) -> int:
        """Count a message that is kept elsewhere; reply how many there are."""
        del message
        clock = self.system.clock
        return self._working().count(wall_s=clock.wall_s(), now_s=clock.now_s())

    @handles(RecordActivity)
    def on_record_activity(self, message: RecordActivity) -> float:
        """Note a sign of life; reply when."""
        del message
        clock = self.system.clock
        session = self._working().touch(wall_s=clock.wall_s(), now_s=clock.now_s())
        return session.last_active_at

    @handles(UpdateSystemPrompt)
    def on_update_system_prompt(self, message: UpdateSystemPrompt) -> str | None:
        """Replace the system prompt; reply it."""
        clock, patch = self.system.clock, SessionPatch(system_prompt=message.prompt)
        self._working().update(patch, wall_s=clock.wall_s(), now_s=clock.now_s())
        return message.prompt
