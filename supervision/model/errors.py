"""What can go wrong, as one tree: what a caller can handle, and what a programmer must fix."""

from __future__ import annotations

from typing import ClassVar

from callboard.supervision.model.showing import shown


class CallboardError(Exception):
    """The root of every error that callboard raises on purpose.

    The class says what happened; the attributes say what to do about it, for
    programs (`code`, `is_retryable`, `is_outcome_known`) and people (`remedy`).
    """

    code: ClassVar[str] = "callboard_error"
    """A stable name for programs: it may be stored, sent and compared."""

    remedy: str = "See the message."
    """What the reader can do about it, in one sentence."""

    is_retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without any change."""

    is_outcome_known: ClassVar[bool] = True
    """Whether it is certain that the call had no effect."""


class Refusal(CallboardError):
    """A declared answer of an actor that is not a crash: the asker gets it, the actor lives.

    Raise a subclass inside a handler to say no. Every other exception that
    leaves a handler of a `SupervisedActor` ends the actor.
    """

    code: ClassVar[str] = "refused"
    remedy: str = "Change the request as the message says."


class DeliveryError(CallboardError):
    """A message got no answer from the actor it was sent to.

    Args:
        message: what happened, in words.
        address: the name or the representation of the actor that was addressed.
    """

    code: ClassVar[str] = "not_delivered"
    remedy: str = "Look the actor up again, or ask its supervisor why it ended."

    def __init__(self, message: str = "", *, address: str = "") -> None:
        super().__init__(message)
        self.address = address
        """Whom the message was for."""


def is_seconds(value: object) -> bool:
    """Say whether it is a time to wait: a number, 0 or more, `math.inf` included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return value >= 0  # NaN is not


class InvalidSpec(CallboardError, ValueError):
    """A programmer's slip in a child spec or a flag, refused before anything starts.

    Args:
        field: the field that is wrong.
        value: what was given.
        remedy: what would be right, as a sentence.
    """

    code: ClassVar[str] = "invalid_spec"

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}={shown(value)} is not valid. {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy
