"""How many sessions are to sleep for the memory's sake? A share at a time, while that helps.

What a process gives back, its allocator may keep: the resident bytes fall late, or not at
all, and what was freed is used again first. So sessions are not put to sleep until the
number falls. A share of them is, then a look is taken, and at one level of memory there are no
more than some shares. Another level begins them anew: a lower one says that sleep helps, a
higher one that what was freed has been used up. Where nothing changes, more of the same would
bring nothing.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import ClassVar, Final

import msgspec
from msgspec.structs import replace

SLEEP_SHARE: Final = 8
"""One part in so many of those awake is a share: so many are put to sleep between two looks."""

SLEEPS_PER_SHARE_MAX: Final = 16_384
"""Sessions that a share has at most, however many are awake."""

SHARES_PER_LEVEL_MAX: Final = 3
"""Shares that may be put to sleep at one level of memory: a third of those awake. One alone may
bring nothing, where of every block that its sessions leave others use a piece."""

CHANGE_SHARE: Final = 128
"""One part in so many of the bound makes another level; what falls or rises less is the same."""


class MemoryPressure(StrEnum):
    """How the memory of the process stands to its bound (`Keeping.memory_max_bytes`)."""

    WITHIN = "within"
    """It is within its bound, or has none."""
    OVER = "over"
    """It is over it, and sessions are put to sleep as far as they have nothing to do."""
    STUCK = "stuck"
    """It is over it, and does not fall by putting sessions to sleep: that is not what fills it."""
    UNKNOWN = "unknown"
    """Nobody can tell any more; the bound is not kept."""


WITHIN, OVER, STUCK, UNKNOWN = MemoryPressure


class MemoryPressureChanged(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the system's hook: the memory stands otherwise to its bound than before.

    Args:
        pressure: how it stands now.
        resident_bytes: what the process takes; None: unknown.
        memory_max_bytes: the bound.
        put_to_sleep: sessions that were told to sleep since it went over its bound.
    """

    log_level: ClassVar[int] = logging.WARNING
    log_event: ClassVar[str] = "memory.pressure_changed"

    pressure: MemoryPressure
    resident_bytes: int | None
    memory_max_bytes: int
    put_to_sleep: int


class Relief(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the memory from one look to the next.

    Args:
        max_bytes: the bound.
        pressure: how the memory stands to it. Once over, it is within again when it has fallen
            below by a change that counts.
        resident_bytes: what the process took at the last look; None: unknown.
        level_bytes: what it took when the level last changed.
        shares: how many shares were due at this level.
        due: how many of the last of them are still to sleep.
        put_to_sleep: how many were told to sleep since it went over.
    """

    max_bytes: int
    pressure: MemoryPressure = WITHIN
    resident_bytes: int | None = None
    level_bytes: int = 0
    shares: int = 0
    due: int = 0
    put_to_sleep: int = 0

    @property
    def is_over(self) -> bool:
        """Whether sessions are to sleep for it."""
        return self.pressure in {OVER, STUCK}

    def looked(self, resident_bytes: int | None, *, awake: int) -> Relief:
        """Return what is known after a look; `due` says how many are to sleep now.

        Args:
            resident_bytes: what the process takes; None: nobody can tell.
            awake: how many sessions are.
        """
        if resident_bytes is None:
            return self._ended(UNKNOWN, None)
        change_bytes = max(1, self.max_bytes // CHANGE_SHARE)
        end_bytes = self.max_bytes - change_bytes if self.is_over else self.max_bytes
        if resident_bytes <= end_bytes:
            return self._ended(WITHIN, resident_bytes)
        is_new = not self.is_over or abs(resident_bytes - self.level_bytes) >= change_bytes
        shares, due = (0, 0) if is_new else (self.shares, self.due)
        if not due and shares < SHARES_PER_LEVEL_MAX:
            shares += 1
            due = min(max(1, awake // SLEEP_SHARE), SLEEPS_PER_SHARE_MAX)
        begun = self if self.is_over else Relief(max_bytes=self.max_bytes, pressure=OVER)
        return replace(
            begun,
            pressure=begun.pressure if due else STUCK,
            resident_bytes=resident_bytes,
            level_bytes=resident_bytes if is_new else self.level_bytes,
            shares=shares,
            due=due,
        )

    def slept(self, number: int) -> Relief:
        """Return what is known after so many were told to sleep."""
        if not self.is_over:
            return self
        return replace(self, due=max(0, self.due - number), put_to_sleep=self.put_to_sleep + number)

    def _ended(self, pressure: MemoryPressure, resident_bytes: int | None) -> Relief:
        return Relief(
            max_bytes=self.max_bytes,
            pressure=pressure,
            resident_bytes=resident_bytes,
            put_to_sleep=self.put_to_sleep if self.is_over else 0,
        )


def told(before: Relief, after: Relief) -> MemoryPressureChanged | None:
    """Return what is to be told of a change; None: the memory stands as before."""
    if before.pressure is after.pressure:
        return None
    return MemoryPressureChanged(
        pressure=after.pressure,
        resident_bytes=after.resident_bytes,
        memory_max_bytes=after.max_bytes,
        put_to_sleep=after.put_to_sleep,
    )
