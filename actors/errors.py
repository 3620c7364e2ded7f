"""What a caller of the sessions can handle: refusals of a session, and messages it never got."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from callboard.supervision.model.errors import CallboardError, DeliveryError, Refusal
from callboard.supervision.model.showing import shown, shown_path


class SessionError(Refusal):
    """Base of what the sessions refuse. The session and its actor live on."""

    code: ClassVar[str] = "session_error"


class SessionNotFound(SessionError):
    """No session has this id, or none plays this role.

    Args:
        session_id: what was asked for.
    """

    code: ClassVar[str] = "session_not_found"
    remedy: str = "List the sessions, or create one."

    def __init__(self, session_id: str) -> None:
        super().__init__(f"there is no session {shown(session_id)}")
        self.session_id = session_id


class DuplicateSession(SessionError):
    """A session has this id already.

    Args:
        session_id: the id that is taken.
    """

    code: ClassVar[str] = "duplicate_session"
    remedy: str = "Leave the id out to get a new one, or use the session that is there."

    def __init__(self, session_id: str) -> None:
        super().__init__(f"there is a session {shown(session_id)} already")
        self.session_id = session_id


class DuplicateRole(SessionError):
    """Another session of this user plays this role, and roles are to be unique.

    Args:
        agent_role: the role.
        session_id: who plays it.
    """

    code: ClassVar[str] = "duplicate_role"
    remedy: str = "Terminate the session that plays the role, or choose another role."

    def __init__(self, agent_role: str, *, session_id: str) -> None:
        super().__init__(f"session {shown(session_id)} plays the role {shown(agent_role)} already")
        self.agent_role = agent_role
        self.session_id = session_id


class MaxSessionsReached(SessionError):
    """There is no place for one more session.

    Args:
        scope: whose limit it is: "manager", "user" or "org".
        sessions_max: the limit.
    """

    code: ClassVar[str] = "max_sessions_reached"
    is_retryable: ClassVar[bool] = True

    def __init__(self, scope: str, sessions_max: int) -> None:
        super().__init__(f"the {scope} has {sessions_max} sessions, as many as it may")
        self.scope = scope
        self.sessions_max = sessions_max
        name = "sessions_max" if scope == "manager" else f"sessions_per_{scope}_max"
        self.remedy = (
            "Terminate sessions that are no longer needed, or raise the limit"
            f" (SessionLimits; `serve --set {name}=NUMBER`)."
        )


class InvalidField(SessionError, ValueError):
    """A field of a message has a wrong type, or lies outside its bounds.

    Args:
        field: its name, with the path into it (`metadata.tags[0]`).
        value: what was given.
        remedy: what would be right, as a sentence.
    """

    code: ClassVar[str] = "invalid_field"

    def __init__(self, field: str, value: object, remedy: str) -> None:
        self.field = shown_path(field)
        super().__init__(f"{self.field}={shown(value)} is not valid. {remedy}")
        self.value = value
        self.remedy = remedy


class InvalidUserId(InvalidField):
    """The user id is missing where it is required, empty, too long or not text."""

    code: ClassVar[str] = "invalid_user_id"


class InvalidOrgId(InvalidField):
    """The organisation id is missing where it is required, empty, too long or not text."""

    code: ClassVar[str] = "invalid_org_id"


class MessageTooLarge(SessionError):
    """A text or a structure is larger than it may be.

    Args:
        field: its name.
        value: its size in bytes, as UTF-8 or as JSON.
        bytes_max: the bound.
    """

    code: ClassVar[str] = "message_too_large"
    remedy: str = "Send less at once, or raise the bound (SessionLimits; `serve --set NAME=BYTES`)."

    def __init__(self, field: str, value: int, *, bytes_max: int) -> None:
        self.field = shown_path(field)
        super().__init__(f"{self.field} has {value} bytes; it may have {bytes_max}")
        self.value = value
        self.bytes_max = bytes_max


class VersionConflict(SessionError):
    """The session has changed since the caller looked.

    The same change with the same version fails for ever: it is no error to repeat blindly.

    Args:
        session_id: which session.
        expected_version: the version that the caller had seen.
        version: the version it has.
    """

    code: ClassVar[str] = "version_conflict"
    remedy: str = "Read the session again, and repeat the change upon what it is now."

    def __init__(self, session_id: str, *, expected_version: int, version: int) -> None:
        super().__init__(
            f"session {shown(session_id)} is at version {version}, not {expected_version}"
        )
        self.session_id = session_id
        self.expected_version = expected_version
        self.version = version


class IdempotencyConflict(SessionError):
    """The key has been used before, with other content.

    Args:
        field: the field that holds the key.
        value: the key.
    """

    code: ClassVar[str] = "idempotency_conflict"
    remedy: str = "Use a new key for new content; repeat a key only with the very same content."

    def __init__(self, field: str, value: str) -> None:
        super().__init__(f"{field}={shown(value)} was used before, with other content")
        self.field = field
        self.value = value


class SessionTerminating(SessionError):
    """The session is being terminated: it takes nothing new.

    Args:
        session_id: which session.
    """

    code: ClassVar[str] = "session_terminating"
    remedy: str = "Create a new session."

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {shown(session_id)} is being terminated")
        self.session_id = session_id


class SessionHasLog(SessionError):
    """The session keeps a log, which counts its messages; there is nothing to count beside it.

    Args:
        session_id: which session.
    """

    code: ClassVar[str] = "session_has_log"
    remedy: str = "Append the message to the log (AppendMessage): that counts it."

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {shown(session_id)} keeps a log of its messages")
        self.session_id = session_id


class TransitionError(SessionError):
    """The state machine has no such step.

    Args:
        state: the state the session is in.
        event: what was to happen.
    """

    code: ClassVar[str] = "invalid_transition"
    remedy: str = "Read the session first; what may come next depends on its state."

    def __init__(self, state: str, event: str) -> None:
        super().__init__(f"a session that is {state} has no step {event}")
        self.state = state
        self.event = event


class UpdateFailed(SessionError):
    """The function given to UpdateSession raised, or returned what it may not.

    Args:
        session_id: which session; it is unchanged.
        error: name of the exception's class, or of the wrong type.
        detail: the exception's text, shortened.
    """

    code: ClassVar[str] = "update_failed"
    remedy: str = "Correct the function; it takes a Session and returns a SessionPatch."

    def __init__(self, session_id: str, *, error: str, detail: str) -> None:
        super().__init__(f"the update of session {shown(session_id)} failed: {error}: {detail}")
        self.session_id = session_id
        self.error = error
        self.detail = detail


class WorkspaceError(SessionError):
    """The session's folder could not be made, or may not be used."""

    code: ClassVar[str] = "workspace_error"
    remedy: str = "Look at the owner, the mode and the free space of the workspace root."


class SpawnError(SessionError):
    """A step of the session's start failed; what was done has been undone."""

    code: ClassVar[str] = "spawn_error"
    remedy: str = "Mend what the message names; then create the session again, or revive it."


class PromptError(SessionError):
    """The system prompt could not be composed or is not usable."""

    code: ClassVar[str] = "prompt_error"
    remedy: str = "Look at the composer and its variables."


class AgentBusy(SessionError):
    """The agent works on another prompt."""

    code: ClassVar[str] = "agent_busy"
    remedy: str = "Wait for the running prompt, or cancel it."
    is_retryable: ClassVar[bool] = True


class AgentAttached(SessionError):
    """The session has an agent already, and may have one."""

    code: ClassVar[str] = "agent_attached"
    remedy: str = "Use the agent that is there, or detach it first (DetachAgent)."


class PromptFailed(SessionError):
    """The agent lives, but has not done what the prompt said; how far it came is not known.

    Args:
        detail: what it said, shortened, without secrets.
    """

    code: ClassVar[str] = "prompt_failed"
    remedy: str = "See what the agent says; read the log for what it did, then prompt again."
    is_outcome_known: ClassVar[bool] = False

    def __init__(self, detail: str) -> None:
        super().__init__(f"the agent failed at the prompt: {detail}")
        self.detail = detail


class PromptRepeated(SessionError):
    """The prompt was given before; what its asker was told is not remembered any more.

    Args:
        client_msg_id: the key under which it was given.
        seq: number of its message in the log.
    """

    code: ClassVar[str] = "prompt_repeated"

    def __init__(self, client_msg_id: str, *, seq: int) -> None:
        super().__init__(
            f"client_msg_id={shown(client_msg_id)} was used before: for message {seq} of the log"
        )
        self.client_msg_id = client_msg_id
        self.seq = seq
        self.remedy = (
            f"Read the log behind message {seq} for what came of it; give a new prompt a new key."
        )


class NoConnector(SessionError):
    """Nothing here can open connections of this kind.

    Args:
        kind: which kind.
    """

    code: ClassVar[str] = "no_connector"
    remedy: str = (
        "Give SessionSystem one in connectors=Connectors(...). `callboard serve` has none: embed"
        " a SessionSystem in a program of your own."
    )

    def __init__(self, kind: str) -> None:
        super().__init__(f"there is no connector for {shown(kind)}")
        self.kind = kind


class McpClientNotFound(SessionError):
    """The session has no MCP client of this id.

    Args:
        client_id: what was asked for.
    """

    code: ClassVar[str] = "mcp_client_not_found"
    remedy: str = "List the session's MCP clients, or add one."

    def __init__(self, client_id: str) -> None:
        super().__init__(f"there is no MCP client {shown(client_id)}")
        self.client_id = client_id


class DuplicateMcpClient(SessionError):
    """The session has an MCP client of this id already.

    Args:
        client_id: the id that is taken.
    """

    code: ClassVar[str] = "duplicate_mcp_client"
    remedy: str = "Use the client that is there, remove it first, or choose another id."

    def __init__(self, client_id: str) -> None:
        super().__init__(f"there is an MCP client {shown(client_id)} already")
        self.client_id = client_id


class McpConnectError(SessionError):
    """The MCP server could not be reached.

    Args:
        client_id: which client.
        detail: what went wrong, shortened, without secrets.
    """

    code: ClassVar[str] = "mcp_connect_error"
    remedy: str = "Look at the server's command or URL, and at what it says itself."
    is_retryable: ClassVar[bool] = True

    def __init__(self, client_id: str, detail: str) -> None:
        super().__init__(f"MCP client {shown(client_id)} could not be connected: {detail}")
        self.client_id = client_id
        self.detail = detail


class McpTimeout(SessionError):
    """The MCP server did not answer in time.

    Args:
        client_id: which client.
        what: what it was to do.
        timeout_s: how long it was given, in seconds.
    """

    code: ClassVar[str] = "mcp_timeout"
    remedy: str = "Allow more time with timeout_s=, or find out what keeps the server busy."
    is_retryable: ClassVar[bool] = True
    is_outcome_known: ClassVar[bool] = False

    def __init__(self, client_id: str, what: str, timeout_s: float) -> None:
        super().__init__(f"MCP client {shown(client_id)}: no answer to {what} in {timeout_s} s")
        self.client_id = client_id
        self.what = what
        self.timeout_s = timeout_s


class McpClientDown(SessionError):
    """The MCP client is down; it is opened again by itself unless it has failed.

    Args:
        client_id: which client.
        status: how it is.
        detail: why, without secrets.
    """

    code: ClassVar[str] = "mcp_client_down"
    remedy: str = "Try again when the client is up; add one that has failed anew."
    is_retryable: ClassVar[bool] = True

    def __init__(self, client_id: str, status: str, *, detail: str = "") -> None:
        said = f": {detail}" if detail else ""
        super().__init__(f"MCP client {shown(client_id)} is {status}{said}")
        self.client_id = client_id
        self.status = status
        self.detail = detail


class McpCallLost(McpClientDown):
    """The MCP client died while it worked on the call: whether it took effect is not known."""

    code: ClassVar[str] = "mcp_call_lost"
    remedy: str = "Find out what took effect; then call again when the client is up."
    is_outcome_known: ClassVar[bool] = False


class McpToolError(SessionError):
    """The tool said that it failed.

    Args:
        tool: which tool.
        detail: what it said, shortened.
    """

    code: ClassVar[str] = "mcp_tool_error"
    remedy: str = "See what the tool says; change the arguments."

    def __init__(self, tool: str, detail: str) -> None:
        super().__init__(f"the tool {shown(tool)} failed: {detail}")
        self.tool = tool
        self.detail = detail


class TooManyCalls(SessionError):
    """The MCP client has as many calls under way as it may.

    Args:
        client_id: which client.
        calls_max: the bound.
    """

    code: ClassVar[str] = "too_many_calls"
    remedy: str = "Wait for calls that are under way."
    is_retryable: ClassVar[bool] = True

    def __init__(self, client_id: str, calls_max: int) -> None:
        super().__init__(f"MCP client {shown(client_id)} has {calls_max} calls under way")
        self.client_id = client_id
        self.calls_max = calls_max


class AgentNotAttached(SessionError):
    """The session has no agent."""

    code: ClassVar[str] = "agent_not_attached"
    remedy: str = "Attach an agent first (AttachAgent)."


class AgentDied(SessionError):
    """The agent has died, or is not there just now; it is started again unless it has failed.

    Args:
        returncode: of its process, if that is known.
        stderr_tail: the end of what it wrote to its standard error, without secrets.
        detail: what else is known.
    """

    code: ClassVar[str] = "agent_died"
    remedy: str = "See what it said; prompt again when it is up."
    is_retryable: ClassVar[bool] = True
    is_outcome_known: ClassVar[bool] = False

    def __init__(
        self, returncode: int | None = None, stderr_tail: str = "", *, detail: str = ""
    ) -> None:
        said = "the agent is gone" if not detail else f"the agent is gone: {detail}"
        super().__init__(said if returncode is None else f"{said} (it returned {returncode})")
        self.returncode = returncode
        self.stderr_tail = stderr_tail
        self.detail = detail


class AgentTimeout(SessionError):
    """The agent did not start, or did not make or load its conversation, in time.

    Args:
        what: what it was to do.
        timeout_s: how long it was given, in seconds.
    """

    code: ClassVar[str] = "agent_timeout"
    remedy: str = "Start the agent by hand to see what it waits for."
    is_retryable: ClassVar[bool] = True

    def __init__(self, what: str, timeout_s: float) -> None:
        super().__init__(f"the agent did not {what} within {timeout_s} s")
        self.what = what
        self.timeout_s = timeout_s


class PromptTimeout(SessionError):
    """The agent worked on a prompt for too long; it has been told to stop.

    Args:
        timeout_s: how long it was given, in seconds.
    """

    code: ClassVar[str] = "prompt_timeout"
    remedy: str = "Allow more time with timeout_s=; read the log for what it did."
    is_outcome_known: ClassVar[bool] = False

    def __init__(self, timeout_s: float) -> None:
        super().__init__(f"the agent had not finished after {timeout_s} s")
        self.timeout_s = timeout_s


class ReplayGap(SessionError):
    """The log does not go on where the client has stopped.

    Args:
        oldest_seq: number of the first message that the log can give.
        last_seq: number of its last one.
    """

    code: ClassVar[str] = "replay_gap"
    remedy: str = "Attach with after_seq one less than oldest_seq, and forget what came before."

    def __init__(self, oldest_seq: int, last_seq: int) -> None:
        super().__init__(f"the log has the messages {oldest_seq} to {last_seq}")
        self.oldest_seq = oldest_seq
        self.last_seq = last_seq


class AuditError(SessionError):
    """The operation must be audited before it has an effect, and was not: nothing was done.

    Args:
        operation: name of the message's type.
        cause: why it was not audited.
    """

    code: ClassVar[str] = "audit_error"
    remedy: str = "Look at the audit sink; then try again."
    is_retryable: ClassVar[bool] = True

    def __init__(self, operation: str, cause: str) -> None:
        super().__init__(f"{operation} was refused, since it was not audited: {cause}")
        self.operation = operation
        self.cause = cause


class SlowConsumer(SessionError):
    """The reader of a subscription was too slow: events were lost, and it is closed.

    Args:
        lost: how many did not reach the reader until it was closed: those that waited, and those
            that found no room. What has happened since is in no subscription and not counted.
        events_max: how many might wait.
    """

    code: ClassVar[str] = "slow_consumer"
    is_retryable: ClassVar[bool] = True
    remedy: str = "Subscribe anew, and read the sessions to see where they are."

    def __init__(self, lost: int, *, events_max: int) -> None:
        super().__init__(f"closed with {lost} events not read: no more than {events_max} may wait")
        self.lost = lost
        self.events_max = events_max


class SubscriptionClosed(SessionError):
    """The subscription is closed, and all its events are read."""

    code: ClassVar[str] = "subscription_closed"
    remedy: str = "Subscribe anew; a session that has gone has no more events."


class StoreError(SessionError):
    """The store did not keep a change: it was undone, the session is at its last commit."""

    code: ClassVar[str] = "store_error"
    remedy: str = "Look at the disk and at the store's log; then try again."
    is_retryable: ClassVar[bool] = True


class StoreDamaged(StoreError):
    """What the store has was damaged: it stays so, whatever is tried, until somebody mends it."""

    code: ClassVar[str] = "store_damaged"
    remedy: str = (
        "See what is whole (`callboard store check`). Then put a backup in its place, or take out"
        " what can be read (of a file: `callboard store export --skip-damaged`) and import that"
        " into a new one."
    )
    is_retryable: ClassVar[bool] = False


class SessionUnreadable(StoreError):
    """The store has the session, whole, and its behaviour here cannot read its `data`.

    It stays as it is: no other try helps, but another behaviour, or data of the type it has now.

    Args:
        session_id: which session.
        why: what of it cannot be read.
    """

    code: ClassVar[str] = "session_unreadable"
    remedy: str = (
        "Give the behaviour whose data this is (`--session MODULE:CLASS`, in a program"
        " `SessionSystem(CLASS)`). If its type has changed: a field that is new needs a default;"
        " what is of another type now has to be exported, changed and imported."
    )
    is_retryable: ClassVar[bool] = False

    def __init__(self, session_id: str, *, why: str) -> None:
        super().__init__(f"session {shown(session_id)} cannot be read from the store: {why}")
        self.session_id = session_id


class StoreOutcomeUnknown(StoreError):
    """The store was lost while it wrote: whether the change was kept is not known yet."""

    code: ClassVar[str] = "store_outcome_unknown"
    remedy: str = "Wait until the store answers again; then read the session."
    is_outcome_known: ClassVar[bool] = False


class StoreBusy(SessionError):
    """An operator's work at the store is under way, and another one has to wait for its end."""

    code: ClassVar[str] = "store_busy"
    remedy: str = "Wait until the other import or compaction is over."
    is_retryable: ClassVar[bool] = True


class StoreNotOperable(SessionError):
    """There is no store here that callboard looks after."""

    code: ClassVar[str] = "store_not_operable"
    remedy: str = (
        "Start the daemon with a store (`serve --store FILE`, or a PostgreSQL server's address); a"
        " store of your own has tools of its own."
    )


class StoreFenced(StoreError):
    """Somebody else has taken the store over: this system keeps nothing any more.

    Args:
        place: which store.
        because: what shows it, where the store itself cannot be used any more.
    """

    code: ClassVar[str] = "store_fenced"
    remedy: str = "Stop this system: another one has its sessions."
    is_retryable: ClassVar[bool] = False

    def __init__(self, place: str, *, because: StoreRefused | None = None) -> None:
        if because is None:
            said = f"somebody else has taken {shown(place)} over"
        else:
            said = f"{shown(place)} is not this system's any more: {because.why}"
            self.remedy = because.remedy
        super().__init__(said)
        self.place = place
        self.because = because


class StoreRefused(CallboardError):
    """A store cannot be used as it is. Nothing that is kept in it was touched.

    Args:
        path: which.
        why: what is in the way.
        remedy: what would be right, as a sentence.
    """

    code: ClassVar[str] = "store_refused"

    def __init__(self, path: str, why: str, remedy: str) -> None:
        super().__init__(f"the store {shown_path(path)} cannot be used: {why}")
        self.path = path
        self.why = why
        self.remedy = remedy


class StoreLocked(StoreRefused):
    """Another process, or another system in this one, uses the store.

    Args:
        path: which store.
        pid: the process that has it; None: it has not said so yet.
        host: its machine; None: this one.
        since: since when: UTC, seconds since the epoch.
    """

    code: ClassVar[str] = "store_locked"
    is_retryable: ClassVar[bool] = True

    def __init__(
        self, path: str, *, pid: int | None, host: str | None = None, since: float
    ) -> None:
        who = "a process" if pid is None else f"process {pid}"
        where = "" if host is None else f" on {shown_path(host)}"
        when = datetime.fromtimestamp(since, UTC).isoformat(sep=" ", timespec="seconds")
        why = f"{who}{where} uses it since {when}"
        super().__init__(path, why, "Stop that process, or give each a store of its own.")
        self.pid = pid
        self.host = host
        self.since = since


class StoreTooNew(StoreRefused):
    """A newer callboard has written the store, in a way that this one does not know.

    Args:
        path: which store.
        version: of its schema.
        known: the last version that is known here.
        copy: where the older store was kept; None: it was not.
    """

    code: ClassVar[str] = "store_too_new"

    def __init__(self, path: str, *, version: int, known: int, copy: str | None = None) -> None:
        why = f"its schema has version {version}, and {known} is the last that is known here"
        remedy = "Use the callboard that has written it, or a newer one"
        if copy is not None:
            remedy += f"; or the copy of the older store that was kept ({shown_path(copy)})"
        super().__init__(path, why, f"{remedy}.")
        self.version = version
        self.known = known


class ImportRefused(InvalidField):
    """What was to be imported is not what a store can hold. Nothing of it was taken.

    Args:
        line: number of the line, from 1.
        field: the name of the field in it, with the path into it.
        value: what was given.
        remedy: what would be right, as a sentence.
        session_id: of which session the line is, if that is known.
    """

    code: ClassVar[str] = "import_refused"

    def __init__(
        self, line: int, field: str, value: object, remedy: str, *, session_id: str | None = None
    ) -> None:
        super().__init__(field, value, remedy)
        of = "" if session_id is None else f", session {shown_path(session_id)}"
        self.args = (f"line {line}{of}: {self.args[0]}",)
        self.line = line
        self.session_id = session_id


class SessionRestarting(DeliveryError):
    """The session's next incarnation did not come in time; the message was not delivered."""

    code: ClassVar[str] = "session_restarting"
    remedy: str = "Try again in a moment."
    is_retryable: ClassVar[bool] = True


class SessionAsleep(DeliveryError):
    """The session sleeps: it has no actor that something could be done to."""

    code: ClassVar[str] = "session_asleep"
    remedy: str = "Send it a message first: that wakes it."
    is_retryable: ClassVar[bool] = True


class SessionQuarantined(DeliveryError):
    """The session crashed too often and is kept, but not run; the message was not delivered."""

    code: ClassVar[str] = "session_quarantined"
    remedy: str = (
        "Mend what its last error names; then revive it (ReviveSession, `callboard revive`) or"
        " end it (TerminateSession, `callboard end`)."
    )


class SessionCrashed(DeliveryError):
    """The session's incarnation ended while it handled the message.

    The message is never delivered again; an append with a `client_msg_id` may be
    repeated without harm.
    """

    code: ClassVar[str] = "session_crashed"
    remedy: str = "Read the session to see what was kept, then repeat what is missing."
    is_retryable: ClassVar[bool] = True
    is_outcome_known: ClassVar[bool] = False


class ShuttingDown(DeliveryError):
    """The sessions are being shut down: no new one is taken, no new work begins."""

    code: ClassVar[str] = "shutting_down"
    remedy: str = "Try again when the daemon has been started anew."
    is_retryable: ClassVar[bool] = True
