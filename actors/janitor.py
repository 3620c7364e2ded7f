"""Sweeps what no owner is left to sweep: sessions that nobody uses are ended, or put to sleep."""

from __future__ import annotations

import msgspec

from callboard.actors.memory import MemoryUnknown, measured
from callboard.actors.messages import CleanupInactive
from callboard.actors.sessions.attending import AttendingActor
from callboard.actors.sessions.internal import Crowded, FailNow, QuarantineSweep, WalkOn
from callboard.actors.sessions.passivating import BREATH_S, Pass
from callboard.actors.sessions.relief import Relief, told
from callboard.actors.sessions.services import Services
from callboard.actors.sessions.walks import Walk
from callboard.supervision import handles


class Sweep(msgspec.Struct, frozen=True):
    """To the janitor itself: it is time to look for what is to end."""


class Doze(msgspec.Struct, frozen=True):
    """To the janitor itself: it is time to look for who is to sleep."""


class Janitor(AttendingActor):
    """Asks the manager for a cleanup, and sessions to sleep, again and again.

    It works by its own clock and in steps; the manager takes no part in choosing who
    sleeps, and learns of it as of every other end.

    Args:
        services: what the system lends.
    """

    def __init__(self, services: Services) -> None:
        super().__init__()
        self._services = services
        self._keeping = services.keeping
        self._pass: Pass | None = None

    def on_start(self) -> None:
        """Begin to wait for the first sweep; whatever a predecessor was at is begun anew."""
        self._wait()
        if self._keeping.passivates:
            self.on_doze(Doze())

    # -- who is to end -----------------------------------------------------

    def _wait(self) -> None:
        interval_s = self._keeping.cleanup_interval_s
        if interval_s:
            self.send_after(interval_s, Sweep()).is_recurring = True
            self._services.sweep_due_s = self.system.clock.now_s() + interval_s

    @handles(Sweep)
    def on_sweep(self, message: Sweep) -> None:
        """Have the idle sessions ended, and who was quarantined; they have the last word."""
        del message
        self._services.announce(CleanupInactive())
        self._services.announce(QuarantineSweep())
        if self._services.storing is not None:
            self._services.storing.purge(kept_s=self._keeping.ended_keep_s)
        self._wait()

    # -- who is to sleep ---------------------------------------------------

    @handles(Doze)
    def on_doze(self, message: Doze) -> None:
        """Have those put to sleep that have been idle for too long, or are or weigh too much."""
        self.send_after(self._keeping.passivate_interval_s, message).is_recurring = True
        if self._pass is None:
            self._begin_pass(self._look_at_the_memory())

    @handles(Crowded)
    def on_crowded(self, message: Crowded) -> None:
        """Have the least recently used put to sleep."""
        del message
        if self._pass is None:
            self._begin_pass()

    def _look_at_the_memory(self) -> Relief | None:
        """Return what is known of it from now on; None: it has no bound."""
        services = self._services
        if services.relief is None:
            return None
        try:
            resident_bytes = measured(services.memory, max_bytes=services.relief.max_bytes)
        except MemoryUnknown:  # told by the change of pressure, once
            resident_bytes = None
        return services.relief.looked(resident_bytes, awake=services.table.awake_count)

    def _begin_pass(self, relief: Relief | None = None) -> None:
        services = self._services
        now_s = self.system.clock.now_s()
        due = 0 if relief is None else relief.due
        found = Pass(services.table, services.book, self._keeping, now_s=now_s, due=due)
        self._pass = found

        def end() -> None:
            self._end_pass(found, relief)

        def come_to_an_end() -> None:
            self._go_through(Walk(found.chosen(), found.tell, end))

        self._go_through(Walk(found.rows, found.look_at, come_to_an_end))

    def _end_pass(self, found: Pass, relief: Relief | None) -> None:
        self._pass = None
        if relief is not None:
            self._note(relief.slept(found.told))
        if not found.is_crowded:
            self._services.is_crowded = False
        elif found.told >= found.wanted:
            self.send_after(BREATH_S, Crowded())
        # Else the others are all at something: not before the next turn, or every start of a
        # session would have all of them looked at.

    def _note(self, relief: Relief) -> None:
        """Keep what is known of the memory where it outlives this janitor; tell what changed."""
        before, self._services.relief = self._services.relief, relief
        assert before is not None, "the memory has a bound"
        event = told(before, relief)
        if event is not None:
            self.system.emit(event)

    @handles(WalkOn)
    def on_walk_on(self, message: WalkOn) -> None:
        """Go on with what there are many rows to look at for."""
        self._go_through(message.walk)

    def _go_through(self, walk: Walk) -> None:
        if walk.step():
            self.actor_ref.notify(WalkOn(walk))

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)
