"""Supervised sessions for a long-running daemon: state that outlives every crash.

This is the public door; `callboard.actors.testing` is the test kit.
What is behind neither may change any day.
"""

if __name__ != "callboard.actors":
    msg = (
        "this folder is callboard.actors: install the project (scripts/setup),"
        " then import callboard.actors"
    )
    raise ImportError(msg)
from callboard.actors.errors import AgentBusy as AgentBusy
from callboard.actors.errors import DuplicateRole as DuplicateRole
from callboard.actors.errors import DuplicateSession as DuplicateSession
from callboard.actors.errors import IdempotencyConflict as IdempotencyConflict
from callboard.actors.errors import InvalidField as InvalidField
from callboard.actors.errors import InvalidOrgId as InvalidOrgId
from callboard.actors.errors import InvalidUserId as InvalidUserId
from callboard.actors.errors import MaxSessionsReached as MaxSessionsReached
from callboard.actors.errors import MessageTooLarge as MessageTooLarge
from callboard.actors.errors import PromptError as PromptError
from callboard.actors.errors import SessionCrashed as SessionCrashed
from callboard.actors.errors import SessionError as SessionError
from callboard.actors.errors import SessionHasLog as SessionHasLog
from callboard.actors.errors import SessionNotFound as SessionNotFound
from callboard.actors.errors import SessionQuarantined as SessionQuarantined
from callboard.actors.errors import SessionRestarting as SessionRestarting
from callboard.actors.errors import SessionTerminating as SessionTerminating
from callboard.actors.errors import ShuttingDown as ShuttingDown
from callboard.actors.errors import SpawnError as SpawnError
from callboard.actors.errors import StoreError as StoreError
from callboard.actors.errors import StoreOutcomeUnknown as StoreOutcomeUnknown
from callboard.actors.errors import TransitionError as TransitionError
from callboard.actors.errors import UpdateFailed as UpdateFailed
from callboard.actors.errors import VersionConflict as VersionConflict
from callboard.actors.errors import WorkspaceError as WorkspaceError
from callboard.actors.heart import Watchdog as Watchdog
from callboard.actors.keeping import AGENT_API as AGENT_API
from callboard.actors.keeping import STANDARD as STANDARD
from callboard.actors.keeping import Keeping as Keeping
from callboard.actors.limits import SessionLimits as SessionLimits
from callboard.actors.manager import SessionManager as SessionManager
from callboard.actors.messages import AppendMessage as AppendMessage
from callboard.actors.messages import BeginSpawn as BeginSpawn
from callboard.actors.messages import CleanupInactive as CleanupInactive
from callboard.actors.messages import CountSessions as CountSessions
from callboard.actors.messages import CreateSession as CreateSession
from callboard.actors.messages import Fault as Fault
from callboard.actors.messages import FindSession as FindSession
from callboard.actors.messages import GetMessages as GetMessages
from callboard.actors.messages import GetSession as GetSession
from callboard.actors.messages import GetSessionRef as GetSessionRef
from callboard.actors.messages import GetSystemPrompt as GetSystemPrompt
from callboard.actors.messages import Health as Health
from callboard.actors.messages import HealthReport as HealthReport
from callboard.actors.messages import IncrementMessageCount as IncrementMessageCount
from callboard.actors.messages import InjectCrash as InjectCrash
from callboard.actors.messages import ListSessions as ListSessions
from callboard.actors.messages import MessagePage as MessagePage
from callboard.actors.messages import PassivateSession as PassivateSession
from callboard.actors.messages import RecordActivity as RecordActivity
from callboard.actors.messages import ReviveSession as ReviveSession
from callboard.actors.messages import SessionMessage as SessionMessage
from callboard.actors.messages import SessionPage as SessionPage
from callboard.actors.messages import Shutdown as Shutdown
from callboard.actors.messages import TerminateSession as TerminateSession
from callboard.actors.messages import UpdateSession as UpdateSession
from callboard.actors.messages import UpdateSystemPrompt as UpdateSystemPrompt
from callboard.actors.prompts import ComposedPrompts as ComposedPrompts
from callboard.actors.prompts import PromptComposer as PromptComposer
from callboard.actors.secrets import EnvironmentSecrets as EnvironmentSecrets
from callboard.actors.secrets import SecretError as SecretError
from callboard.actors.secrets import SecretRef as SecretRef
from callboard.actors.secrets import Secrets as Secrets
from callboard.actors.sessions.actor import SessionActor as SessionActor
from callboard.actors.sessions.cleaning import Cleaner as Cleaner
from callboard.actors.sessions.data import Message as Message
from callboard.actors.sessions.data import Role as Role
from callboard.actors.sessions.data import Session as Session
from callboard.actors.sessions.data import SessionPatch as SessionPatch
from callboard.actors.sessions.holds import Hold as Hold
from callboard.actors.sessions.holds import HoldKind as HoldKind
from callboard.actors.sessions.states import Presence as Presence
from callboard.actors.sessions.states import SessionState as SessionState
from callboard.actors.sessions.states import SessionStatus as SessionStatus
from callboard.actors.system import NotStarted as NotStarted
from callboard.actors.system import SessionSystem as SessionSystem
from callboard.actors.system import StartedAlready as StartedAlready
from callboard.actors.systemd import SystemdWatchdog as SystemdWatchdog
from callboard.actors.systemd import notify_systemd as notify_systemd
from callboard.actors.workspace import FolderWorkspaces as FolderWorkspaces
from callboard.actors.workspace import WorkspaceProvider as WorkspaceProvider

__all__ = [
    "AGENT_API",
    "STANDARD",
    "AgentBusy",
    "AppendMessage",
    "BeginSpawn",
    "Cleaner",
    "CleanupInactive",
    "ComposedPrompts",
    "CountSessions",
    "CreateSession",
    "DuplicateRole",
    "DuplicateSession",
    "EnvironmentSecrets",
    "Fault",
    "FindSession",
    "FolderWorkspaces",
    "GetMessages",
    "GetSession",
    "GetSessionRef",
    "GetSystemPrompt",
    "Health",
    "HealthReport",
    "Hold",
    "HoldKind",
    "IdempotencyConflict",
    "IncrementMessageCount",
    "InjectCrash",
    "InvalidField",
    "InvalidOrgId",
    "InvalidUserId",
    "Keeping",
    "ListSessions",
    "MaxSessionsReached",
    "Message",
    "MessagePage",
    "MessageTooLarge",
    "NotStarted",
    "PassivateSession",
    "Presence",
    "PromptComposer",
    "PromptError",
    "RecordActivity",
    "ReviveSession",
    "Role",
    "SecretError",
    "SecretRef",
    "Secrets",
    "Session",
    "SessionActor",
    "SessionCrashed",
    "SessionError",
    "SessionHasLog",
    "SessionLimits",
    "SessionManager",
    "SessionMessage",
    "SessionNotFound",
    "SessionPage",
    "SessionPatch",
    "SessionQuarantined",
    "SessionRestarting",
    "SessionState",
    "SessionStatus",
    "SessionSystem",
    "SessionTerminating",
    "Shutdown",
    "ShuttingDown",
    "SpawnError",
    "StartedAlready",
    "StoreError",
    "StoreOutcomeUnknown",
    "SystemdWatchdog",
    "TerminateSession",
    "TransitionError",
    "UpdateFailed",
    "UpdateSession",
    "UpdateSystemPrompt",
    "VersionConflict",
    "Watchdog",
    "WorkspaceError",
    "WorkspaceProvider",
    "notify_systemd",
]
