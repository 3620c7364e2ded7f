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

from callboard.supervision.model.errors import CallboardError as CallboardError
from callboard.supervision.model.errors import DeliveryError as DeliveryError
from callboard.supervision.model.errors import InvalidSpec as InvalidSpec
from callboard.supervision.model.errors import Refusal as Refusal
from callboard.supervision.model.notices import Down as Down
from callboard.supervision.model.notices import Exit as Exit
from callboard.supervision.model.reasons import Crashed as Crashed
from callboard.supervision.model.reasons import ExitReason as ExitReason
from callboard.supervision.model.reasons import Killed as Killed
from callboard.supervision.model.reasons import NoActor as NoActor
from callboard.supervision.model.reasons import Normal as Normal
from callboard.supervision.model.reasons import Shutdown as Shutdown
from callboard.supervision.model.reports import StopReport as StopReport
from callboard.supervision.model.requests import Request as Request
from callboard.supervision.model.requests import handles as handles
from callboard.supervision.runtime.actors import PinnedActor as PinnedActor
from callboard.supervision.runtime.actors import SupervisedActor as SupervisedActor
from callboard.supervision.runtime.cell import Cell as ActorRef
from callboard.supervision.runtime.dead_letters import DeadLetter as DeadLetter
from callboard.supervision.runtime.errors import ActorDeadError as ActorDeadError
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
from callboard.supervision.runtime.futures import Future as Future
from callboard.supervision.runtime.futures import get_all as get_all
from callboard.supervision.runtime.names import Address as Address
from callboard.supervision.runtime.names import NameTaken as NameTaken
from callboard.supervision.runtime.notices import IdleTimeout as IdleTimeout
from callboard.supervision.runtime.operations import LATER as LATER
from callboard.supervision.runtime.operations import Later as Later
from callboard.supervision.runtime.pooled import PooledActor as PooledActor
from callboard.supervision.runtime.settings import Settings as Settings
from callboard.supervision.runtime.system import ActorCrashed as ActorCrashed
from callboard.supervision.runtime.system import ActorSystem as ActorSystem
from callboard.supervision.runtime.watcher import HandlerAbandoned as HandlerAbandoned

__all__ = [
    "LATER",
    "ActorCrashed",
    "ActorDeadError",
    "ActorRef",
    "ActorSystem",
    "Address",
    "AskCycle",
    "CallboardError",
    "Crashed",
    "DeadLetter",
    "DeliveryError",
    "Down",
    "Exit",
    "ExitReason",
    "FencedError",
    "Future",
    "HandlerAbandoned",
    "IdleTimeout",
    "IgnoreStart",
    "InvalidSpec",
    "Killed",
    "Later",
    "MailboxFull",
    "NameTaken",
    "NoActor",
    "NoSystem",
    "Normal",
    "PinnedActor",
    "PooledActor",
    "Refusal",
    "Request",
    "Settings",
    "Shutdown",
    "StartFailed",
    "StopReport",
    "StopStart",
    "SupervisedActor",
    "SystemStopped",
    "Timeout",
    "TooManyWaiting",
    "UnhandledMessage",
    "get_all",
    "handles",
]
