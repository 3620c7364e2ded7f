"""Why a message got no answer. Two of these are pykka's errors too, by inheritance."""

from __future__ import annotations

from typing import ClassVar

from callboard.supervision.model.errors import (
    CallboardError,
    DeliveryError,
    InvalidSpec,
    Refusal,
)
from callboard.supervision.model.reasons import EXIT_REASONS, ExitReason, Normal
from callboard.supervision.runtime.seam import PykkaActorDeadError, PykkaTimeout


def check_reason(reason: object) -> None:
    """Refuse what is no exit reason, such as the message `Shutdown` of `callboard.actors`.

    Raises:
        InvalidSpec: it is none.
    """
    if not isinstance(reason, EXIT_REASONS):
        remedy = "Give an exit reason of callboard.supervision: Normal(), Shutdown(...), ..."
        raise InvalidSpec("reason", reason, remedy)


class ActorDeadError(DeliveryError, PykkaActorDeadError):
    """The actor had ended, or ended before it handled the message.

    Source: Erlang, the `noproc` of gen_server:call/3; here it is raised, where OTP's caller exits.
    """

    code: ClassVar[str] = "actor_dead"
    remedy: str = "Ask by its address: after a restart the address answers, an old ref does not."
    is_retryable: ClassVar[bool] = True


class ActorKilled(ActorDeadError):
    """The actor was killed while it handled the message; how far it came is not known.

    Or it ended otherwise with the answer still to come (`reply_later`); the text says how.
    """

    code: ClassVar[str] = "actor_killed"
    remedy: str = "Find out what took effect, then repeat the message to whoever came next."
    is_outcome_known: ClassVar[bool] = False


class Timeout(DeliveryError, PykkaTimeout):
    """No answer came in time; whether the message took effect is not known.

    Source: Erlang, the `timeout` of gen_server:call/3; here it is raised, where OTP's caller exits.
    """

    code: ClassVar[str] = "timeout"
    remedy: str = "Allow more time with timeout=, or find out what keeps the actor busy."
    is_retryable: ClassVar[bool] = True
    is_outcome_known: ClassVar[bool] = False


class MailboxFull(DeliveryError):
    """The mailbox holds as many messages as it may; this one was not taken.

    Args:
        mailbox_max: the bound that was met, in messages.
        unsent: the message that was refused.
        address: whose mailbox it is.
    """

    code: ClassVar[str] = "mailbox_full"
    remedy: str = "Send less, or later; or give the actor a larger mailbox_max."
    is_retryable: ClassVar[bool] = True

    def __init__(self, mailbox_max: int, *, unsent: object, address: str) -> None:
        super().__init__(
            f"the mailbox of {address} is full ({mailbox_max} messages)", address=address
        )
        self.mailbox_max = mailbox_max
        self.unsent = unsent


class AskCycle(DeliveryError):
    """Waiting for this answer would never end: whoever is asked waits for the asker.

    Or for its end: as a supervisor that is stopping the asker, and has yet to start the other.

    Source: OTP, the `calling_self` of gen_server:call/3; here longer circles are found too.
    """

    code: ClassVar[str] = "ask_cycle"
    remedy: str = "Tell instead of asking, or let one of the two answer later."


class TooManyWaiting(DeliveryError):
    """The pool is at its outer ceiling of workers: one more may not wait."""

    code: ClassVar[str] = "too_many_waiting"
    remedy: str = "Make the handlers that wait async, or raise workers_ceiling."
    is_retryable: ClassVar[bool] = True


class SystemStopped(DeliveryError):
    """The actor system has been stopped, or belongs to another process (after fork)."""

    code: ClassVar[str] = "system_stopped"
    remedy: str = "Start a new system; one that was stopped does not come back."


class FencedError(DeliveryError):
    """The sender is an incarnation that has been killed: it may not act any more."""

    code: ClassVar[str] = "fenced"
    remedy: str = "Nothing: a newer incarnation has taken over."


class Unsupported(CallboardError):
    """A plain pykka actor runs a loop of its own: this cannot be done to it from outside."""

    code: ClassVar[str] = "unsupported"
    remedy: str = "Derive its class from PooledActor or SupervisedActor."


class StartFailed(DeliveryError):
    """An actor ended before its start was complete.

    Args:
        reason: its exit reason.
        address: the actor that was to start.
    """

    code: ClassVar[str] = "start_failed"
    remedy: str = "See the reason: it names the error and where it was raised."

    def __init__(self, reason: object, *, address: str) -> None:
        super().__init__(f"{address} did not start: {reason}", address=address)
        self.reason = reason


class UnhandledMessage(Refusal):
    """The actor has no handler for this message.

    A handler is found by the message's class, so one whose class is not hashable (its
    metaclass has `__eq__` without `__hash__`) has none, in whatever actor.
    """

    code: ClassVar[str] = "unhandled_message"
    remedy: str = "Mark a method of the actor with @handles for this message type."


class NoSystem(CallboardError, TypeError):
    """A supervised actor was to start without saying in which system."""

    code: ClassVar[str] = "no_system"
    remedy: str = "Start it with system.spawn(...), under a supervisor, or from inside an actor."


class StartRefused(CallboardError):
    """Base of what an actor may raise in `__init__` or `on_start` to say: not this time.

    Raises:
        InvalidSpec: the reason is none.
    """

    code: ClassVar[str] = "start_refused"
    is_ignored: ClassVar[bool] = False

    def __init__(self, reason: ExitReason) -> None:
        check_reason(reason)
        super().__init__(str(reason))
        self.reason = reason


class IgnoreStart(StartRefused):
    """Raised in `__init__` or `on_start`: there is nothing to run, and that is no failure.

    Source: Erlang, the `ignore` of `gen_server:init/1`.
    """

    code: ClassVar[str] = "start_ignored"
    is_ignored: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(Normal())


class StopStart(StartRefused):
    """Raised in `__init__` or `on_start`: end with this reason instead of starting.

    Source: Erlang, the `{stop, Reason}` of `gen_server:init/1`.
    """

    code: ClassVar[str] = "start_stopped"
