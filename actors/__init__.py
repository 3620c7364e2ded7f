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
from callboard.actors.audit import AuditEvent as AuditEvent
from callboard.actors.audit import AuditFile as AuditFile
from callboard.actors.audit import AuditFileRefused as AuditFileRefused
from callboard.actors.audit import AuditLogger as AuditLogger
from callboard.actors.audit import AuditSink as AuditSink
from callboard.actors.connections.ports import AgentConnection as AgentConnection
from callboard.actors.connections.ports import AgentConnector as AgentConnector
from callboard.actors.connections.ports import AgentEnd as AgentEnd
from callboard.actors.connections.ports import AgentHello as AgentHello
from callboard.actors.connections.ports import AgentUpdate as AgentUpdate
from callboard.actors.connections.ports import ClientEvent as ClientEvent
from callboard.actors.connections.ports import ClientSink as ClientSink
from callboard.actors.connections.ports import Connectors as Connectors
from callboard.actors.connections.ports import McpConnection as McpConnection
from callboard.actors.connections.ports import McpConnector as McpConnector
from callboard.actors.errors import AgentAttached as AgentAttached
from callboard.actors.errors import AgentBusy as AgentBusy
from callboard.actors.errors import AgentDied as AgentDied
from callboard.actors.errors import AgentNotAttached as AgentNotAttached
from callboard.actors.errors import AgentTimeout as AgentTimeout
from callboard.actors.errors import AuditError as AuditError
from callboard.actors.errors import DuplicateMcpClient as DuplicateMcpClient
from callboard.actors.errors import DuplicateRole as DuplicateRole
from callboard.actors.errors import DuplicateSession as DuplicateSession
from callboard.actors.errors import IdempotencyConflict as IdempotencyConflict
from callboard.actors.errors import ImportRefused as ImportRefused
from callboard.actors.errors import InvalidField as InvalidField
from callboard.actors.errors import InvalidOrgId as InvalidOrgId
from callboard.actors.errors import InvalidUserId as InvalidUserId
from callboard.actors.errors import MaxSessionsReached as MaxSessionsReached
from callboard.actors.errors import McpCallLost as McpCallLost
from callboard.actors.errors import McpClientDown as McpClientDown
from callboard.actors.errors import McpClientNotFound as McpClientNotFound
from callboard.actors.errors import McpConnectError as McpConnectError
from callboard.actors.errors import McpTimeout as McpTimeout
from callboard.actors.errors import McpToolError as McpToolError
from callboard.actors.errors import MessageTooLarge as MessageTooLarge
from callboard.actors.errors import NoConnector as NoConnector
from callboard.actors.errors import PromptError as PromptError
from callboard.actors.errors import PromptFailed as PromptFailed
from callboard.actors.errors import PromptRepeated as PromptRepeated
from callboard.actors.errors import PromptTimeout as PromptTimeout
from callboard.actors.errors import ReplayGap as ReplayGap
from callboard.actors.errors import SessionAsleep as SessionAsleep
from callboard.actors.errors import SessionCrashed as SessionCrashed
from callboard.actors.errors import SessionError as SessionError
from callboard.actors.errors import SessionHasLog as SessionHasLog
from callboard.actors.errors import SessionNotFound as SessionNotFound
from callboard.actors.errors import SessionQuarantined as SessionQuarantined
from callboard.actors.errors import SessionRestarting as SessionRestarting
from callboard.actors.errors import SessionTerminating as SessionTerminating
from callboard.actors.errors import SessionUnreadable as SessionUnreadable
from callboard.actors.errors import ShuttingDown as ShuttingDown
from callboard.actors.errors import SlowConsumer as SlowConsumer
from callboard.actors.errors import SpawnError as SpawnError
from callboard.actors.errors import StoreBusy as StoreBusy
from callboard.actors.errors import StoreDamaged as StoreDamaged
from callboard.actors.errors import StoreError as StoreError
from callboard.actors.errors import StoreFenced as StoreFenced
from callboard.actors.errors import StoreLocked as StoreLocked
from callboard.actors.errors import StoreNotOperable as StoreNotOperable
from callboard.actors.errors import StoreOutcomeUnknown as StoreOutcomeUnknown
from callboard.actors.errors import StoreRefused as StoreRefused
from callboard.actors.errors import StoreTooNew as StoreTooNew
from callboard.actors.errors import SubscriptionClosed as SubscriptionClosed
from callboard.actors.errors import TooManyCalls as TooManyCalls
from callboard.actors.errors import TransitionError as TransitionError
from callboard.actors.errors import UpdateFailed as UpdateFailed
from callboard.actors.errors import VersionConflict as VersionConflict
from callboard.actors.errors import WorkspaceError as WorkspaceError
from callboard.actors.heart import Watchdog as Watchdog
from callboard.actors.keeping import AGENT_API as AGENT_API
from callboard.actors.keeping import STANDARD as STANDARD
from callboard.actors.keeping import Keeping as Keeping
from callboard.actors.limits import SessionLimits as SessionLimits
from callboard.actors.link_messages import AddMcpClient as AddMcpClient
from callboard.actors.link_messages import AttachAgent as AttachAgent
from callboard.actors.link_messages import AttachClient as AttachClient
from callboard.actors.link_messages import CallTool as CallTool
from callboard.actors.link_messages import CancelPrompt as CancelPrompt
from callboard.actors.link_messages import ConnectionMessage as ConnectionMessage
from callboard.actors.link_messages import DetachAgent as DetachAgent
from callboard.actors.link_messages import DetachClient as DetachClient
from callboard.actors.link_messages import GetMcpClient as GetMcpClient
from callboard.actors.link_messages import ListMcpClients as ListMcpClients
from callboard.actors.link_messages import ListTools as ListTools
from callboard.actors.link_messages import Prompt as Prompt
from callboard.actors.link_messages import PromptResult as PromptResult
from callboard.actors.link_messages import RemoveMcpClient as RemoveMcpClient
from callboard.actors.link_messages import ResumeSession as ResumeSession
from callboard.actors.manager import SessionManager as SessionManager
from callboard.actors.memory import Memory as Memory
from callboard.actors.memory import MemoryUnknown as MemoryUnknown
from callboard.actors.memory import ProcessMemory as ProcessMemory
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
from callboard.actors.messages import StoreHealth as StoreHealth
from callboard.actors.messages import Subscribe as Subscribe
from callboard.actors.messages import TerminateSession as TerminateSession
from callboard.actors.messages import UpdateSession as UpdateSession
from callboard.actors.messages import UpdateSystemPrompt as UpdateSystemPrompt
from callboard.actors.metrics import METRICS as METRICS
from callboard.actors.metrics import Metric as Metric
from callboard.actors.metrics import MetricKind as MetricKind
from callboard.actors.metrics import MetricsSink as MetricsSink
from callboard.actors.prometheus import MetricsExtraMissing as MetricsExtraMissing
from callboard.actors.prometheus import PrometheusMetrics as PrometheusMetrics
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
from callboard.actors.sessions.data import SessionId as SessionId
from callboard.actors.sessions.data import SessionPatch as SessionPatch
from callboard.actors.sessions.draft import SessionEntry as SessionEntry
from callboard.actors.sessions.draft import SessionStore as SessionStore
from callboard.actors.sessions.events import EventKind as EventKind
from callboard.actors.sessions.events import SessionEvent as SessionEvent
from callboard.actors.sessions.holds import Hold as Hold
from callboard.actors.sessions.holds import HoldKind as HoldKind
from callboard.actors.sessions.links import AgentInfo as AgentInfo
from callboard.actors.sessions.links import AgentMemory as AgentMemory
from callboard.actors.sessions.links import AgentSpec as AgentSpec
from callboard.actors.sessions.links import ClientInfo as ClientInfo
from callboard.actors.sessions.links import LinkState as LinkState
from callboard.actors.sessions.links import McpClientInfo as McpClientInfo
from callboard.actors.sessions.links import McpSpec as McpSpec
from callboard.actors.sessions.links import McpTool as McpTool
from callboard.actors.sessions.links import Transport as Transport
from callboard.actors.sessions.outlets import EventsLost as EventsLost
from callboard.actors.sessions.outlets import LogSink as LogSink
from callboard.actors.sessions.relief import MemoryPressure as MemoryPressure
from callboard.actors.sessions.relief import MemoryPressureChanged as MemoryPressureChanged
from callboard.actors.sessions.states import Presence as Presence
from callboard.actors.sessions.states import SessionState as SessionState
from callboard.actors.sessions.states import SessionStatus as SessionStatus
from callboard.actors.sessions.subscriptions import Subscription as Subscription
from callboard.actors.storage.commits import CommitOutcome as CommitOutcome
from callboard.actors.storage.memory import MemoryStore as MemoryStore
from callboard.actors.storage.postgres import PostgresExtraMissing as PostgresExtraMissing
from callboard.actors.storage.postgres import PostgresStore as PostgresStore
from callboard.actors.system import NotStarted as NotStarted
from callboard.actors.system import SessionSystem as SessionSystem
from callboard.actors.system import StartedAlready as StartedAlready
from callboard.actors.systemd import SystemdWatchdog as SystemdWatchdog
from callboard.actors.systemd import notify_systemd as notify_systemd
from callboard.actors.workspace import FolderWorkspaces as FolderWorkspaces
from callboard.actors.workspace import Remains as Remains
from callboard.actors.workspace import WorkspaceProvider as WorkspaceProvider

__all__ = [
    "AGENT_API",
    "METRICS",
    "STANDARD",
    "AddMcpClient",
    "AgentAttached",
    "AgentBusy",
    "AgentConnection",
    "AgentConnector",
    "AgentDied",
    "AgentEnd",
    "AgentHello",
    "AgentInfo",
    "AgentMemory",
    "AgentNotAttached",
    "AgentSpec",
    "AgentTimeout",
    "AgentUpdate",
    "AppendMessage",
    "AttachAgent",
    "AttachClient",
    "AuditError",
    "AuditEvent",
    "AuditFile",
    "AuditFileRefused",
    "AuditLogger",
    "AuditSink",
    "BeginSpawn",
    "CallTool",
    "CancelPrompt",
    "Cleaner",
    "CleanupInactive",
    "ClientEvent",
    "ClientInfo",
    "ClientSink",
    "CommitOutcome",
    "ComposedPrompts",
    "ConnectionMessage",
    "Connectors",
    "CountSessions",
    "CreateSession",
    "DetachAgent",
    "DetachClient",
    "DuplicateMcpClient",
    "DuplicateRole",
    "DuplicateSession",
    "EnvironmentSecrets",
    "EventKind",
    "EventsLost",
    "Fault",
    "FindSession",
    "FolderWorkspaces",
    "GetMcpClient",
    "GetMessages",
    "GetSession",
    "GetSessionRef",
    "GetSystemPrompt",
    "Health",
    "HealthReport",
    "Hold",
    "HoldKind",
    "IdempotencyConflict",
    "ImportRefused",
    "IncrementMessageCount",
    "InjectCrash",
    "InvalidField",
    "InvalidOrgId",
    "InvalidUserId",
    "Keeping",
    "LinkState",
    "ListMcpClients",
    "ListSessions",
    "ListTools",
    "LogSink",
    "MaxSessionsReached",
    "McpCallLost",
    "McpClientDown",
    "McpClientInfo",
    "McpClientNotFound",
    "McpConnectError",
    "McpConnection",
    "McpConnector",
    "McpSpec",
    "McpTimeout",
    "McpTool",
    "McpToolError",
    "Memory",
    "MemoryPressure",
    "MemoryPressureChanged",
    "MemoryStore",
    "MemoryUnknown",
    "Message",
    "MessagePage",
    "MessageTooLarge",
    "Metric",
    "MetricKind",
    "MetricsExtraMissing",
    "MetricsSink",
    "NoConnector",
    "NotStarted",
    "PassivateSession",
    "PostgresExtraMissing",
    "PostgresStore",
    "Presence",
    "ProcessMemory",
    "PrometheusMetrics",
    "Prompt",
    "PromptComposer",
    "PromptError",
    "PromptFailed",
    "PromptRepeated",
    "PromptResult",
    "PromptTimeout",
    "RecordActivity",
    "Remains",
    "RemoveMcpClient",
    "ReplayGap",
    "ResumeSession",
    "ReviveSession",
    "Role",
    "SecretError",
    "SecretRef",
    "Secrets",
    "Session",
    "SessionActor",
    "SessionAsleep",
    "SessionCrashed",
    "SessionEntry",
    "SessionError",
    "SessionEvent",
    "SessionHasLog",
    "SessionId",
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
    "SessionStore",
    "SessionSystem",
    "SessionTerminating",
    "SessionUnreadable",
    "Shutdown",
    "ShuttingDown",
    "SlowConsumer",
    "SpawnError",
    "StartedAlready",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreFenced",
    "StoreHealth",
    "StoreLocked",
    "StoreNotOperable",
    "StoreOutcomeUnknown",
    "StoreRefused",
    "StoreTooNew",
    "Subscribe",
    "Subscription",
    "SubscriptionClosed",
    "SystemdWatchdog",
    "TerminateSession",
    "TooManyCalls",
    "TransitionError",
    "Transport",
    "UpdateFailed",
    "UpdateSession",
    "UpdateSystemPrompt",
    "VersionConflict",
    "Watchdog",
    "WorkspaceError",
    "WorkspaceProvider",
    "notify_systemd",
]
