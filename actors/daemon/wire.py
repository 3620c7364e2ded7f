"""What do requests and replies look like in JSON? The messages, less the ids in the path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from callboard.actors.messages import PAGE_MESSAGES, PAGE_SESSIONS, Fault
from callboard.actors.sessions.data import Role, Session, SessionPatch
from callboard.actors.sessions.links import AgentSpec, McpSpec
from callboard.actors.sessions.states import Presence, SessionState


class Wire(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what clients send: a field that is not known is an error, not ignored."""


# -- bodies ----------------------------------------------------------------


class NewSession(Wire, frozen=True, kw_only=True):
    """A session to be created.

    Args:
        user_id: whose it is.
        org_id: the user's organisation.
        agent_role: the part it plays.
        kind: which of the daemon's behaviours runs it; left out: the default one.
        variables: what its prompt is composed with.
        metadata: the creator's own notes.
        client_capabilities: what its client can do.
        agent: the agent to start; the session is active when it is up.
        mcp: the MCP clients to open; the session is active when all are up.
        session_id: an id of the creator's choice; left out: a new UUIDv7.
        activate: false leaves it CREATED, for later explicit steps.
        idempotency_key: repeated with the same content it creates nothing and gets the
            first reply again; each user and organisation has keys of its own.
    """

    user_id: str | None = None
    org_id: str | None = None
    agent_role: str | None = None
    kind: str | None = None
    variables: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    metadata: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    client_capabilities: Mapping[str, object] | None = None
    agent: AgentSpec | None = None
    mcp: tuple[McpSpec, ...] | None = None
    session_id: str | None = None
    activate: bool = True
    idempotency_key: str | None = None


class NewMessage(Wire, frozen=True, kw_only=True):
    """A message to be appended.

    Args:
        role: who wrote it.
        content: what it says.
        client_msg_id: the sender's key: repeated with the same content it appends nothing
            and gets the first reply again.
        metadata: what else is known of it.
    """

    role: Role
    content: str
    client_msg_id: str | None = None
    metadata: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])


class Patch(SessionPatch, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is replaced; a field that is left out stays.

    Args:
        metadata: the creator's own notes.
        variables: what the prompt is composed with.
        system_prompt: the prompt; null takes it away.
        client_capabilities: what the client can do; null: not known.
    """

    def as_message(self) -> SessionPatch:
        """Return it as the part of a message."""
        return SessionPatch(**msgspec.structs.asdict(self))


class Change(Wire, frozen=True, kw_only=True):
    """A change of a session, in one step.

    Args:
        patch: what to replace.
        expected_version: refuse when the session is at another version.
    """

    patch: Patch
    expected_version: int | None = None


class Activity(Wire, frozen=True, kw_only=True):
    """A sign of life.

    Args:
        kind: what was done.
    """

    kind: str = "heartbeat"


class NewPrompt(Wire, frozen=True, kw_only=True):
    """The prompt that a session is to work under.

    Args:
        prompt: the whole of it; null takes it away.
    """

    prompt: str | None


class Revival(Wire, frozen=True, kw_only=True):
    """How to start a session that is quarantined or asleep.

    Args:
        patch: what to replace before it starts.
    """

    patch: Patch | None = None


class Cleanup(Wire, frozen=True, kw_only=True):
    """Which idle sessions to end.

    Args:
        idle_longer_than_s: strictly longer than this; left out: the daemon's own bound.
        dry_run: only say which they would be.
    """

    idle_longer_than_s: float | None = None
    dry_run: bool = False


class FaultOrder(Wire, frozen=True, kw_only=True):
    """What to make crash. Give `session_id` or `part`.

    Args:
        session_id: which session.
        part: path of a part of the tree, as `GET /v1/tree` shows it below the root.
        how: in which way.
    """

    session_id: str | None = None
    part: str | None = None
    how: Fault = Fault.EXCEPTION


# -- what stands after the question mark -----------------------------------


class NoQuery(Wire, frozen=True, kw_only=True):
    """Nothing may be asked in addition."""


class Tail(Wire, frozen=True, kw_only=True):
    """How much of the log to show with the session.

    Args:
        messages: how many of its last messages.
    """

    messages: int = 0


class Filter(Wire, frozen=True, kw_only=True):
    """Which sessions; all that is given must hold.

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


class FilterPage(Filter, frozen=True, kw_only=True):
    """Which sessions, and which part of the list.

    Args:
        user_id: whose.
        org_id: of which organisation.
        agent_role: playing which part.
        state: in which state.
        presence: in which presence.
        idle_longer_than_s: not active for longer than this.
        after_id: what follows this id.
        limit: how many at most.
        fields: "id" for ids only.
    """

    after_id: str | None = None
    limit: int = PAGE_SESSIONS
    fields: Literal["all", "id"] = "all"


class Wanted(Wire, frozen=True, kw_only=True):
    """Which session; give `session_id` or `agent_role`.

    Args:
        session_id: the one with this id; or
        agent_role: the oldest that plays this part and is not being ended,
        user_id: of this user; left out: of anybody.
    """

    session_id: str | None = None
    agent_role: str | None = None
    user_id: str | None = None


class LogPart(Wire, frozen=True, kw_only=True):
    """Which part of a log.

    Args:
        after_seq: what follows this number.
        limit: how many at most; fewer come when they are long.
    """

    after_seq: int = 0
    limit: int = PAGE_MESSAGES


class Watching(Wire, frozen=True, kw_only=True):
    """Which events to be sent.

    Args:
        kinds: which kinds, with commas between; left out: all.
        events_max: how many may wait to be sent; one more, and the stream ends with the problem
            `slow_consumer`.
    """

    kinds: str = ""
    events_max: int | None = None


class Following(Wire, frozen=True, kw_only=True):
    """From where to follow a session.

    Args:
        after_seq: number of the last message that the client has; 0: none.
        peer: who follows, as the session's snapshot is to say.
    """

    after_seq: int = 0
    peer: str | None = None


class Farewell(Wire, frozen=True, kw_only=True):
    """How to end a session.

    Args:
        reason: why, for people.
        grace_s: how long the cleanup may take before what is left is killed; at most half of the
            daemon's `ask_s`. Without it 5 seconds, or as much of them as that allows.
    """

    reason: str = ""
    grace_s: float | None = None


# -- replies that are not a message's own ----------------------------------


class Appended(msgspec.Struct, frozen=True, kw_only=True):
    """The number of the message in the session's log.

    Args:
        seq: from 1 without holes.
    """

    seq: int


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions there are.

    Args:
        count: the number.
    """

    count: int


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages the session counts by now.

    Args:
        message_count: the number.
    """

    message_count: int


class SystemPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt that a session works under.

    Args:
        prompt: the whole of it; null: it has none.
    """

    prompt: str | None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The session that was looked for.

    Args:
        session: its snapshot; null: there is none.
    """

    session: Session | None


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """When the session was last active.

    Args:
        last_active_at: UTC, seconds since the epoch.
    """

    last_active_at: float


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions were ended, or would be.

    Args:
        ids: their ids, in order.
    """

    ids: tuple[str, ...]


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """What was made to crash.

    Args:
        struck: the session's id, or the part's path.
    """

    struck: str
