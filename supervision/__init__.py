"""OTP for Python: actors that may crash, and supervisors that bring them back.

This is the public door; `callboard.supervision.testing` is the test kit.
What is behind neither may change any day.
"""

if __name__ != "callboard.supervision":
    msg = (
        "this folder is callboard.supervision: install the project (scripts/setup),"
        " then import callboard.supervision"
    )
    raise ImportError(msg)

from callboard.supervision.model.backoff import Backoff as Backoff
from callboard.supervision.model.errors import CallboardError as CallboardError
from callboard.supervision.model.errors import DeliveryError as DeliveryError
from callboard.supervision.model.errors import InvalidSpec as InvalidSpec
from callboard.supervision.model.errors import Refusal as Refusal
from callboard.supervision.model.events import ChildCrashed as ChildCrashed
from callboard.supervision.model.events import ChildEvent as ChildEvent
from callboard.supervision.model.events import ChildFailedToStart as ChildFailedToStart
from callboard.supervision.model.events import ChildFailedToStop as ChildFailedToStop
from callboard.supervision.model.events import ChildFinished as ChildFinished
from callboard.supervision.model.events import ChildGivenUp as ChildGivenUp
from callboard.supervision.model.events import ChildrenFailedToStop as ChildrenFailedToStop
from callboard.supervision.model.events import ChildRestartWasPostponed as ChildRestartWasPostponed
from callboard.supervision.model.events import ChildWasAbandoned as ChildWasAbandoned
from callboard.supervision.model.events import ChildWasIgnored as ChildWasIgnored
from callboard.supervision.model.events import ChildWasStarted as ChildWasStarted
from callboard.supervision.model.events import ChildWasStopped as ChildWasStopped
from callboard.supervision.model.events import SupervisorEvent as SupervisorEvent
from callboard.supervision.model.events import SupervisorFinished as SupervisorFinished
from callboard.supervision.model.events import SupervisorGaveUp as SupervisorGaveUp
from callboard.supervision.model.events import TreeEvent as TreeEvent
from callboard.supervision.model.intensity import RestartWindow as RestartWindow
from callboard.supervision.model.notices import Down as Down
from callboard.supervision.model.notices import Exit as Exit
from callboard.supervision.model.patterns import ANY as ANY
from callboard.supervision.model.reasons import Crashed as Crashed
from callboard.supervision.model.reasons import ExitReason as ExitReason
from callboard.supervision.model.reasons import Killed as Killed
from callboard.supervision.model.reasons import NoActor as NoActor
from callboard.supervision.model.reasons import Normal as Normal
from callboard.supervision.model.reasons import Shutdown as Shutdown
from callboard.supervision.model.refusals import AlreadyPresent as AlreadyPresent
from callboard.supervision.model.refusals import AlreadyStarted as AlreadyStarted
from callboard.supervision.model.refusals import ChildIsRestarting as ChildIsRestarting
from callboard.supervision.model.refusals import ChildIsRunning as ChildIsRunning
from callboard.supervision.model.refusals import ChildNotFound as ChildNotFound
from callboard.supervision.model.refusals import ChildRefusal as ChildRefusal
from callboard.supervision.model.refusals import ChildrenHaveNoIds as ChildrenHaveNoIds
from callboard.supervision.model.refusals import MaxChildrenReached as MaxChildrenReached
from callboard.supervision.model.refusals import SpecRefused as SpecRefused
from callboard.supervision.model.refusals import StartFailed as ChildStartFailed
from callboard.supervision.model.reports import StopReport as StopReport
from callboard.supervision.model.requests import Request as Request
from callboard.supervision.model.requests import handles as handles
from callboard.supervision.model.routing import partition_of as partition_of
from callboard.supervision.model.specs import BRUTAL_KILL as BRUTAL_KILL
from callboard.supervision.model.specs import AutoShutdown as AutoShutdown
from callboard.supervision.model.specs import ChildKind as ChildKind
from callboard.supervision.model.specs import ChildSpec as ChildSpec
from callboard.supervision.model.specs import RestartType as RestartType
from callboard.supervision.model.specs import Strategy as Strategy
from callboard.supervision.observe.logs import EventLog as EventLog
from callboard.supervision.registry.entries import Registered as Registered
from callboard.supervision.registry.entries import RegistryEntry as RegistryEntry
from callboard.supervision.registry.entries import Unregistered as Unregistered
from callboard.supervision.registry.errors import AlreadyRegistered as AlreadyRegistered
from callboard.supervision.registry.errors import KeysNotUnique as KeysNotUnique
from callboard.supervision.registry.errors import NoOwner as NoOwner
from callboard.supervision.registry.errors import NotRegistered as NotRegistered
from callboard.supervision.registry.errors import RegistryError as RegistryError
from callboard.supervision.registry.errors import RegistryNotRunning as RegistryNotRunning
from callboard.supervision.registry.keys import Keys as Keys
from callboard.supervision.registry.registry import Registry as Registry
from callboard.supervision.registry.via import Via as Via
from callboard.supervision.runtime.actors import PinnedActor as PinnedActor
from callboard.supervision.runtime.actors import SupervisedActor as SupervisedActor
from callboard.supervision.runtime.cell import Cell as ActorRef
from callboard.supervision.runtime.chance import IdGenerator as IdGenerator
from callboard.supervision.runtime.clock import Clock as Clock
from callboard.supervision.runtime.dead_letters import DeadLetter as DeadLetter
from callboard.supervision.runtime.errors import ActorDeadError as ActorDeadError
from callboard.supervision.runtime.errors import ActorKilled as ActorKilled
from callboard.supervision.runtime.errors import AskCycle as AskCycle
from callboard.supervision.runtime.errors import FencedError as FencedError
from callboard.supervision.runtime.errors import IgnoreStart as IgnoreStart
from callboard.supervision.runtime.errors import MailboxFull as MailboxFull
from callboard.supervision.runtime.errors import NoSystem as NoSystem
from callboard.supervision.runtime.errors import StartFailed as StartFailed
from callboard.supervision.runtime.errors import StopStart as StopStart
from callboard.supervision.runtime.errors import SystemStopped as SystemStopped
from callboard.supervision.runtime.errors import Timeout as Timeout
from callboard.supervision.runtime.errors import TooManyWaiting as TooManyWaiting
from callboard.supervision.runtime.errors import UnhandledMessage as UnhandledMessage
from callboard.supervision.runtime.errors import Unsupported as Unsupported
from callboard.supervision.runtime.futures import Future as Future
from callboard.supervision.runtime.futures import get_all as get_all
from callboard.supervision.runtime.names import Address as Address
from callboard.supervision.runtime.names import NameTaken as NameTaken
from callboard.supervision.runtime.notices import IdleTimeout as IdleTimeout
from callboard.supervision.runtime.operations import LATER as LATER
from callboard.supervision.runtime.operations import Later as Later
from callboard.supervision.runtime.pooled import PooledActor as PooledActor
from callboard.supervision.runtime.settings import Settings as Settings
from callboard.supervision.runtime.status import ActorStatus as ActorStatus
from callboard.supervision.runtime.system import ActorCrashed as ActorCrashed
from callboard.supervision.runtime.system import ActorSystem as ActorSystem
from callboard.supervision.runtime.watcher import HandlerAbandoned as HandlerAbandoned
from callboard.supervision.tree.requests import RESTARTING as RESTARTING
from callboard.supervision.tree.requests import ChildCounts as ChildCounts
from callboard.supervision.tree.requests import ChildInfo as ChildInfo
from callboard.supervision.tree.requests import CountChildren as CountChildren
from callboard.supervision.tree.requests import DeleteChild as DeleteChild
from callboard.supervision.tree.requests import GetChildSpec as GetChildSpec
from callboard.supervision.tree.requests import RestartChild as RestartChild
from callboard.supervision.tree.requests import StartAnother as StartAnother
from callboard.supervision.tree.requests import StartChild as StartChild
from callboard.supervision.tree.requests import TerminateChild as TerminateChild
from callboard.supervision.tree.requests import WhichChildren as WhichChildren
from callboard.supervision.tree.simple import (
    SimpleOneForOneSupervisor as SimpleOneForOneSupervisor,
)
from callboard.supervision.tree.supervisor import DynamicSupervisor as DynamicSupervisor
from callboard.supervision.tree.supervisor import PartitionSupervisor as PartitionSupervisor
from callboard.supervision.tree.supervisor import Supervisor as Supervisor

__all__ = [
    "ANY",
    "BRUTAL_KILL",
    "LATER",
    "RESTARTING",
    "ActorCrashed",
    "ActorDeadError",
    "ActorKilled",
    "ActorRef",
    "ActorStatus",
    "ActorSystem",
    "Address",
    "AlreadyPresent",
    "AlreadyRegistered",
    "AlreadyStarted",
    "AskCycle",
    "AutoShutdown",
    "Backoff",
    "CallboardError",
    "ChildCounts",
    "ChildCrashed",
    "ChildEvent",
    "ChildFailedToStart",
    "ChildFailedToStop",
    "ChildFinished",
    "ChildGivenUp",
    "ChildInfo",
    "ChildIsRestarting",
    "ChildIsRunning",
    "ChildKind",
    "ChildNotFound",
    "ChildRefusal",
    "ChildRestartWasPostponed",
    "ChildSpec",
    "ChildStartFailed",
    "ChildWasAbandoned",
    "ChildWasIgnored",
    "ChildWasStarted",
    "ChildWasStopped",
    "ChildrenFailedToStop",
    "ChildrenHaveNoIds",
    "Clock",
    "CountChildren",
    "Crashed",
    "DeadLetter",
    "DeleteChild",
    "DeliveryError",
    "Down",
    "DynamicSupervisor",
    "EventLog",
    "Exit",
    "ExitReason",
    "FencedError",
    "Future",
    "GetChildSpec",
    "HandlerAbandoned",
    "IdGenerator",
    "IdleTimeout",
    "IgnoreStart",
    "InvalidSpec",
    "Keys",
    "KeysNotUnique",
    "Killed",
    "Later",
    "MailboxFull",
    "MaxChildrenReached",
    "NameTaken",
    "NoActor",
    "NoOwner",
    "NoSystem",
    "Normal",
    "NotRegistered",
    "PartitionSupervisor",
    "PinnedActor",
    "PooledActor",
    "Refusal",
    "Registered",
    "Registry",
    "RegistryEntry",
    "RegistryError",
    "RegistryNotRunning",
    "Request",
    "RestartChild",
    "RestartType",
    "RestartWindow",
    "Settings",
    "Shutdown",
    "SimpleOneForOneSupervisor",
    "SpecRefused",
    "StartAnother",
    "StartChild",
    "StartFailed",
    "StopReport",
    "StopStart",
    "Strategy",
    "SupervisedActor",
    "Supervisor",
    "SupervisorEvent",
    "SupervisorFinished",
    "SupervisorGaveUp",
    "SystemStopped",
    "TerminateChild",
    "Timeout",
    "TooManyWaiting",
    "TreeEvent",
    "UnhandledMessage",
    "Unregistered",
    "Unsupported",
    "Via",
    "WhichChildren",
    "get_all",
    "handles",
    "partition_of",
]
