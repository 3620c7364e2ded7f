"""The processes of a scenario: actors that do what it says, and keep what they get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from callboard.supervision import Crashed, Down, IgnoreStart, StopStart, SupervisedActor
from scripts.tracing.vocabulary import ScriptedError, UnknownWord, reason_of

if TYPE_CHECKING:
    from scripts.tracing.company import Company


class Perform(msgspec.Struct, frozen=True):
    """Have a process do something as itself."""

    act: Callable[[Any], Any]


class Process(SupervisedActor):
    """Keeps what it gets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inbox: list[object] = []
        self.monitors: dict[str, int] = {}

    def on_receive(self, message: object) -> Any:
        """Do what it is to do, or keep it."""
        if isinstance(message, Perform):
            return message.act(self)
        self.inbox.append(message)
        return None

    def flush(self, monitor: int) -> None:
        """Take what it got of a monitor out of what it keeps, its mailbox."""
        self.inbox = [
            each for each in self.inbox if not isinstance(each, Down) or each.monitor != monitor
        ]


class Trapping(Process):
    """A process to which exits of others are messages."""

    trap_exit = True


class Child(Process):
    """Starts, and fails to, as the scenario says.

    Args:
        args: the supervisor's extra arguments, then the company and what the scenario says.
    """

    def __init__(self, *args: Any) -> None:
        *extra, company, child = args
        super().__init__(child["name"])
        self._extra: list[Any] = extra
        self._company: Company = company
        self._child: Mapping[str, Any] = child

    def on_start(self) -> None:
        """Start, or not, as the scenario says for this attempt."""
        said = {"extra": self._extra[0]} if len(self._extra) == 1 else {}
        outcome, self.name = self._company.attempt(self._child)
        if outcome == "ok":
            self._company.started(self.name, self.actor_ref, said)
            return
        self._company.starts.append(
            {"ev": "ignore" if outcome == "ignore" else "start_failed", "who": self.name, **said}
        )
        match outcome:
            case "ignore":
                raise IgnoreStart
            case "raise":
                raise ScriptedError("init_raise")
            case "fail":
                raise StopStart(Crashed(error="init_fail"))
            case "stop_normal" | "stop_shutdown":
                raise StopStart(reason_of(outcome.removeprefix("stop_")))
            case _:
                msg = f"there is no outcome {outcome!r}"
                raise UnknownWord(msg)


class TrappingChild(Child):
    """A child to which exits of others are messages."""

    trap_exit = True
