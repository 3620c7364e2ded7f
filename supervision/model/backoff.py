"""How long to wait before a restart: longer after each one, from the start after a calm time."""

from __future__ import annotations

import math

import msgspec

from callboard.supervision.model.errors import InvalidSpec


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
        InvalidSpec: a delay below zero or without end, no delay at all, a jitter outside 0 to 1.

    Example:
        >>> Backoff(delays_s=(0.0, 0.1, 1.0)).delay_s(7)
        1.0
    """

    delays_s: tuple[float, ...]
    jitter: float = 0.0
    reset_after_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.delays_s or not all(0 <= each < math.inf for each in self.delays_s):
            raise InvalidSpec("delays_s", self.delays_s, "Give one or more delays, 0 s or longer.")
        if not 0 <= self.jitter <= 1:
            raise InvalidSpec("jitter", self.jitter, "Give a share from 0 to 1.")
        if not self.reset_after_s > 0:
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
            InvalidSpec: a value with which the delays would not grow, or not end.

        Example:
            >>> Backoff.exponential(first_s=1.0, longest_s=5.0).delays_s
            (0.0, 1.0, 2.0, 4.0, 5.0)
        """
        if not 0 < first_s < math.inf:
            raise InvalidSpec("first_s", first_s, "Give seconds above zero.")
        if not 1 < factor < math.inf:
            raise InvalidSpec("factor", factor, "Give a factor above 1.")
        if not first_s <= longest_s < math.inf:
            raise InvalidSpec("longest_s", longest_s, "Give at least first_s, and an end.")
        steps = math.ceil(math.log(longest_s / first_s, factor))
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
