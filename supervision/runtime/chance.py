"""Ids and randomness, made from the system's clock and its random streams."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Protocol

from uuid6 import UUID

from callboard.supervision.runtime.clock import Clock


class Stream(Protocol):
    """A stream of chance. Only these two are stable across Python versions."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """Return `k` random bits."""
        ...


class IdGenerator(Protocol):
    """Makes ids that nobody else has. The port."""

    def new_id(self) -> str:
        """Return a new id as text; from any thread, at once, for many at the same time."""
        ...


class Ids:
    """Makes UUIDv7 ids (RFC 9562) whose time is the system's clock.

    uuid6's own generator keeps an unlocked global and runs ahead of the clock;
    here only its type is used, to show an id's time.

    Args:
        clock: gives the 48 bits of milliseconds.
        bits: `bits(k)` returns `k` random bits.
    """

    __slots__ = ("_bits", "_clock")

    def __init__(self, clock: Clock, bits: Callable[[int], int]) -> None:
        self._clock = clock
        self._bits = bits

    def new_id(self) -> str:
        """Return a new id as text; safe from any thread."""
        milliseconds = int(self._clock.wall_s() * 1000) & 0xFFFF_FFFF_FFFF
        bits = self._bits(74)
        low = 0x8000_0000_0000_0000 | bits & 0x3FFF_FFFF_FFFF_FFFF
        text = f"{milliseconds:012x}7{bits >> 62:03x}{low:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def time_of(new_id: str) -> int:
    """Return the milliseconds since 1970 in an id of ours.

    >>> time_of("0189e4d2-5c00-7000-8000-000000000000")
    1691761138688
    """
    return UUID(new_id).time


def new_bits() -> Callable[[int], int]:
    """Return a source of bits for one system: seeded by the operating system, then without it.

    An id must be unique, it is no secret; and a call into the kernel for each
    costs more than all the rest of it. A forked child cannot repeat them: its
    systems are foreign, and a new one has a seed of its own.
    """
    return random.Random(os.urandom(32)).getrandbits  # noqa: S311 -- no secret depends on it


def system_stream(name: str) -> Stream:
    """Return a stream of the operating system's randomness; the name is for simulations."""
    del name
    return random.SystemRandom()
