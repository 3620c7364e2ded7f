"""Threads that run one line at a time, in the order that somebody else decides."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from callboard.supervision.runtime.current import Runner, local
from callboard.supervision.runtime.interrupts import Unwound
from tests.interleaving.watching import Watch

T = TypeVar("T")

POINTS_MAX = 20_000
"""Places passed in one run that are called a livelock."""

IS_TRACED_PER_STACK = sys.version_info < (3, 12)
"""Whether the interpreter notes with each stack, not with the thread alone, that it is traced."""


class Greenlet(Protocol):
    """What we use of a greenlet, which has no types of its own."""

    parent: Greenlet

    def __bool__(self) -> bool:
        """Say whether it has begun and is not over."""
        ...

    def switch(self) -> object:
        """Go on there."""
        ...

    def throw(self, error: BaseException) -> object:
        """Raise `error` there."""
        ...


_greenlets = cast("Any", importlib.import_module("greenlet"))
_make: Callable[[Callable[[], None]], Greenlet] = _greenlets.greenlet
_current: Callable[[], Greenlet] = _greenlets.getcurrent


class Stuck(AssertionError):
    """Somebody waits for what will never come."""


class Fibre:
    """What stands in for one thread: a greenlet, used again when it is over."""

    __slots__ = ("act", "due_s", "greenlet", "is_over", "is_ready", "is_server", "name", "runner")

    def __init__(self) -> None:
        self.name = ""
        self.act: Callable[[], object] | None = None
        self.is_server = False
        """Whether it need not come to an end, as a worker."""
        self.is_over = True
        self.is_ready: Callable[[], bool] | None = None
        """What it waits for; None while it could go on."""
        self.due_s: float | None = None
        """When it stops waiting."""
        self.runner: Runner | None = None
        self.greenlet: Greenlet = cast("Greenlet", None)

    def __repr__(self) -> str:
        return self.name

    @property
    def can_go_on(self) -> bool:
        """Whether it waits for nothing that is not there."""
        return not self.is_over and (self.is_ready is None or self.is_ready())


class Decision(NamedTuple):
    """One place where it could have gone on otherwise."""

    chosen: int
    among: int


class World:
    """Where fibres run, one run after the other.

    What waits is not ready; what is ready goes on until it waits, is over, or is pre-empted before
    a line. Which of the ready ones goes on then is a decision. Pre-emptions are bounded, and so
    are waits that time out while somebody could still go on: each counts as one.

    Args:
        watch: the code that is interleaved.
        preemptions_max: how often in a run a fibre makes way that could have gone on.
        time_flies: whether a wait may time out while others could go on.
    """

    def __init__(self, watch: Watch, *, preemptions_max: int, time_flies: bool) -> None:
        self._watch = watch
        self._preemptions_max = preemptions_max
        self._time_flies = time_flies
        self._hub = _current()
        self._is_exploring = False
        self._spare: list[Fibre] = []
        self._seen: set[CodeType] = set()
        self._kept: Any = None
        self._next: Fibre | None = None
        self.is_over = False
        """Whether it is being unwound: nothing waits any more."""
        self.now_s = 0.0
        self.fibres: list[Fibre] = []
        self.current: Fibre | None = None
        self.begin([])

    # -- what a scenario does ----------------------------------------------

    def keep(self, make: Callable[[], T]) -> T:
        """Return what `make` returned the first time: what one run leaves as it found it."""
        if self._kept is None:
            self._kept = make()
        return cast("T", self._kept)

    def spawn(self, name: str, act: Callable[[], object], *, is_server: bool = False) -> Fibre:
        """Add a thread."""
        fibre = self._spare.pop() if self._spare else self._new_fibre()
        fibre.name, fibre.act, fibre.is_server = name, act, is_server
        fibre.is_over = False
        fibre.runner = None
        self.fibres.append(fibre)
        return fibre

    def settle(self) -> None:
        """Run what there is, in one order: this is not what is to be explored."""
        self._drive(lambda: False)

    def pass_time(self, seconds: float) -> None:
        """Let servers go on whose waits end within this time; clients, when nobody else can."""
        until_s = self.now_s + seconds
        while due := [each for each in self._timed() if (each.due_s or 0.0) <= until_s]:
            self._next = self._time_out(min(due, key=lambda each: each.due_s or 0.0))
            self.settle()
        self.now_s = until_s

    def rest(self) -> None:
        """Let anybody come in here, whoever that is: it is no pre-emption, as a short sleep."""
        self._hub.switch()

    def end_wait_of(self, fibre: Fibre) -> None:
        """Let the time come for which somebody waits; it goes on when the others do."""
        self._time_out(fibre)
        fibre.is_ready = fibre.due_s = None

    # -- what the explorer does --------------------------------------------

    def begin(self, prefix: list[Decision]) -> None:
        """Begin a run.

        Args:
            prefix: the first decisions; every later one is the first there is.
        """
        self._prefix = prefix
        self._left = 0
        self._points = 0
        self._next = None
        self.has_missed = False
        """Whether it has to be run once more: 3.13 looks within the lines of a function from its
        second call on."""
        self.decisions: list[Decision] = []
        self.story: list[str] = []
        self.failure: BaseException | None = None
        if self._kept is None:
            self.unwind()
            self.now_s = 0.0
        self._spare += [each for each in self.fibres if each.is_over]
        self.fibres = [each for each in self.fibres if not each.is_over]

    def run(self) -> None:
        """Run all to the end, as the decisions say."""
        self._left = self._preemptions_max
        self._is_exploring = True
        try:
            self._drive(lambda: False)
        finally:
            self._is_exploring = False
        stuck = [each for each in self.fibres if not (each.is_over or each.is_server)]
        if stuck:
            msg = f"{stuck} wait for ever"
            raise Stuck(msg)

    def unwind(self) -> None:
        """End every fibre where it is."""
        self.is_over = True
        for fibre in (*self.fibres, *self._spare):
            if fibre.greenlet:  # begun, and not over
                fibre.greenlet.parent = self._hub
                fibre.greenlet.throw(Unwound())
        self.fibres.clear()
        self._spare.clear()
        self.is_over = False

    # -- what a port does --------------------------------------------------

    def wait(self, is_ready: Callable[[], bool], due_s: float | None = None) -> bool:
        """Go on when `is_ready()`; False if the time comes first."""
        if is_ready():
            return True
        if self.is_over:
            raise Unwound
        fibre = self.current
        if fibre is None:  # the scenario's own code, before or after
            self._drive(is_ready)
            return True
        fibre.is_ready, fibre.due_s = is_ready, due_s
        self._hub.switch()
        if self._is_exploring:
            self._trace_frames()
        return is_ready()

    # -- the scheduler -----------------------------------------------------

    def _new_fibre(self) -> Fibre:
        fibre = Fibre()
        fibre.greenlet = _make(lambda: self._run(fibre))
        return fibre

    def _drive(self, until: Callable[[], bool]) -> None:
        while not until():
            fibre, self._next = self._next, None
            if fibre is None:
                fibre = self._after_a_wait()
                if fibre is None:
                    return
            self._go_on(fibre)
            if self.failure is not None:
                raise self.failure

    def _after_a_wait(self) -> Fibre | None:
        """Return who goes on when the last one waits or is over; None when nobody can."""
        ready = [each for each in self.fibres if each.can_go_on]
        timed = self._timed() if self._time_flies and self._left else []
        if ready:
            chosen = self._decide(len(ready) + len(timed))
            if chosen < len(ready):
                return ready[chosen]
            self._left -= 1
            return self._time_out(timed[chosen - len(ready)])
        # Nobody can go on: time passes, as far as somebody who is to come to an end waits for it.
        due: list[Fibre | None] = [each for each in self._timed() if not each.is_server]
        servers = [each for each in timed if each.is_server]
        options = (due or [None]) + servers
        fibre = options[self._decide(len(options))]
        if fibre is not None and fibre.is_server:
            self._left -= 1
        return None if fibre is None else self._time_out(fibre)

    def _timed(self) -> list[Fibre]:
        return [each for each in self.fibres if each.due_s is not None and not each.can_go_on]

    def _time_out(self, fibre: Fibre) -> Fibre:
        assert fibre.due_s is not None
        self.now_s = max(self.now_s, fibre.due_s)
        if self._is_exploring:
            self.story.append(f"the wait of {fibre} times out")
        return fibre

    def _go_on(self, fibre: Fibre) -> None:
        fibre.is_ready = fibre.due_s = None
        self.current = fibre
        if self._is_exploring:
            self.story.append(f"{fibre} goes on")
        local.runner = fibre.runner
        fibre.greenlet.switch()
        fibre.runner, local.runner = local.runner, None
        self.current = None

    def _run(self, fibre: Fibre) -> None:
        try:
            while True:
                act, fibre.act = fibre.act, None
                if act is None:
                    return
                if self._is_exploring:
                    self._trace_frames()
                try:
                    act()
                except Unwound:
                    return
                except BaseException as error:  # noqa: BLE001 -- whoever drives raises it
                    self.failure = error
                fibre.is_over = True
                self._hub.switch()
        except Unwound:
            return

    # -- the places --------------------------------------------------------

    def _trace_frames(self) -> None:
        """Have what goes on here traced, also where it was entered before that began."""
        if IS_TRACED_PER_STACK:
            sys.settrace(self.trace)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_trace is None and self._watch.places_in(frame.f_code) is not None:
                frame.f_trace = self.trace(frame, "call", None)
            frame = frame.f_back

    def trace(self, frame: FrameType, _event: str, _arg: object) -> Any:
        """Look into a function only if it is interleaved. Called by the interpreter."""
        places = self._watch.places_in(frame.f_code)
        if places is None:
            return None
        lines, offsets = places.lines, places.offsets
        # Within lines 3.13 never looks again where nobody wanted to look once.
        if not (self._left or offsets):
            return None
        if offsets:
            frame.f_trace_opcodes = True
            if frame.f_code not in self._seen:
                self._seen.add(frame.f_code)
                self.has_missed = True

        def look(frame: FrameType, event: str, _arg: object) -> Any:
            if (event == "line" and frame.f_lineno in lines) or (
                event == "opcode" and frame.f_lasti in offsets
            ):
                self._point(frame)
            return look

        return look

    def _point(self, frame: FrameType) -> None:
        current = self.current
        if not self._left or current is None or self.is_over:
            return
        self._points += 1
        if self._points > POINTS_MAX:
            msg = "it goes round in circles"
            raise Stuck(msg)
        others = [each for each in self.fibres if each is not current and each.can_go_on]
        ready = len(others)
        if self._time_flies:
            others += self._timed()
        if not others:
            return
        chosen = self._decide(1 + len(others))
        if chosen:
            other = others[chosen - 1]
            self.story.append(
                f"{current} makes way for {other} before"
                f" {frame.f_code.co_qualname}, line {frame.f_lineno}"
            )
            self._next = other if chosen <= ready else self._time_out(other)
            self._left -= 1
            # Others are traced while this one is held up within the trace function.
            sys.call_tracing(self._hub.switch, ())

    def _decide(self, count: int) -> int:
        if count == 1 or not self._is_exploring:
            return 0
        number = len(self.decisions)
        if number >= len(self._prefix):
            self.decisions.append(Decision(0, count))
            return 0
        decision = self._prefix[number]
        assert decision.among == count, "two runs that were decided alike went apart"
        self.decisions.append(decision)
        return decision.chosen
