"""What has an incarnation changed that is not committed yet? Pure: the actor carries it out.

One message, one commit: a handler's changes are made here, upon what was handed
in before; `hand_in` makes one entry of them, `discard` none. Handlers go on upon
what is handed in but not committed; when the store fails it, `rebase` returns to
the last commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from callboard.actors.errors import (
    IdempotencyConflict,
    SessionHasLog,
    SessionTerminating,
    StoreError,
    VersionConflict,
)
from callboard.actors.limits import DEFAULT_LIMITS, SessionLimits
from callboard.actors.sessions import events
from callboard.actors.sessions.data import Message, Role, Session, SessionPatch, checked_data
from callboard.actors.sessions.frozen import EMPTY, freeze
from callboard.actors.sessions.holds import Hold, HoldKind
from callboard.actors.sessions.log import EMPTY_LOG, Log
from callboard.actors.sessions.owing import Turn
from callboard.actors.sessions.states import SessionState, Transition, next_state, takes_messages
from callboard.actors.storage.chain import Act, DurableLedger, Handed, Pending
from callboard.actors.storage.commits import Committer, Entry
from callboard.actors.storage.kept import CLOSED, Kept, Ledger

SessionKept: TypeAlias = Kept[Session, Log]
SessionLedger: TypeAlias = Ledger[Session, Log]
SessionEntry: TypeAlias = Entry[Session, Log]
"""One commit of a session."""
SessionStore: TypeAlias = Committer[Session, Log]
"""Where sessions hand in their commits."""

_ACTIVE = SessionState.ACTIVE
_TAKEN: SessionKept = Kept(CLOSED, Session(id=""), EMPTY_LOG, 0.0, {})
"""What follows a version that nothing may follow."""


class Draft:
    """The working state of one incarnation. One thread at a time, that of the actor.

    Args:
        ledger: the session's row.
        start: what the incarnation starts from, as `Ledger.begin` or the journal said.
        limits: how large what is given may be.
    """

    __slots__ = (
        "_base",
        "_holds",
        "_made",
        "active_s",
        "incarnation",
        "ledger",
        "limits",
        "log",
        "new_holds",
        "session",
        "turn",
    )

    def __init__(
        self, ledger: SessionLedger, start: SessionKept, limits: SessionLimits = DEFAULT_LIMITS
    ) -> None:
        self.ledger = ledger
        self.limits = limits
        self.incarnation = start.incarnation
        self._base: SessionKept = start
        self.session: Session = start.session
        """The snapshot with all changes so far; its version is the one they will get."""
        self.log: Log = start.log
        """The log with all changes so far."""
        self.active_s = start.active_s
        """When the session was last active, on the monotonic clock."""
        self._holds: dict[Hold, None] | None = None
        self.new_holds: list[Hold] | None = None
        """Those of the handler at work, which `discard` undoes too."""
        self.turn: Turn | None = None
        """The handler at work, if anybody may wait for what becomes of what it changes."""
        self._made: type[SessionKept] = ledger.made
        ledger.hold(self)

    # -- changes -----------------------------------------------------------

    def append(
        self,
        role: Role | str,
        content: str,
        *,
        wall_s: float,
        now_s: float,
        client_msg_id: str | None = None,
        metadata: Mapping[str, object] = EMPTY,
    ) -> Message:
        """Append a message to the log and return it.

        A repeated `client_msg_id` with the same content returns the message
        that is there, and changes nothing.

        Args:
            role: who wrote it.
            content: what it says.
            wall_s: UTC now, seconds since the epoch.
            now_s: monotonic now.
            client_msg_id: the sender's key.
            metadata: what else is known of it.

        Raises:
            SessionTerminating: the session takes nothing new.
            IdempotencyConflict: the key was used with other content.
        """
        session, log = self.session, self.log
        if type(role) is not Role:
            role = Role(role)
        if metadata is not EMPTY:
            metadata = freeze("metadata", metadata, self.limits)
        if client_msg_id is not None:
            known = log.find(client_msg_id)
            if known is not None:
                if (known.role, known.content, known.metadata) != (role, content, metadata):
                    raise IdempotencyConflict("client_msg_id", client_msg_id)
                return known
        if session.state is not _ACTIVE and not takes_messages(session.state):
            raise SessionTerminating(session.id)
        seq = log.last_seq + 1
        message = Message(seq, role, content, wall_s, metadata, client_msg_id)
        self.log = log.append(message)
        self.active_s = now_s
        self.session = msgspec.structs.replace(
            session,
            last_seq=seq,
            message_count=session.message_count + 1,
            last_active_at=wall_s,
            version=self._base.session.version + 1,
        )
        return message

    def update(
        self,
        patch: SessionPatch,
        *,
        wall_s: float,
        now_s: float,
        expected_version: int | None = None,
    ) -> Session:
        """Replace what the patch names, and return the snapshot.

        Args:
            patch: what to replace.
            wall_s: UTC now, seconds since the epoch.
            now_s: monotonic now.
            expected_version: refuse when the session is at another version.

        Raises:
            SessionTerminating: the session takes nothing new.
            VersionConflict: it has changed since the caller looked.
            InvalidField, MessageTooLarge: see `freeze`.
        """
        self.expect(expected_version)
        changes: dict[str, object] = {}
        for field in ("metadata", "variables", "client_capabilities"):
            value: Mapping[str, object] | msgspec.UnsetType | None = getattr(patch, field)
            if value is not msgspec.UNSET:
                changes[field] = None if value is None else freeze(field, value, self.limits)
        if patch.system_prompt is not msgspec.UNSET:
            changes["system_prompt"] = patch.system_prompt
        return self._change(wall_s=wall_s, now_s=now_s, **changes)

    def expect(self, version: int | None) -> None:
        """Refuse a change that was made upon another version, or that comes too late.

        Raises:
            SessionTerminating: the session takes nothing new.
            VersionConflict: it has changed since the caller looked.
        """
        session, current = self.session, self._base.session.version
        if not takes_messages(session.state):
            raise SessionTerminating(session.id)
        if version is not None and version != current:
            raise VersionConflict(session.id, expected_version=version, version=current)

    def set_data(self, data: object, *, wall_s: float, now_s: float) -> Session:
        """Replace the behaviour's own data, and return the snapshot.

        Raises:
            SessionTerminating: the session takes nothing new.
            InvalidSpec: it is neither None nor a frozen msgspec struct, or changes from within.
        """
        if not takes_messages(self.session.state):
            raise SessionTerminating(self.session.id)
        return self._change(wall_s=wall_s, now_s=now_s, data=checked_data(data, self.session.data))

    def touch(self, *, wall_s: float, now_s: float) -> Session:
        """Note a sign of life, and return the snapshot.

        Raises:
            SessionTerminating: the session takes nothing new.
        """
        if not takes_messages(self.session.state):
            raise SessionTerminating(self.session.id)
        return self._change(wall_s=wall_s, now_s=now_s)

    def count(self, *, wall_s: float, now_s: float) -> int:
        """Count a message that is kept elsewhere, and return how many there are.

        Raises:
            SessionTerminating: the session takes nothing new.
            SessionHasLog: it keeps its messages itself.
        """
        session = self.session
        if not takes_messages(session.state):
            raise SessionTerminating(session.id)
        if session.last_seq:
            raise SessionHasLog(session.id)
        count = session.message_count + 1
        return self._change(wall_s=wall_s, now_s=now_s, message_count=count).message_count

    def move(self, event: Transition, *, wall_s: float, reason: str | None = None) -> Session:
        """Go to the next state, and return the snapshot. No activity, as far as idling goes.

        Terminating twice keeps the first reason and time.

        Raises:
            TransitionError: there is no such step.
        """
        session = self.session
        state = next_state(session.state, event)
        if state is session.state:
            return session
        self.session = msgspec.structs.replace(
            session,
            state=state,
            state_reason=reason,
            state_since=wall_s,
            version=self._base.session.version + 1,
        )
        return self.session

    def enter(self, changes: Mapping[str, object]) -> Session:
        """Set fields that a step of the spawn, or a connection, has made; return the snapshot.

        No activity, as far as idling goes.
        """
        version = self._base.session.version + 1
        self.session = msgspec.structs.replace(self.session, **{**changes, "version": version})
        return self.session

    @property
    def next_version(self) -> int:
        """The version that the changes made now will get."""
        return self._base.session.version + 1

    def _change(self, *, wall_s: float, now_s: float, **changes: object) -> Session:
        self.active_s = now_s
        self.session = msgspec.structs.replace(
            self.session,
            last_active_at=wall_s,
            version=self._base.session.version + 1,
            **changes,
        )
        return self.session

    # -- commits -----------------------------------------------------------

    @property
    def has_changed(self) -> bool:
        """Whether there is something to hand in."""
        return self.session is not self._base.session

    @property
    def is_handed_in(self) -> bool:
        """Whether all changes are in the chain, which says what becomes of them. Any thread."""
        base = self._base
        return self.session is base.session and base is self.ledger.tip()

    @property
    def uncommitted(self) -> int:
        """How many commits are handed in and not published yet; none of what was given up."""
        if self._base.successor:  # not undone yet: that comes with the next message
            return 0
        return self._base.session.version - self.ledger.latest().session.version

    def told(self, at: float) -> tuple[events.SessionEvent, ...]:
        """Say what the changes since the last entry tell; see `events.changes`.

        Args:
            at: UTC now, seconds since the epoch.
        """
        return events.changes(self._base.session, self.session, self.log, at=at)

    def hand_in(self, *, events: tuple[object, ...] = ()) -> SessionEntry:
        """Make one entry of all changes so far, and go on upon it.

        Args:
            events: what to announce once it is committed.
        """
        base = self._base
        version = self._made(self.incarnation, self.session, self.log, self.active_s, {})
        self._base = version
        self.new_holds = None
        if self._made is not Kept:
            self.log = self.log.trimmed(up_to_seq=self.ledger.head.session.last_seq)
        return Entry(self.session.id, self.ledger, base, version, events)

    def discard(self) -> None:
        """Undo what the handler has changed and held: it raised."""
        self._return_to(self._base)
        holds, self.new_holds = self.new_holds, None
        for each in holds or ():
            each.release()

    def rebase(self) -> None:
        """Return to what there is: the store did not keep, or take, what was handed in."""
        tip = self.ledger.tip()
        # A later incarnation's commit is not ours to go on from; let the fence refuse us.
        if tip.incarnation == self.incarnation:
            self._return_to(tip)

    @property
    def is_kept(self) -> bool:
        """Whether all that this goes on upon is published."""
        return self._base is self.ledger.latest()

    @property
    def handed(self) -> Pending | None:
        """What of the version that this goes on upon waits to be told; None: it was not handed in.

        Of a durable ledger: what this incarnation has handed in last.
        """
        return self._base.pending if isinstance(self._base, Handed) else None

    @property
    def is_given_up(self) -> bool:
        """Whether what this goes on upon is no more: the store has not kept it, or a fence."""
        return bool(self._base.successor)

    def when_kept(self, act: Act) -> bool:
        """Have `act` called when all that this goes on upon is kept, or not. Once; see `Pending`.

        Returns:
            False when it is kept: then it is not called.
        """
        base, ledger = self._base, self.ledger
        if base is ledger.latest() or not isinstance(ledger, DurableLedger):
            return False
        if isinstance(base, Handed):
            base.pending.when_settled(act)
            return True
        # An incarnation that has handed in nothing yet: what its predecessor did.
        if ledger.when_settled(act):
            return True
        if self.is_given_up:
            act(StoreError("an earlier commit of the session was not kept"))
        return self.is_given_up

    # -- what goes on ------------------------------------------------------

    def hold(self, kind: HoldKind) -> Hold:
        """Note that something goes on beyond the handler, until it is released."""
        if self._holds is None:
            self._holds = {}
        hold = Hold(self._holds, kind)
        if self.new_holds is None:
            self.new_holds = []
        self.new_holds.append(hold)
        return hold

    def holds_back(self, kind: HoldKind) -> bool:
        """Say whether something of this kind goes on. Any thread."""
        holds = self._holds
        return holds is not None and any(each.kind is kind for each in list(holds))

    # -- the end -----------------------------------------------------------

    def let_go(self) -> None:
        """Hold the chain no longer: a newer incarnation has it, or this one has ended.

        Whatever is still handed in afterwards is refused.
        """
        base = self._base
        last = (self.incarnation, base.session, base.log, base.active_s, {0: _TAKEN})
        # Whoever waits for what was handed in last is told what becomes of it all the same.
        self._base = Handed(*last, base.pending) if isinstance(base, Handed) else Kept(*last)
        if self.ledger.holder is self:
            self.ledger.holder = None

    def _return_to(self, kept: SessionKept) -> None:
        self._base = kept
        self.session = kept.session
        self.log = kept.log
        self.active_s = kept.active_s
