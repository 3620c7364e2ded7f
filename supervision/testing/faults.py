"""What may go wrong in a simulation, for whom, and how often: data, checked when it is made."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final, TypeAlias

import msgspec

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.specs import check_type

RATES: Final = (0.0, 0.02, 0.2)
"""How likely a fault is that does not say: each seed draws one of these, so that faults are met
alone, together, rarely and often."""

PROCESS_RATES: Final = (0.0, 0.0005, 0.005)
"""The same, of what may strike after every step."""

MOST: Final = 5
"""How often a fault that does not say strikes in one schedule, at most."""

ON_START: Final = "on_start"
TERMINATE: Final = "terminate"
HOOKS: Final = (ON_START, TERMINATE)
"""What `on` may name beside types of messages."""

ANY: Final = "*"

Rate: TypeAlias = float | tuple[float, ...]


class Struck(Exception):
    """What is raised by a handler or hook that a fault makes crash, unless the fault says."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The base of all faults: whom one strikes, and how often.

    A fault of a port of your own is a subclass; its fake asks `Simulation.strikes`.

    Args:
        of: whom: a pattern (`fnmatch`) for the name of the actor's class or of one of its bases,
            for the actor's name, or for its path. `*` is everybody but supervisors, other
            system actors, and classes that say `is_spared = True`, as that of a probe does:
            those are struck by their names only.
        on: in the middle of what: a pattern for the name of the message's type.
        rate: how likely it is each time that it could strike, from 0 to 1; of several each seed
            draws one. None: of `RATES`.
        nth: which of the times that it could strike one actor it does, from 1, whatever
            incarnation that is; in place of a rate.
        most: how often it strikes in one schedule, at most.

    Raises:
        InvalidSpec: a value that cannot be, naming field, value and remedy.
    """

    word: ClassVar[str] = "fault"
    """What it is called in traces, and for `Simulation.seen`."""

    rates: ClassVar[tuple[float, ...]] = RATES
    """How likely it is if it does not say: each seed draws one."""

    of: str = ANY
    on: str = ANY
    rate: Rate | None = None
    nth: int | None = None
    most: int = MOST

    def __post_init__(self) -> None:
        for field in ("of", "on"):
            if not (isinstance(getattr(self, field), str) and getattr(self, field)):
                raise InvalidSpec(field, getattr(self, field), "Give a pattern, such as '*'.")
        _check_rate(self.rate)
        for field in ("nth", "most"):
            value = getattr(self, field)
            if not (value is None and field == "nth") and not _is_count(value):
                raise InvalidSpec(field, value, "Give a whole number from 1 on.")
        if self.nth is not None and self.rate is not None:
            raise InvalidSpec("rate", self.rate, "Give a rate or nth, not both.")

    @property
    def name(self) -> str:
        """What it is called in traces: its word, or a longer one."""
        return self.word

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike.

        Args:
            who: whom it struck.
            on: in the middle of what: a type of message, or what else `on` was compared with.
        """
        return f"{self.name} strikes {who} on {on}"


class ActorFault(Fault, frozen=True, kw_only=True):
    """The base of what strikes an actor that handles a message, starts or ends.

    Args:
        on: a pattern for the message's type; or `on_start`, or `terminate`, which no pattern
            means. `*` is every message.
    """

    @property
    def name(self) -> str:
        """Its word, and the hook if it strikes there."""
        return f"{self._when}{self.word}" + (f" in {self.on}" if self.on in HOOKS else "")

    @property
    def is_after(self) -> bool:
        """Whether it strikes when the handler or hook has done its work, and not before."""
        return False

    @property
    def _when(self) -> str:
        return "late " if self.is_after else ""


class Crash(ActorFault, frozen=True, kw_only=True):
    """The handler or hook raises.

    Args:
        error: what it raises.
        is_late: whether it raises as the last thing it does, in place of returning. What is not
            `async` itself and returns a coroutine all the same is not struck late.
    """

    word: ClassVar[str] = "crash"
    error: type[BaseException] = Struck
    is_late: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        error: Any = self.error
        is_right = isinstance(error, type) and issubclass(error, BaseException)
        if not is_right:
            raise InvalidSpec("error", self.error, "Give the class of an exception.")
        check_type("is_late", self.is_late, bool, "Give True or False.")

    @property
    def is_after(self) -> bool:
        """Whether it is late."""
        return self.is_late

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"{place(who, on)} crashes{' when all is done' if self.is_late else ''}"


class Kill(ActorFault, frozen=True, kw_only=True):
    """Somebody else kills the actor: just then, or when the schedule lets him.

    Args:
        is_late: whether the handler or hook has done its work then, and is about to return.
    """

    word: ClassVar[str] = "kill"
    is_late: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type("is_late", self.is_late, bool, "Give True or False.")

    @property
    def is_after(self) -> bool:
        """Whether it is late."""
        return self.is_late

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"somebody kills {who} in {on}{', when all is done' if self.is_late else ''}"


class Hang(ActorFault, frozen=True, kw_only=True):
    """The handler or hook waits for what does not come. A kill wakes it, and the end of faults.

    On the stack of another, by hand-off or at a start there, nobody hangs.

    Args:
        seconds: for how long.
    """

    word: ClassVar[str] = "hang"
    seconds: float = math.inf

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seconds(self.seconds, at_most=math.inf)

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"{place(who, on)} hangs"


class Slow(ActorFault, frozen=True, kw_only=True):
    """The handler or hook takes its time, as in a system call: a kill does not wake it.

    One that was killed meanwhile goes on all the same, as a dead one.

    Args:
        seconds: how long.
    """

    word: ClassVar[str] = "slow"
    seconds: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seconds(self.seconds)

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"{place(who, on)} takes {self.seconds:g} s"


class ClockJump(ActorFault, frozen=True, kw_only=True):
    """The clock jumps, as when the whole process stood still: whatever was due since is late.

    Args:
        seconds: how far.
        is_wall_only: whether it is the wall clock alone that somebody has set, backward too.
    """

    word: ClassVar[str] = "clock jump"
    seconds: float = 60.0
    is_wall_only: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_type("is_wall_only", self.is_wall_only, bool, "Give True or False.")
        _check_seconds(-self.seconds if self.is_wall_only and self.seconds < 0 else self.seconds)

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        which = "wall clock" if self.is_wall_only else "clock"
        return f"the {which} jumps by {self.seconds:g} s in {place(who, on)}"


class FullMailbox(ActorFault, frozen=True, kw_only=True):
    """The actor's mailbox is full for a while: what is sent to it is refused.

    Args:
        seconds: how long.
    """

    word: ClassVar[str] = "full mailbox"
    seconds: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seconds(self.seconds)

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the mailbox of {who} is full for {self.seconds:g} s from {on} on"


class TimerFault(Fault, frozen=True, kw_only=True):
    """The base of what strikes a timer of an actor's: `send_after`, or an idle timeout.

    Args:
        of: whose timer.
        on: a pattern for the type of what it is to bring.
    """


class LostTimer(TimerFault, frozen=True, kw_only=True):
    """The timer never goes off."""

    word: ClassVar[str] = "lost timer"

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the timer of {who} for {on} is lost"


class LateTimer(TimerFault, frozen=True, kw_only=True):
    """The timer goes off too late.

    Args:
        seconds: by how much.
    """

    word: ClassVar[str] = "late timer"
    seconds: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seconds(self.seconds)

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the timer of {who} for {on} is to be {self.seconds:g} s late"


class DoubledTimer(TimerFault, frozen=True, kw_only=True):
    """The timer goes off twice, unless it is cancelled before the first time.

    Args:
        seconds: from the first time to the second.
    """

    word: ClassVar[str] = "doubled timer"
    seconds: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_seconds(self.seconds)

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        return f"the timer of {who} for {on} is to go off twice"


class ProcessDies(Fault, frozen=True, kw_only=True):
    """The whole process dies between two steps, as by kill -9: see `Simulation.die`.

    Whoever drives the simulation gets `ProcessDied`, and goes on as the next process.

    Args:
        of: no matter.
        on: no matter.
        rate: how likely it is after each step; None: of `PROCESS_RATES`.
        nth: after which step.
    """

    word: ClassVar[str] = "process death"
    rates: ClassVar[tuple[float, ...]] = PROCESS_RATES

    def tells(self, who: str, on: str) -> str:
        """Return what is told of a strike."""
        del who, on
        return "the process dies"


class FaultPlan(msgspec.Struct, frozen=True):
    """What may go wrong in a simulation: `Simulation(faults=...)`, `@simulate(faults=...)`.

        FaultPlan((
            faults.Crash(of="Counter", on="Add", rate=0.1),
            faults.Crash(of="Counter", on="on_start", nth=2, most=1),
            faults.Slow(of="session/*", seconds=10.0),
        ))

    Each strike is a decision of the schedule, as who runs next is one: it comes again with the
    seed, and is taken out where a failure does not need it.

    Args:
        faults: each is tried by itself, in this order.

    Raises:
        InvalidSpec: something that is no fault.
    """

    faults: tuple[Fault, ...]

    def __post_init__(self) -> None:
        check_type("faults", self.faults, tuple, "Give a tuple of faults.")
        for each in self.faults:
            check_type("faults", each, Fault, "Give a tuple of faults, such as faults.Crash().")

    @staticmethod
    def storm(*more: Fault, of: str = ANY) -> FaultPlan:
        """Return a plan with every fault of actors and timers, at rates that each seed draws.

        Args:
            more: what else may happen, such as the faults of a store.
            of: whom the others strike.
        """
        return FaultPlan(
            (
                Crash(of=of),
                Crash(of=of, is_late=True),
                Crash(of=of, on=ON_START),
                Crash(of=of, on=TERMINATE),
                Kill(of=of),
                Kill(of=of, is_late=True),
                Hang(of=of),
                Slow(of=of),
                ClockJump(of=of),
                FullMailbox(of=of),
                LostTimer(of=of),
                LateTimer(of=of),
                DoubledTimer(of=of),
                *more,
            )
        )


def place(who: str, on: str) -> str:
    """Return what a handler or a hook is called in a sentence."""
    return f"{on} of {who}" if on in HOOKS else f"the handler of {on} in {who}"


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _is_probability(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _check_rate(rate: Rate | None) -> None:
    rates = rate if isinstance(rate, tuple) and rate else (rate,)
    if rate is None or all(map(_is_probability, rates)):
        return
    remedy = "Give a probability from 0 to 1, or a tuple of some, of which each seed draws one."
    raise InvalidSpec("rate", rate, remedy)


def _check_seconds(value: object, *, at_most: float = 1e9) -> None:
    """Refuse what is no time to pass; a time for ever only where it may be."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= at_most:
        return
    raise InvalidSpec("seconds", value, "Give seconds above zero.")
