"""Why an actor ended, as a value that can be kept, compared, sent and shown."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One step of the walk to where an exception was raised.

    Args:
        file: path of the source file, as Python knew it.
        line: number of the line in it, from 1.
        name: qualified name of the function.
    """

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.name}"


class Normal(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The actor did what it was there for and ended by itself.

    Source: OTP, exit reason `normal`.
    """

    def __str__(self) -> str:
        return "normal"


class FailedToStart(msgspec.Struct, frozen=True, gc=False):
    """Which child kept a supervisor from starting, and why.

    Args:
        child_id: the id in the child's spec.
        reason: why the child's start failed; nests when the child is a supervisor.

    Source: OTP supervisor.erl, `{failed_to_start_child, Id, Reason}`.
    """

    child_id: str | int
    reason: ExitReason

    def __str__(self) -> str:
        return f"child {self.child_id!r} failed to start: {self.reason}"


class Shutdown(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The actor was told to end in an orderly way, or chose to.

    `Shutdown()` is OTP's `shutdown`; with a detail or a cause it is OTP's
    `{shutdown, Term}`. The two differ only in what a supervisor reports when a
    permanent child answers a stop with them.

    `callboard.actors.Shutdown` is something else: a message to a session system.
    Where either is taken for the other it is refused, and the error says which it is.

    Args:
        detail: what the actor wants to say about it.
        cause: set when a supervisor ended because a child failed to start.

    Source: OTP, exit reasons `shutdown` and `{shutdown, Term}`.
    """

    detail: str | None = None
    cause: FailedToStart | None = None

    def __str__(self) -> str:
        said = [str(each) for each in (self.detail, self.cause) if each is not None]
        return ": ".join(["shutdown", *said])


class Crashed(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The actor ended by an exception that nobody handled, or by an error reason of its own.

    No live exception inside: it would keep its frames, and so the dead actor, alive.

    Args:
        error: qualified name of the exception's class, or the error's name.
        message: the exception's own text, shortened.
        walk: where it was raised, outermost first; the innermost frames only.

    Source: OTP, exit reason `{Error, Stacktrace}`.
    """

    error: str
    message: str = ""
    walk: tuple[Frame, ...] = ()

    def __str__(self) -> str:
        said = f"crashed: {self.error}"
        # It stands in the middle of a sentence: what would end one is left out.
        message = self.message.rstrip(" .\n")
        if message:
            said = f"{said}: {message}"
        return f"{said} at {self.walk[-1]}" if self.walk else said


class Killed(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The actor was killed: it was dead at once and ran no cleanup.

    For a restart decision an ordinary abnormal reason.

    Source: OTP, exit reason `killed`.
    """

    def __str__(self) -> str:
        return "killed"


class NoActor(msgspec.Struct, frozen=True, tag=True, gc=False):
    """There was no actor to speak of: dead already, or a name nobody holds.

    Source: OTP, exit reason `noproc`.
    """

    def __str__(self) -> str:
        return "no actor"


ExitReason: TypeAlias = Normal | Shutdown | Crashed | Killed | NoActor
"""Why an incarnation ended. Every incarnation has exactly one."""

EXIT_REASONS: Final = (Normal, Shutdown, Crashed, Killed, NoActor)
"""The same, for `isinstance`."""


def is_abnormal(reason: ExitReason) -> bool:
    """Say whether a transient child that ended so is restarted.

    `Normal` and every `Shutdown`, with a detail or without, are no failures.

    Source: OTP supervisor.erl, `do_restart/3`.
    """
    return not isinstance(reason, (Normal, Shutdown))
