"""What a simulation says when something is wrong that no actor would notice."""

from __future__ import annotations

from typing import ClassVar

from callboard.supervision.model.errors import CallboardError
from callboard.supervision.runtime.interrupts import Unwound


class SimulationError(CallboardError):
    """The root of what a simulation finds by itself."""

    code: ClassVar[str] = "simulation"


class MissingExtra(SimulationError, ImportError):
    """A package that only tests need is not installed."""

    code: ClassVar[str] = "missing_extra"
    remedy: str = "pip install callboard[testing]"


class Deadlock(SimulationError):
    """Nothing is ready, no timer is pending, and somebody waits.

    Args:
        message: who waits for whom.
        waiting: the names of those who wait.
        cycle: those of them who wait for each other, each for the next, the first one twice;
            empty where none is known.
    """

    code: ClassVar[str] = "deadlock"
    remedy: str = "Let one of them answer later, tell instead of asking, or give the ask a timeout."

    def __init__(
        self, message: str, *, waiting: tuple[str, ...] = (), cycle: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.waiting = waiting
        self.cycle = cycle


class Livelock(SimulationError):
    """It goes on and on: the bound of steps was met.

    Args:
        message: who ran in the last steps.
        steps_max: the bound, in steps since the test's own code ran last.
    """

    code: ClassVar[str] = "livelock"
    remedy: str = "Look at who ran last; if so many steps are right, raise steps_max."

    def __init__(self, message: str, *, steps_max: int) -> None:
        super().__init__(message)
        self.steps_max = steps_max


class LawBroken(SimulationError, AssertionError):
    """What must hold after every step did not: what a test says (`Simulation.law`), or always.

    Args:
        message: the law, and what is wrong.
        law: its name.
    """

    code: ClassVar[str] = "law_broken"
    remedy: str = "Read the story: the last step before it is the one that broke it."

    def __init__(self, message: str, *, law: str) -> None:
        super().__init__(message)
        self.law = law


class ProcessDied(SimulationError):
    """The process that is simulated has died: nothing of what ran in it goes on.

    It is no failure of the test, which goes on as the next process would: with a new system, on
    what a store has kept. See `Simulation.die`.
    """

    code: ClassVar[str] = "process_died"
    remedy: str = "Catch it, and start another system on what is left."


class NeverSeen(SimulationError, AssertionError):
    """Something that a campaign says must happen sometimes never did.

    Args:
        message: what, and in how many schedules.
        kinds: what never happened.
    """

    code: ClassVar[str] = "never_seen"
    remedy: str = "Run more schedules, make it likelier, or mend the spelling of what must be seen."

    def __init__(self, message: str, *, kinds: tuple[str, ...]) -> None:
        super().__init__(message)
        self.kinds = kinds


class Leaked(SimulationError, AssertionError):
    """At the end of a test actors are left that nobody would ever end.

    Args:
        message: who, and who had spawned them.
        actors: their names.
        remedy: who should have ended them.
    """

    code: ClassVar[str] = "leaked"

    def __init__(self, message: str, *, actors: tuple[str, ...], remedy: str) -> None:
        super().__init__(f"{message}. {remedy}")
        self.actors = actors
        self.remedy = remedy


class EndlessStep(Unwound):
    """One step went on and on: a handler that neither ends nor waits, as `while True: pass`.

    It is raised in that handler, and then where the simulation was driven. It is
    no `Exception`, so that a handler that catches those cannot go on for ever.

    Args:
        actor: the name of the actor, or of what else ran.
        message_type: the type of the message in hand; None at a start or an end.
        place: the line that ran when it was found.
        step_max_s: the bound, in seconds of the processor.
    """

    code: ClassVar[str] = "endless_step"
    remedy: str = "Let it end, or wait; if so much work is right, raise step_max_s."

    def __init__(
        self, actor: str, *, message_type: str | None, place: str, step_max_s: float
    ) -> None:
        what = "runs" if message_type is None else f"handles {message_type}"
        super().__init__(
            f"{actor} {what} for more than {step_max_s:g} seconds of the processor,"
            f" now at {place}. {self.remedy}"
        )
        self.actor = actor
        self.message_type = message_type
        self.place = place
        self.step_max_s = step_max_s


class BlockedInHandOff(SimulationError):
    """A class that declares its handlers short (`hand_off`) waited in one.

    Args:
        message: what happened, in words.
        actor: the name of the actor whose handler it is.
    """

    code: ClassVar[str] = "blocked_in_hand_off"
    remedy: str = "Take hand_off away from the class, or answer later instead of waiting."

    def __init__(self, message: str, *, actor: str) -> None:
        super().__init__(message)
        self.actor = actor


class OutsideOfSimulation(SimulationError):
    """Something reached for a thread, which no seed governs."""

    code: ClassVar[str] = "outside_of_simulation"
    remedy: str = "Use an actor, a PinnedActor or a port of the system instead."


class SimulationClosed(SimulationError):
    """The simulation was closed, or failed: nothing runs in it any more."""

    code: ClassVar[str] = "simulation_closed"
    remedy: str = "Make a new Simulation."


class NotReplayable(SimulationError):
    """The same seed gave two different runs."""

    code: ClassVar[str] = "not_replayable"
    remedy: str = (
        "Something in the test does not come from the system's ports: the time, chance, a thread,"
        " or the order of a set."
    )
