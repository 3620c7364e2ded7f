"""How long is what nobody uses kept, and how? Every bound with its name, unit and default."""

from __future__ import annotations

import math

import msgspec

from callboard.supervision.model.errors import InvalidSpec


def _are_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and type(value) is not bool and value >= 0  # NaN is not


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What the janitor of one session system goes by. Times are monotonic seconds.

    Passivation is off unless asked for: an actor that sleeps loses its plain
    attributes, and what it weighs is little where it keeps little there.

    Args:
        max_idle_s: a session that has been idle for longer is ended; `math.inf`: none is.
        cleanup_interval_s: between two looks for those, and for quarantined ones; 0: never.
        grace_s: that a session gets to end, then what is left of it is killed.
        undo_s: that taking away each thing that a session was given may take: its workspace, what
            the host's cleaner sees to. What takes longer is told (`cleanup_step`, not `ok`), and
            the rest is done. Deleting what was in a workspace takes as long as it takes.
        quarantine_keep_s: a session that has been quarantined for longer is ended; `math.inf`:
            none is. Nor is one that is in a durable store and cannot be read.
        ended_keep_s: what a durable store has of a session stays so long after its end, as history;
            `math.inf`: for ever. By the wall clock: what is deleted at a cleanup was old at the one
            before, so that a clock that jumps and is put right costs nothing.
        keys_max: idempotency keys of creates that are remembered, the last ones. Each keeps the
            first reply for whoever asks again, also when the session has ended: about 1 kB, and
            whatever prompt, variables and metadata are in it.
        keys_keep_s: how long each of them is, from its first use; `math.inf`: until it is one of
            too many.
        wakes_at_start: whether sessions that a durable store brings back are started with the
            system, some at a time; else each of them sleeps until somebody wants it.
        passivate_after_s: a session that has been idle for longer is put to sleep; `math.inf`:
            none is.
        passivate_interval_s: between two looks for those, and at the memory.
        awake_max: sessions that may be awake; beyond it the least recently used are put to
            sleep, and some more, at once. Who is at something stays awake. None: no bound.
        memory_max_bytes: what the process may take of the memory, as seen by those looks; beyond
            it the least recently used are put to sleep, some at each look, while that helps.
            None: no bound.

    Raises:
        InvalidSpec: a bound cannot be.
    """

    max_idle_s: float = 3_600.0
    cleanup_interval_s: float = 300.0
    grace_s: float = 5.0
    undo_s: float = 4.0
    quarantine_keep_s: float = 604_800.0
    ended_keep_s: float = 604_800.0
    keys_max: int = 100_000
    keys_keep_s: float = 86_400.0
    wakes_at_start: bool = False
    passivate_after_s: float = math.inf
    passivate_interval_s: float = 10.0
    awake_max: int | None = None
    memory_max_bytes: int | None = None

    def __post_init__(self) -> None:
        for field in ("max_idle_s", "quarantine_keep_s", "keys_keep_s", "passivate_after_s"):
            if not (_are_seconds(getattr(self, field)) and getattr(self, field) > 0):
                remedy = "Give seconds above zero, or math.inf (`inf`) for ever."
                raise InvalidSpec(field, getattr(self, field), remedy)
        if not _are_seconds(self.ended_keep_s):
            remedy = "Give seconds, or math.inf (`inf`) for ever."
            raise InvalidSpec("ended_keep_s", self.ended_keep_s, remedy)
        for field in ("grace_s", "undo_s", "passivate_interval_s"):
            if not (_are_seconds(getattr(self, field)) and 0 < getattr(self, field) < math.inf):
                raise InvalidSpec(field, getattr(self, field), "Give seconds above zero.")
        interval_s = self.cleanup_interval_s
        if not (_are_seconds(interval_s) and interval_s < math.inf):
            raise InvalidSpec("cleanup_interval_s", interval_s, "Give seconds, or 0 for never.")
        if type(self.keys_max) is not int or self.keys_max < 1:
            raise InvalidSpec("keys_max", self.keys_max, "Give a whole number from 1 on.")
        if type(self.wakes_at_start) is not bool:
            raise InvalidSpec("wakes_at_start", self.wakes_at_start, "Give True or False.")
        for field in ("awake_max", "memory_max_bytes"):
            bound: object = getattr(self, field)
            if bound is not None and (type(bound) is not int or bound < 1):
                raise InvalidSpec(field, bound, "Give a whole number from 1 on, or None.")

    @property
    def passivates(self) -> bool:
        """Whether sessions are put to sleep without being told."""
        is_bounded = self.awake_max is not None or self.memory_max_bytes is not None
        return is_bounded or self.passivate_after_s < math.inf


STANDARD = Keeping()
"""Looks every 5 minutes, ends what has been idle for an hour."""

AGENT_API = Keeping(cleanup_interval_s=3_600.0, max_idle_s=86_400.0)
"""For sessions of agents that people come back to: looks every hour, ends after a day."""
