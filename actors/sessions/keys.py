"""What was created under which idempotency key, and what was replied? Bounded by number and age.

The system owns this, the manager alone changes it: it outlives the manager's crash. But a
session that is spawned notes the first reply itself, for it gives it.
A key is kept with its effect, so that a retry gets the first reply again whatever has
become of the session since. It belongs to the user and the organisation that the session was
created for: what one tenant uses tells another nothing, and is in nobody's way.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, TypeAlias, cast

import msgspec

from callboard.actors.messages import CreateSession
from callboard.actors.sessions.data import Session

CREATES_MAX: Final = 100_000
"""Idempotency keys of creates that are remembered, the last ones."""

CREATES_KEPT_S: Final = 86_400.0
"""How long each of them is, in seconds of the monotonic clock from its first use."""

_DIGEST_BYTES = 16

Key: TypeAlias = "tuple[str | None, str | None, str]"
"""Whose a key is, and which: organisation, user, key."""


def key_of(message: CreateSession) -> Key | None:
    """Return by which key a create is known when it is repeated; None: it is not."""
    key = message.idempotency_key
    return None if key is None else (message.org_id, message.user_id, key)


class Created:
    """What a key was used for.

    Args:
        content: digest of the first message.
        session_id: the session that came of it.
        used_s: when it was used first, on the monotonic clock.
    """

    __slots__ = ("content", "reply", "session_id", "used_s")

    def __init__(self, content: bytes, session_id: str, used_s: float) -> None:
        self.content = content
        self.session_id = session_id
        self.used_s = used_s
        self.reply: Session | None = None
        """The first reply; None while the create is at work."""


class Creates:
    """The keys that are remembered, in the order of their first use."""

    def __init__(self) -> None:
        self._created: OrderedDict[Key, Created] = OrderedDict()
        self._keys: dict[str, Key] = {}

    def __len__(self) -> int:
        return len(self._created)

    def find(self, key: Key, *, now_s: float) -> Created | None:
        """Return what a key was used for, unless that is too long ago."""
        self._forget_old(now_s)
        return self._created.get(key)

    def remember(self, key: Key, content: bytes, session_id: str, *, now_s: float) -> None:
        """Keep a key; forget what is too old, and the oldest beyond the bound."""
        # The way back first: a manager that is killed between the two must be able to take it.
        self._keys[session_id] = key
        self._created[key] = Created(content, session_id, now_s)
        self._forget_old(now_s)
        if len(self._created) > CREATES_MAX:
            self._forget_first()

    def recall(self, key: Key, content: bytes, reply: Session, *, used_s: float) -> None:
        """Keep a key that an earlier process was asked by, unless it has been used since.

        In any order: call `put_in_order` after the last.

        Args:
            key: whose it is, and which.
            content: digest of the first message.
            reply: what whoever asks again is told.
            used_s: when it was used first, on the monotonic clock of this process.
        """
        known = self._created.get(key)
        if known is not None:
            if known.reply is None or known.used_s >= used_s:
                return
            self._keys.pop(known.session_id, None)
        self._keys[reply.id] = key
        created = self._created[key] = Created(content, reply.id, used_s)
        created.reply = reply
        if len(self._created) > CREATES_MAX:
            self._forget_first()

    def put_in_order(self, *, now_s: float) -> None:
        """Have the keys in the order of their first use; forget what is too old."""
        in_order = sorted(self._created.items(), key=lambda each: each[1].used_s)
        self._created = OrderedDict(in_order)
        self._forget_old(now_s)

    def replied(self, session_id: str, reply: Session) -> Session:
        """Keep what the first asker is told; return it: whoever asks again is told the same.

        A manager may be killed between keeping a reply and giving it. Its successor, who cannot
        know, comes with what the session is by then.
        """
        key = self._keys.get(session_id)
        created = None if key is None else self._created.get(key)
        if created is None:
            return reply
        if created.reply is None:
            created.reply = reply
        return created.reply

    def forget(self, session_id: str) -> None:
        """Let a create be repeated: the session never came to be."""
        key = self._keys.get(session_id)
        if key is not None:
            self._created.pop(key, None)
            del self._keys[session_id]

    def _forget_old(self, now_s: float) -> None:
        while self._created:
            oldest = next(iter(self._created.values()))
            if now_s - oldest.used_s <= CREATES_KEPT_S:
                return
            self._forget_first()

    def _forget_first(self) -> None:
        _, oldest = self._created.popitem(last=False)
        self._keys.pop(oldest.session_id, None)


def content_of(message: CreateSession) -> bytes:
    """Return a digest by which a repeated message is known.

    Of the content as it is now: the caller may change a mapping that he gave.
    """
    said = msgspec.json.encode(message, order="sorted", enc_hook=_sayable)
    return hashlib.blake2b(said, digest_size=_DIGEST_BYTES).digest()


def _sayable(value: object) -> object:
    """Return a stand-in for what JSON cannot say."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    # Something that lives in this process only: a retry brings the like of it.
    return type(value).__qualname__
