"""The messages that the sessions understand: frozen, typed by their reply.

Two kinds. A `SessionMessage` goes to the session's own actor, by its address, and
is handled in the session's order; a user's own messages are of this kind. All
others are the manager's. `READS` need no actor at all: they are answered from
the table, on the caller's thread.

Nothing is checked when a message is made (msgspec checks what it decodes, not
what is constructed); `checks.check` does it before a message is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar

import msgspec

from callboard.actors.sessions.data import Message, Role, Session, SessionId, SessionPatch
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.frozen import EMPTY
from callboard.actors.sessions.links import AgentSpec, McpSpec
from callboard.actors.sessions.relief import MemoryPressure
from callboard.actors.sessions.states import Presence, SessionState
from callboard.supervision.model.requests import Request

if TYPE_CHECKING:
    from callboard.actors.sessions.subscriptions import Subscription  # noqa: F401 -- in a base's text

R_co = TypeVar("R_co", covariant=True)

PAGE_SESSIONS: Final = 100
"""Sessions in one page unless the caller says otherwise."""

PAGE_MESSAGES: Final = 1_000
"""Messages in one page unless the caller says otherwise."""

EVENTS_MAX: Final = 1_000
"""Events that may wait for one subscriber unless it says otherwise."""

TERMINATE_GRACE_S: Final = 5.0
"""Seconds that a session's cleanup may take before what is left is killed."""


class SessionMessage(Request[R_co], Generic[R_co], frozen=True):
    """A message to one session. Subclass it with the reply type and fields of your own.

        class Question(SessionMessage[str], frozen=True, kw_only=True):
            text: str

        sessions.ask(Question(ada.id, text="hello"))       # a str

    Args:
        session_id: whom it is for; the first field, and positional, of every one.
    """

    session_id: SessionId


# -- replies ---------------------------------------------------------------


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list of sessions, in the order of their ids.

    Args:
        ids: their ids.
        sessions: the snapshots; empty when only ids were asked for.
        next_after_id: give it as `after_id` to get the next page; None: this is the last.
    """

    ids: tuple[SessionId, ...] = ()
    sessions: tuple[Session, ...] = ()
    next_after_id: SessionId | None = None


class MessagePage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a session's log.

    Args:
        messages: in order.
        last_seq: number of the log's last message, whether it is in this page or not.
    """

    messages: tuple[Message, ...] = ()
    last_seq: int = 0


class StoreHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the durable store is.

    Args:
        is_taking: whether it took what it was last asked to keep. What it has refused once counts
            until it has taken something again; every 10 seconds that is tried.
        is_damaged: whether something in it was found damaged since the start. That stays so: what
            else can be read and written says nothing of it.
        error: what it says to the last refusal, else of the damage; None: neither.
        remedy: what to do about that.
        waiting: how many commits have been handed in and are not kept yet.
        kept: how many commits it has kept since the start.
        batches: in how many transactions.
        refused: how many commits were not kept since then; their askers were told.
    """

    is_taking: bool = True
    is_damaged: bool = False
    error: str | None = None
    remedy: str | None = None
    waiting: int = 0
    kept: int = 0
    batches: int = 0
    refused: int = 0


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the sessions are.

    Args:
        is_healthy: whether every part of the tree serves, and operations are done: with
            `audit_required`, the last one was not refused since it could not be audited; with a
            durable store, that takes what it is to keep and is not damaged.
        sessions: how many there are.
        presences: how many of them are awake, asleep, restarting, quarantined.
        oldest_idle_s: how long the session that has been idle longest has been so.
        janitor_lag_s: how long the janitor's sweep is overdue.
        failing: the parts of the tree that do not run, or have been at one message for longer than
            `part_hung_after_s`; `audit sink` when it has the last operation refused; `store` while
            that refuses what it is to keep.
        hung: sessions that have been at work on one message for too long, the first few.
        subscriptions: how many are open.
        slow_subscriptions: how many have been closed because their readers were too slow.
        audit_lost: how many records of what was done were not kept; one of an operation that was
            refused is not among them.
        memory_bytes: what the process takes, as the janitor has seen it last; None where
            there is no `memory_max_bytes`, or nobody can tell.
        memory_pressure: how that stands to its bound. It makes the report no less healthy.
        folders_left: how many workspaces that were removed have not been deleted yet: they are
            large, or something is in the way.
        store: how the durable store is; None: there is none.
    """

    is_healthy: bool = True
    sessions: int = 0
    presences: Mapping[Presence, int] = msgspec.field(default_factory=dict[Presence, int])
    oldest_idle_s: float = 0.0
    janitor_lag_s: float = 0.0
    failing: tuple[str, ...] = ()
    hung: tuple[str, ...] = ()
    subscriptions: int = 0
    slow_subscriptions: int = 0
    audit_lost: int = 0
    memory_bytes: int | None = None
    memory_pressure: MemoryPressure = MemoryPressure.WITHIN
    folders_left: int = 0
    store: StoreHealth | None = None


# -- to the session --------------------------------------------------------


class AppendMessage(SessionMessage[int], frozen=True):
    """Append a message to the log; the reply is its number.

    Args:
        session_id: which session.
        role: who wrote it.
        content: what it says.
        client_msg_id: the sender's key: repeated with the same content it appends nothing
            and gets the first reply again (the last 1,024 keys of a session are known).
        metadata: what else is known of it.

    Raises:
        IdempotencyConflict: the key was used before, with other content.
        MessageTooLarge: the content, or the metadata, has too many bytes.
    """

    role: Role
    content: str
    client_msg_id: str | None = None
    metadata: Mapping[str, object] = EMPTY


class UpdateSession(SessionMessage[Session], frozen=True, kw_only=True):
    """Change a session in one step; the reply is the new snapshot. Give `patch` or `fn`.

    Args:
        session_id: which session.
        patch: what to replace.
        fn: a pure function that says what to replace, given what is; in process only. What it
            raises comes back as `UpdateFailed`, and so does a result that is no `SessionPatch`;
            the session is then as it was. It is not called when the version is another one.
        expected_version: refuse with VersionConflict when it is at another version.

    Raises:
        VersionConflict: it is at another version than the expected one.
        UpdateFailed: `fn` raised, or returned no `SessionPatch`.
        InvalidField: both `patch` and `fn` are given, or neither.
        MessageTooLarge: what the patch holds has too many bytes.
    """

    patch: SessionPatch | None = None
    fn: Callable[[Session], SessionPatch] | None = None
    expected_version: int | None = None


class RecordActivity(SessionMessage[float], frozen=True):
    """Give a sign of life; the reply is the new `last_active_at`.

    Args:
        session_id: which session.
        kind: what was done.
    """

    kind: str = "heartbeat"


class UpdateSystemPrompt(SessionMessage[str | None], frozen=True):
    """Replace the prompt that a session works under; the reply is the prompt.

    Args:
        session_id: which session.
        prompt: the whole of it; None takes it away.

    Raises:
        MessageTooLarge: the prompt has too many bytes.
    """

    prompt: str | None


class IncrementMessageCount(SessionMessage[int], frozen=True):
    """Count a message that is kept elsewhere; the reply is the new `message_count`.

    For sessions without a log of their own: an append to the log counts by itself.

    Args:
        session_id: which session.

    Raises:
        SessionHasLog: it keeps its messages itself; an append counts them.
    """


# -- to the manager: create, end, steer ------------------------------------


class CreateSession(Request[Session], frozen=True, kw_only=True):
    """Create a session; the reply is its snapshot, ACTIVE.

    Args:
        user_id: whose it is.
        org_id: the user's organisation.
        agent_role: the part it plays.
        kind: which of the system's behaviours runs it; None: the default one.
        variables: what its prompt is composed with.
        metadata: the creator's own notes.
        client_capabilities: what its client can do.
        agent: the agent to start; the session is ACTIVE when it is up.
        mcp: the MCP clients to open; the session is ACTIVE when all are up.
        client: a `ClientSink` that follows the session from its first message on; in process only.
        session_id: an id of the creator's choice; None: a new UUIDv7. While the session that has it
            is being ended, or undone, the create waits for that as long as its asker does. Of one
            that has ended the new one takes the place: what a durable store still has of that one
            as history, its messages included, is deleted with the first commit of the new one.
        activate: False leaves it CREATED: `BeginSpawn`, or the first message to it, goes on.
        idempotency_key: repeated with the same content it creates nothing and gets the first
            reply again, the snapshot as it was then, also when the session has ended since (the
            last 100,000 keys are known, for 24 hours: `Keeping.keys_max`, `keys_keep_s`). The same
            key of another user or organisation is another key. The next process on a durable store
            knows the keys of the sessions that it finds: it replies what such a session was when
            that process began.

    Raises:
        InvalidUserId, InvalidOrgId: it is missing where both are required (`tenants=True`).
        DuplicateSession: a session has this id already, and is not going.
        DuplicateRole: another session of this user plays the role, where they must differ.
        MaxSessionsReached: there is no place for one more.
        IdempotencyConflict: the key was used before, with other content.
        NoConnector: nothing here can open a connection that it is to have.
        DuplicateMcpClient: two of its MCP clients have one id.
        SpawnError: its actor, or a step of its start, failed or took too long.
        WorkspaceError, PromptError, SecretError: that step of it failed.
        McpConnectError, McpTimeout, AgentTimeout: a connection could not be opened.
        ShuttingDown: no new session is taken any more.
    """

    user_id: str | None = None
    org_id: str | None = None
    agent_role: str | None = None
    kind: str | None = None
    variables: Mapping[str, object] = EMPTY
    metadata: Mapping[str, object] = EMPTY
    client_capabilities: Mapping[str, object] | None = None
    agent: AgentSpec | None = None
    mcp: tuple[McpSpec, ...] | None = None
    client: object | None = None
    session_id: SessionId | None = None
    activate: bool = True
    idempotency_key: str | None = None


class BeginSpawn(Request[Session], frozen=True):
    """Have a session spawned that was created with `activate=False`; the reply is ACTIVE.

    Repeated, or sent when a message has had it spawned already, it gets the snapshot.

    Args:
        session_id: which session.

    Raises:
        SessionNotFound: there is no such session.
        TransitionError: it is being terminated.
        SpawnError, WorkspaceError, PromptError: it did not start; see `CreateSession`.
    """

    session_id: SessionId


class TerminateSession(Request[Session], frozen=True):
    """End a session and clean up after it; the reply is its last snapshot.

    `SessionSystem.ask` waits for longer than the grace, unless it is told how long. A second one
    while the first is at work gets the same reply. StoreError says that the store has not kept
    the end: the session stays as it was, unless its cleanup has begun; then that is tried again
    until it is kept. A handler of that session would wait for itself, and is refused (`AskCycle`):
    it calls `self.end`.

    Args:
        session_id: which session.
        reason: why, for people.
        grace_s: how long the cleanup may take before what is left is killed.

    Raises:
        SessionNotFound: there is no such session.
        StoreError: the store has not kept the end.
    """

    session_id: SessionId
    reason: str = ""
    grace_s: float = TERMINATE_GRACE_S


class CleanupInactive(Request[tuple[SessionId, ...]], frozen=True, kw_only=True):
    """Terminate the sessions that have been idle for too long; the reply is their ids.

    A session whose end the store refuses stays, and is not among them; if it refuses all, the
    reply is its StoreError.

    Args:
        idle_longer_than_s: strictly longer than this; None: the system's own bound.
        dry_run: only say which they would be.

    Raises:
        StoreError: the store has refused every end.
    """

    idle_longer_than_s: float | None = None
    dry_run: bool = False


class PassivateSession(Request[Session], frozen=True):
    """Put an idle session to sleep: its actor ends, its state stays.

    The next message wakes it. A busy one stays awake; the reply's presence says which.

    Args:
        session_id: which session.

    Raises:
        SessionNotFound: there is no such session.
    """

    session_id: SessionId


class ReviveSession(Request[Session], frozen=True):
    """Start a session that is quarantined or asleep; the reply is its snapshot, awake.

    What one in quarantine may crash until it is quarantined again begins anew; for one that sleeps
    the crashes before still count.

    Args:
        session_id: which session.
        patch: what to replace before it starts, so that it does not crash again. In one that
            something else wakes just then it is replaced when it has started, before whatever is
            sent to it later.

    Raises:
        SessionNotFound: there is no such session.
        InvalidField: a patch for one that is neither quarantined nor asleep: send `UpdateSession`.
        SpawnError: it did not start.
        SessionQuarantined: something else was waking it, and it failed to start too often.
        SessionUnreadable: its `data` is not of the type that its behaviour declares.
        StoreDamaged: what the store has of it cannot be read.
        StoreError: the patch was not kept; nothing has changed.
    """

    session_id: SessionId
    patch: SessionPatch | None = None


class Fault(StrEnum):
    """How an injected crash strikes."""

    EXCEPTION = "exception"
    """The actor's next handler raises."""
    KILL = "kill"
    """The actor is killed: dead at once, no cleanup."""
    EXIT = "exit"
    """The actor gets an exit signal with an abnormal reason."""


class InjectCrash(Request[None], frozen=True):
    """Make a part crash, to see that it heals. Only with fault injection switched on.

    Args:
        session_id: which session; None when `part` names another part of the tree.
        part: path of a part of the tree (`front/manager`, `sessions/3`).
        how: in which way.

    Raises:
        SessionNotFound: there is no such session.
        InvalidField: crashes may not be injected here, or there is no such part.
        SessionAsleep, SessionRestarting, SessionQuarantined: there is no actor to be struck.
    """

    session_id: SessionId | None = None
    part: str | None = None
    how: Fault = Fault.EXCEPTION


class Shutdown(Request[tuple[SessionId, ...]], frozen=True):
    """Take no new session and let the work in hand end; the reply is the ids still busy.

    The host then calls `SessionSystem.stop`. `callboard.supervision.Shutdown`, an exit reason, is
    something else; where a module needs both, import this one as `ShutdownSessions`.

    Args:
        grace_s: how long to wait for what is being worked on.
    """

    grace_s: float = TERMINATE_GRACE_S


# -- reads -----------------------------------------------------------------


class GetSession(Request[Session], frozen=True):
    """Read a session's snapshot. Reading is no activity.

    Args:
        session_id: which session.
        messages: how many of its last messages to put into the snapshot.

    Raises:
        SessionNotFound: there is no such session.
    """

    session_id: SessionId
    messages: int = 0


class FindSession(Request[Session | None], frozen=True):
    """Read a session's snapshot, by id or by role; None when there is none.

    Args:
        session_id: which session; or
        agent_role: the oldest that plays this role and is not being terminated,
        user_id: of this user; None: of anybody.

    Raises:
        InvalidField: neither `session_id` nor `agent_role` is given.
    """

    session_id: SessionId | None = None
    agent_role: str | None = None
    user_id: str | None = None


class GetSystemPrompt(Request[str | None], frozen=True):
    """Read the prompt that a session works under; None when it has none.

    Args:
        session_id: which session.

    Raises:
        SessionNotFound: there is no such session.
    """

    session_id: SessionId


class GetMessages(Request[MessagePage], frozen=True):
    """Read a part of a session's log.

    Args:
        session_id: which session.
        after_seq: what follows this number.
        limit: how many at most.

    Raises:
        SessionNotFound: there is no such session.
    """

    session_id: SessionId
    after_seq: int = 0
    limit: int = PAGE_MESSAGES


class ListSessions(Request[SessionPage], frozen=True, kw_only=True):
    """List sessions in the order of their ids, a page at a time. All that is given must hold.

    Args:
        user_id: whose.
        org_id: of which organisation.
        agent_role: playing which part.
        state: in which state.
        presence: in which presence.
        idle_longer_than_s: not active for longer than this.
        after_id: what follows this id (it need not exist any more).
        limit: how many at most.
        fields: "id" for ids only.
    """

    user_id: str | None = None
    org_id: str | None = None
    agent_role: str | None = None
    state: SessionState | None = None
    presence: Presence | None = None
    idle_longer_than_s: float | None = None
    after_id: SessionId | None = None
    limit: int = PAGE_SESSIONS
    fields: Literal["all", "id"] = "all"


class CountSessions(Request[int], frozen=True, kw_only=True):
    """Count sessions. All that is given must hold; the fields are those of ListSessions.

    Args:
        user_id: whose.
        org_id: of which organisation.
        agent_role: playing which part.
        state: in which state.
        presence: in which presence.
        idle_longer_than_s: not active for longer than this.
    """

    user_id: str | None = None
    org_id: str | None = None
    agent_role: str | None = None
    state: SessionState | None = None
    presence: Presence | None = None
    idle_longer_than_s: float | None = None


# The reply is an `Address`, which the runtime defines; whoever asks by the facade gets it typed.
class GetSessionRef(Request[Any], frozen=True):
    """Get the `Address` of a session's actor: it stays the same over restarts.

    Args:
        session_id: which session.

    Raises:
        SessionNotFound: there is no such session.
    """

    session_id: SessionId


# What follows the events is made by the runtime, so a message knows it by name only.
class Subscribe(Request["Subscription"], frozen=True):
    """Read along as events happen, from now on; in process only.

    Args:
        session_id: whose events; None: everybody's.
        kinds: which of them; empty: all.
        events_max: how many may wait for the reader; one more, and the subscription is
            closed with SlowConsumer.

    Raises:
        SessionNotFound: there is no such session.
    """

    session_id: SessionId | None = None
    kinds: tuple[EventKind, ...] = ()
    events_max: int = EVENTS_MAX


class Health(Request[HealthReport], frozen=True):
    """Ask how the sessions are."""


READS: Final = (
    GetSession,
    FindSession,
    GetSystemPrompt,
    GetMessages,
    ListSessions,
    CountSessions,
)
"""Messages that `sessions.reads.answer` answers from the table alone."""
