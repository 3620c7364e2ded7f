"""Too many restarts? A window of time that says when a supervisor has to give up."""

from __future__ import annotations

import math

import msgspec

from callboard.supervision.model.errors import InvalidSpec


class RestartWindow(msgspec.Struct, frozen=True, kw_only=True):
    """How many restarts may lie in how much time, and those that do.

    Without `restarts` it is a budget: the one of a supervisor, shared by its
    children, or the one of a single child (`ChildSpec.budget`).

    Args:
        intensity: restarts that may lie in the window; one more is too many. 0: none may.
        period_s: length of the sliding window, in seconds.
        restarts: when the counted restarts were, oldest first; at most `intensity` + 1.

    Raises:
        InvalidSpec: the intensity is negative or no whole number, the period not above zero.

    Source: OTP supervisor.erl, flags `intensity` and `period`.
    """

    intensity: int
    period_s: float
    restarts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if type(self.intensity) is not int or self.intensity < 0:
            raise InvalidSpec("intensity", self.intensity, "Give a whole number, 0 or more.")
        if type(self.period_s) not in {float, int} or not 0 < self.period_s < math.inf:
            raise InvalidSpec("period_s", self.period_s, "Give a number of seconds above zero.")

    def record(self, *, now_s: float) -> tuple[RestartWindow, bool]:
        """Count one restart and say whether the intensity is exceeded.

        Restarts exactly `period_s` old still count, as in OTP. OTP's clock ticks
        in whole seconds, ours does not: between `period_s` and one second more
        OTP may count a restart that is forgotten here.

        Args:
            now_s: monotonic seconds; never wall time, never less than before.

        Returns:
            The new window, and True when more than `intensity` restarts lie in it.

        Source: OTP supervisor.erl, `add_restart/3`.
        """
        restarts = (*self.at(now_s).restarts, now_s)
        window = RestartWindow(intensity=self.intensity, period_s=self.period_s, restarts=restarts)
        return window, len(restarts) > self.intensity

    def at(self, now_s: float) -> RestartWindow:
        """Return the window as it is later: without the restarts that have left it.

        Args:
            now_s: monotonic seconds, as in `record`.
        """
        forgotten = 0
        for restart_s in self.restarts:
            if now_s - restart_s <= self.period_s:
                break
            forgotten += 1
        if not forgotten:
            return self
        return RestartWindow(
            intensity=self.intensity, period_s=self.period_s, restarts=self.restarts[forgotten:]
        )
