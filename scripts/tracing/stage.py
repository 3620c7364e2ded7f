"""Who is who in a scenario, and what happened: the diary that is compared with a recording."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from callboard.supervision import (
    LATER,
    ActorRef,
    Crashed,
    ExitReason,
    Future,
    IgnoreStart,
    Later,
    Normal,
    Shutdown,
    StopStart,
    SupervisedActor,
    handles,
)
from scripts.tracing.vocabulary import ScriptedError, UnknownWord, is_list, term_of
from scripts.tracing.worlds import World


class Process(msgspec.Struct, eq=False):
    """What a recording calls a process: one incarnation that has come up.

    Args:
        name: what scenarios call it.
        who: name and number of the start attempt, as in `a#2`.
        ref: the incarnation.
        is_worker: whether it does what a scenario says; a supervisor does not.
        flags: of a supervisor, as the scenario gives them.
        reason: why it ended; None while it lives.
    """

    name: str
    who: str
    ref: ActorRef[Any]
    is_worker: bool
    flags: Mapping[str, Any]
    reason: ExitReason | None = None


class Sleep(msgspec.Struct, frozen=True):
    """Answer when this time has passed.

    Args:
        seconds: how long.
    """

    seconds: float


class _Ring(msgspec.Struct, frozen=True):
    future: Future[None]


class _Clockwork(SupervisedActor):
    """Lets others sleep in the world's time, whatever clock that is."""

    @handles(Sleep)
    def on_sleep(self, message: Sleep) -> Later:
        """Answer later."""
        self.send_after(message.seconds, _Ring(self.reply_later()))
        return LATER

    @handles(_Ring)
    def on_ring(self, message: _Ring) -> None:
        """Answer now."""
        message.future.offer(None)


class Stage:
    """Where a scenario is played.

    Called from the actors' threads: everything here is one append or one store.

    Args:
        world: the system, and how to wait for it.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._clockwork = world.system.spawn(_Clockwork)
        self._attempts: Counter[str] = Counter()
        self._processes: dict[str, list[Process]] = {}
        self._by_ref: dict[object, Process] = {}
        self._events: list[dict[str, Any]] = []
        self._reports: list[dict[str, Any]] = []
        self._cleaning: set[object] = set()

    # -- what happens ------------------------------------------------------

    def enter(
        self,
        ref: ActorRef[Any],
        sup: str | None,
        script: Mapping[str, Any],
        *,
        flags: Mapping[str, Any] | None = None,
    ) -> Process:
        """Begin a life as the script says, or refuse to.

        Args:
            ref: whose.
            sup: the name of the supervisor that starts it.
            script: its name and its `init`, one for all attempts or one for each.
            flags: of a supervisor; a worker has none.
        """
        name: str = script.get("name", script["id"])
        self._attempts[name] += 1
        number = self._attempts[name]
        process = Process(name, f"{name}#{number}", ref, flags is None, flags or {})
        self._processes.setdefault(name, []).append(process)
        self._by_ref[ref] = process
        outcomes: Any = script.get("init", "ok")
        outcome = outcomes[min(number, len(outcomes)) - 1] if is_list(outcomes) else outcomes
        if outcome != "ok":
            self._refuse(outcome, process, sup)
        self._note("start", process, sup)

        def end(reason: ExitReason) -> None:
            process.reason = reason
            self._note("stop", process, sup, reason)
            self._cleaning.discard(ref)

        ref.when_dead(self, end)
        return process

    def _refuse(self, outcome: Any, process: Process, sup: str | None) -> None:
        process.reason = Normal()  # it never lived
        match outcome:
            case "ignore":
                self._note("ignore", process, sup)
                raise IgnoreStart
            case "raise":
                self._note("start_failed", process, sup, Crashed(error="init_raise"))
                raise ScriptedError("init_raise")
            case "fail":
                reason: ExitReason = Crashed(error="init_fail")
            case "stop_normal":
                reason = Normal()
            case "stop_shutdown":
                reason = Shutdown()
            case _:
                msg = f"there is no init {outcome!r}"
                raise UnknownWord(msg)
        self._note("start_failed", process, sup, reason)
        raise StopStart(reason)

    def _note(
        self, event: str, process: Process, sup: str | None, reason: ExitReason | None = None
    ) -> None:
        said: dict[str, Any] = {"ev": event, "who": process.who, "sup": sup}
        self._events.append(said if reason is None else said | {"reason": term_of(reason)})

    def report(self, report: dict[str, Any]) -> None:
        """Keep an error report of a supervisor."""
        self._reports.append(report)

    def sleep_in_cleanup(self, ref: ActorRef[Any], seconds: float) -> None:
        """Let a cleanup take its time; whoever waits for quiet waits for it."""
        self._cleaning.add(ref)
        self._clockwork.ask(Sleep(seconds), timeout=math.inf)

    # -- who is who --------------------------------------------------------

    def newest(self, name: str) -> Process | None:
        """Return the newest process of that name, dead or alive."""
        processes = self._processes.get(name)
        return processes[-1] if processes else None

    def alive(self, name: str) -> Process | None:
        """Return the newest process of that name that lives."""
        processes = reversed(self._processes.get(name, []))
        return next((each for each in processes if each.reason is None), None)

    def supervisors(self) -> list[Process]:
        """Return the supervisors that live."""
        found = [self.alive(name) for name in sorted(self._processes)]
        return [each for each in found if each is not None and not each.is_worker]

    def who(self, ref: object) -> str | None:
        """Return what a recording calls the process behind a ref."""
        process = self._by_ref.get(ref)
        return None if process is None else process.who

    # -- waiting and reading -----------------------------------------------

    def settle(self) -> None:
        """Wait until the tree is idle: no more time passes than cleanups take."""
        self.world.settle()
        while self._cleaning:  # who is stopped next may clean up as well
            self.world.pass_time_until(lambda: not self._cleaning)

    def take(self) -> dict[str, list[dict[str, Any]]]:
        """Return the events and reports since this was last called."""
        taken = {"events": self._events[:], "reports": self._reports[:]}
        self._events.clear()
        self._reports.clear()
        return taken
