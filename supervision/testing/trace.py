"""What happened in a schedule, as values: two runs are the same run if this is equal."""

from __future__ import annotations

from hashlib import blake2b


class Trace:
    """What happened, in order.

    Entries are tuples of words and numbers; text is made only when somebody
    looks. They hold names and our own words: no addresses, no texts of
    exceptions, which differ from one Python version to the next.
    """

    __slots__ = ("entries", "note")

    def __init__(self) -> None:
        self.entries: list[tuple[str | float, ...]] = []
        """All of it."""
        self.note = self.entries.append
        """Add a tuple, such as `("seen", "restart")`, to what must be equal in every run."""

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def digest(self) -> str:
        """A short text that is equal for equal traces, in every process."""
        hashed = blake2b(digest_size=6)
        for entry in self.entries:
            hashed.update(repr(entry).encode())
        return hashed.hexdigest()

    def latest(self, count: int = 50) -> str:
        """Return the last `count` entries, one a line."""
        return "\n".join(" ".join(map(str, entry)) for entry in self.entries[-count:])
