"""What was said in a session, in which order? A persistent log: every version stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, TypeAlias, cast

import msgspec

from callboard.actors.sessions.data import Message

CHUNK_BITS = 5
CHUNK_MESSAGES = 1 << CHUNK_BITS
"""Messages in one chunk, and branches in one node above the chunks."""

KEYS_MAX = 1_024
"""How many `client_msg_id`s a session remembers, the last ones used."""

KEYS_PER_GENERATION = 128
"""Keys are forgotten this many at a time: up to so many more may be remembered."""

HERE_CHUNKS_MIN = 8
"""So many chunks of the last messages stay here when a durable store has the rest: 200 or more."""

HERE_CHUNKS_MAX = 12
"""With so many, those that are too many go: seldom, so that an append does not pay for it."""

_HERE_MAX = (HERE_CHUNKS_MAX - 1) << CHUNK_BITS
_MASK = CHUNK_MESSAGES - 1
_GENERATIONS_MAX = KEYS_MAX // KEYS_PER_GENERATION + 1

# A node holds nodes, down to the chunks of messages: typing cannot say how deep.
_Node: TypeAlias = tuple[Any, ...]


class Log(msgspec.Struct, frozen=True, gc=False, eq=False):
    """An immutable log. `append` returns a new one that shares all but the last chunk.

    Append, snapshot and lookup of a key cost the same at any length (a tree of
    32 branches: four levels at a million messages). Nothing is ever changed in
    place, so any thread may read any version, and an incarnation that has been
    left behind can extend only what it holds itself.

    Of a session that a durable store keeps only the last messages are here; who wants the others
    asks the store for them (`first_seq`).

    Args:
        last_seq: number of the last message; they count from 1 without holes.
        first_seq: number of the first one that is here, if any is; the first of a chunk.
        is_here: whether the last ones, and the keys, are here: else nothing can be appended.
    """

    last_seq: int = 0
    _shift: int = 0
    _root: _Node = ()
    _tail: tuple[Message, ...] = ()
    _keys: tuple[dict[str, Message], ...] = ()
    first_seq: int = 1
    is_here: bool = True

    def __len__(self) -> int:
        return self.last_seq

    def __iter__(self) -> Iterator[Message]:
        """Yield what is here."""
        for chunk in range(self._chunks):
            yield from self._chunk(chunk)

    @property
    def _chunks(self) -> int:
        return (self.last_seq - self.first_seq + 1 + _MASK) >> CHUNK_BITS

    def append(self, message: Message) -> Log:
        """Return this log with one more message, whose `seq` must be the next one."""
        last_seq, tail = self.last_seq, self._tail
        assert message.seq == last_seq + 1, "a log has no holes"
        assert self.is_here, "it was loaded before its session began"
        key = message.client_msg_id
        keys = self._keys if key is None else _remembered(self._keys, key, message)
        first_seq = self.first_seq
        if len(tail) < CHUNK_MESSAGES:
            return Log(last_seq + 1, self._shift, self._root, (*tail, message), keys, first_seq)
        shift, root = _pushed(self._root, self._shift, (last_seq - first_seq) >> CHUNK_BITS, tail)
        return Log(last_seq + 1, shift, root, (message,), keys, first_seq)

    def slice(self, *, after_seq: int = 0, limit: int) -> tuple[Message, ...]:
        """Return up to `limit` messages that follow number `after_seq`, in order.

        Of those that are here: what comes before `first_seq` is left out.
        """
        skipped = self.first_seq - 1
        start = max(after_seq, 0)
        stop = min(self.last_seq, start + max(limit, 0)) - skipped
        start = max(start - skipped, 0)
        parts: list[tuple[Message, ...]] = []
        while start < stop:
            offset = start & _MASK
            part = self._chunk(start >> CHUNK_BITS)[offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        if len(parts) == 1:
            return parts[0]
        return tuple(chain.from_iterable(parts))

    def last(self, count: int) -> tuple[Message, ...]:
        """Return the last `count` messages, in order."""
        count = min(count, self.last_seq)
        return self.slice(after_seq=self.last_seq - count, limit=count)

    def find(self, client_msg_id: str) -> Message | None:
        """Return the message that was appended under this key, if it is among the last keys.

        At least the last `KEYS_MAX` keys are remembered, at most
        `KEYS_PER_GENERATION` more.
        """
        for generation in reversed(self._keys):
            message = generation.get(client_msg_id)
            if message is not None:
                return message
        return None

    @property
    def newest(self) -> Message:
        """The last message; there must be one, and it must be here."""
        return self._tail[-1]

    def trimmed(self, *, up_to_seq: int) -> Log:
        """Return this log with fewer messages here, if there are too many.

        Args:
            up_to_seq: those with a greater number stay in any case.
        """
        if self.last_seq - self.first_seq < _HERE_MAX:
            return self
        chunks = self._chunks
        kept = max(up_to_seq - self.first_seq + 1, 0) >> CHUNK_BITS  # whole ones, on the disk
        first = min(chunks - HERE_CHUNKS_MIN, kept)
        if first <= 0:
            return self
        first_seq = self.first_seq + (first << CHUNK_BITS)
        parts = [self._chunk(each) for each in range(first, chunks)]
        shift, root = _grown(parts[:-1])
        return Log(self.last_seq, shift, root, parts[-1], self._keys, first_seq)

    def _chunk(self, index: int) -> tuple[Message, ...]:
        if index == (self.last_seq - self.first_seq) >> CHUNK_BITS:
            return self._tail
        node = self._root
        for level in range(self._shift, -1, -CHUNK_BITS):
            node = node[(index >> level) & _MASK]
        return node


EMPTY_LOG = Log()
"""The one empty log that all new sessions share."""


def joined(
    log: Log, older: tuple[Message, ...], *, after_seq: int, limit: int
) -> tuple[Message, ...]:
    """Return up to `limit` messages that follow a number, without a hole.

    Args:
        log: the log, of which not all may be here.
        older: what a store had of them, if not all was here when it was asked.
        after_seq: what follows this number.
        limit: how many at most.
    """
    if older:
        after_seq, limit = older[-1].seq, limit - len(older)
    if max(after_seq, 0) + 1 < log.first_seq:  # some have left meanwhile: they are another page
        return older
    here = log.slice(after_seq=after_seq, limit=limit)
    return older + here if older else here


def elsewhere(last_seq: int) -> Log:
    """Return a log of which nothing is here: a store has it."""
    return Log(last_seq, first_seq=last_seq + 1, is_here=False) if last_seq else EMPTY_LOG


def here_from(last_seq: int) -> int:
    """Return the number of the first message that a log of this length should have here."""
    chunks = (last_seq + _MASK) >> CHUNK_BITS
    return (max(0, chunks - HERE_CHUNKS_MIN) << CHUNK_BITS) + 1


def log_of(
    messages: Iterable[Message], *, first_seq: int = 1, keyed: Iterable[Message] = ()
) -> Log:
    """Return a log that holds messages.

    Args:
        messages: in order, without holes.
        first_seq: number of the first one: the first of a chunk.
        keyed: earlier messages whose keys are to be remembered, in order.
    """
    here = tuple(messages)
    keys: tuple[dict[str, Message], ...] = ()
    for message in chain((each for each in keyed if each.seq < first_seq), here):
        if message.client_msg_id is not None:
            keys = _remembered(keys, message.client_msg_id, message)
    parts = [here[each : each + CHUNK_MESSAGES] for each in range(0, len(here), CHUNK_MESSAGES)]
    shift, root = _grown(parts[:-1])
    tail = parts[-1] if parts else ()
    return Log(first_seq - 1 + len(here), shift, root, tail, keys, first_seq)


def _remembered(
    keys: tuple[dict[str, Message], ...], key: str, message: Message
) -> tuple[dict[str, Message], ...]:
    # A generation is never changed once it is in a log: readers hold it without a lock.
    if keys and len(keys[-1]) < KEYS_PER_GENERATION:
        newest = keys[-1].copy()
        newest[key] = message
        return (*keys[:-1], newest)
    return (*keys[-(_GENERATIONS_MAX - 1) :], {key: message})


def _grown(chunks: Iterable[_Node]) -> tuple[int, _Node]:
    """Return a tree of full chunks, and how deep it is."""
    shift, root = 0, cast("_Node", ())
    for index, chunk in enumerate(chunks):
        shift, root = _pushed(root, shift, index, chunk)
    return shift, root


def _pushed(root: _Node, shift: int, index: int, chunk: _Node) -> tuple[int, _Node]:
    if index == CHUNK_MESSAGES << shift:
        shift += CHUNK_BITS
        root = (root,)
    return shift, _placed(root, shift, index, chunk)


def _placed(node: _Node, level: int, index: int, chunk: _Node) -> _Node:
    if level == 0:
        return (*node, chunk)
    slot = (index >> level) & _MASK
    below = node[slot] if slot < len(node) else ()
    return (*node[:slot], _placed(below, level - CHUNK_BITS, index, chunk))
