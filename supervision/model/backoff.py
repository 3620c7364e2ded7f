"""How long to wait before a restart: longer after each one, from the start after a calm time."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from callboard.supervision.model.errors import InvalidSpec

DELAYS_MAX: Final = 1_000
"""Delays that `Backoff.exponential` makes; a factor close to 1 would make any number."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """The delays before one restart after the other.

    Beyond OTP, which restarts at once; a child spec has none by default.

    Args:
        delays_s: seconds before the first restart, the second and so on; the last one repeats.
        jitter: share of a delay that chance adds or takes, 0 to 1, so that many
            children that fell together do not come back together.
        reset_after_s: a child that lived this long before it ended begins again with the
            first delay.

    Raises:
        InvalidSpec: a delay below zero or without end, no tuple of delays, a jitter outside 0 to 1.

    Example:
        >>> Backoff(delays_s=(0.0, 0.1, 1.0)).delay_s(7)
        1.0
    """

    delays_s: tuple[float, ...]
    jitter: float = 0.0
    reset_after_s: float = 60.0

    def __post_init__(self) -> None:
        is_some = isinstance(self.delays_s, tuple) and bool(self.delays_s)
        if not is_some or not all(
            _is_number(each) and 0 <= each < math.inf for each in self.delays_s
        ):
            remedy = "Give a tuple of one or more delays, 0 s or longer."
            raise InvalidSpec("delays_s", self.delays_s, remedy)
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise InvalidSpec("jitter", self.jitter, "Give a share from 0 to 1.")
        if not _is_number(self.reset_after_s) or not self.reset_after_s > 0:
            raise InvalidSpec("reset_after_s", self.reset_after_s, "Give seconds above zero.")

    @classmethod
    def exponential(
        cls,
        *,
        first_s: float = 0.1,
        factor: float = 2.0,
        longest_s: float = 30.0,
        jitter: float = 0.1,
        reset_after_s: float = 60.0,
    ) -> Backoff:
        """Make the usual kind: no delay, then `first_s`, growing by `factor` up to `longest_s`.

        Args:
            first_s: the first delay that is one, in seconds.
            factor: each delay is this many times the one before; above 1.
            longest_s: no delay is longer, jitter not counted.
            jitter: share of a delay that chance adds or takes.
            reset_after_s: calm time after which the delays start again.

        Raises:
            InvalidSpec: a value with which the delays would not grow, or not end, or be more than
                1,000.

        Example:
            >>> Backoff.exponential(first_s=1.0, longest_s=5.0).delays_s
            (0.0, 1.0, 2.0, 4.0, 5.0)
        """
        if not _is_number(first_s) or not 0 < first_s < math.inf:
            raise InvalidSpec("first_s", first_s, "Give seconds above zero.")
        if not _is_number(factor) or not 1 < factor < math.inf:
            raise InvalidSpec("factor", factor, "Give a factor above 1.")
        if not _is_number(longest_s) or not first_s <= longest_s < math.inf:
            raise InvalidSpec("longest_s", longest_s, "Give at least first_s, and an end.")
        steps = math.ceil(math.log(longest_s / first_s, factor))
        if steps > DELAYS_MAX:
            remedy = f"Give a larger factor: it would take {steps} delays to the longest one."
            raise InvalidSpec("factor", factor, remedy)
        delays_s = (0.0, *(min(first_s * factor**step, longest_s) for step in range(steps + 1)))
        return cls(delays_s=delays_s, jitter=jitter, reset_after_s=reset_after_s)

    def delay_s(self, restarts: int, *, chance: float = 0.5) -> float:
        """Say how long to wait before the next restart.

        Args:
            restarts: how many there were since the last calm time; 0 before the first.
            chance: a random number from 0 to 1; 0.5 means no jitter.

        Returns:
            Seconds; 0 means at once.
        """
        delay_s = self.delays_s[min(restarts, len(self.delays_s) - 1)]
        return delay_s * (1 + self.jitter * (2 * chance - 1))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
