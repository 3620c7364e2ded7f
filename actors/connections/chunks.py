"""Which of the parts that an agent says make one message? Pure.

Parts of text by one role that follow each other are one message. It is complete
when another role speaks, when a part comes with data of its own, when it would
be too large, or when the agent stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from callboard.actors.connections.ports import AgentUpdate
from callboard.actors.sessions.data import Role
from callboard.actors.sessions.frozen import EMPTY, FrozenDict
from callboard.actors.sessions.internal import Said

INTERRUPTED = FrozenDict({"interrupted": True})
"""The metadata of a message that its agent did not come to finish."""


_TOP_TWO_BITS, _GOES_ON = 0xC0, 0x80
"""In UTF-8 a byte that does not begin a character begins with the bits 10."""


class Chunks:
    """Collects parts, and says when they are a message.

    Args:
        bytes_max: how large one message may be, as UTF-8.
    """

    __slots__ = ("_bytes_max", "_parts", "_role", "_size_bytes")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._role: Role | None = None
        self._parts: list[str] = []
        self._size_bytes = 0

    def add(self, update: AgentUpdate) -> Iterator[Said]:
        """Take one part; yield the messages that are complete now."""
        if update.role is not self._role or update.data:
            yield from self.finish()
        if update.data:
            yield from self._pieces(update.role, update.text, update.data)
            return
        self._role = update.role
        for piece in cut(update.text, self._bytes_max):
            size_bytes = len(piece.encode())
            if self._size_bytes + size_bytes > self._bytes_max:
                yield from self.finish()
                self._role = update.role
            self._parts.append(piece)
            self._size_bytes += size_bytes

    def finish(self, metadata: Mapping[str, object] = EMPTY) -> Iterator[Said]:
        """Yield what was not complete: nothing more belongs to it."""
        if self._parts and self._role is not None:
            yield Said(self._role, "".join(self._parts), metadata)
        self._role, self._parts, self._size_bytes = None, [], 0

    def _pieces(self, role: Role, text: str, data: Mapping[str, object]) -> Iterator[Said]:
        for place, piece in enumerate(cut(text, self._bytes_max) or ("",)):
            yield Said(role, piece, EMPTY if place else data)


def cut(text: str, bytes_max: int) -> tuple[str, ...]:
    r"""Return a text in pieces of at most `bytes_max` bytes; what UTF-8 cannot say becomes `?`.

    >>> cut("aé\ud800b", 3)
    ('aé', '?b')
    """
    raw = text.encode(errors="replace")
    pieces: list[str] = []
    start = 0
    while start < len(raw):
        stop = min(start + bytes_max, len(raw))
        while stop < len(raw) and stop > start + 1 and raw[stop] & _TOP_TWO_BITS == _GOES_ON:
            stop -= 1  # not in the middle of a character
        pieces.append(raw[start:stop].decode(errors="replace"))
        start = stop
    return tuple(pieces)
