"""Streams of chance that a seed decides."""

from __future__ import annotations

import random

from callboard.supervision.runtime.chance import Stream


class Seeded:
    """One stream for each purpose, so that a new draw shifts no other.

    Args:
        seed: decides all of them.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Stream] = {}

    def stream(self, purpose: str) -> Stream:
        """Return the stream of this purpose; always the same one."""
        found = self._streams.get(purpose)
        if found is None:
            # Text is hashed by SHA-512 here, never by hash(): equal in every process.
            found = self._streams[purpose] = random.Random(f"{self.seed}/{purpose}")  # noqa: S311 -- chance of a test
        return found
