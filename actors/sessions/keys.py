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
from typing import TypeAlias, cast

import msgspec

from callboard.actors.errors import StoreError
from callboard.actors.messages import CreateSession
from callboard.actors.sessions.data import Session
from callboard.supervision import Future

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

    __slots__ = ("content", "refusal", "reply", "session_id", "used_at", "used_s")

    def __init__(self, content: bytes, session_id: str, used_s: float) -> None:
        self.content = content
        self.session_id = session_id
        self.used_s = used_s
        self.reply: Session | None = None
        """The first reply; None while the create is at work."""
        self.used_at: float | None = None
        """When it was used first, UTC, if the wall clock says that it is old; see `recall`."""
        self.refusal: StoreError | None = None
        """Why whoever asks again is not told the reply: it cannot be read."""


class Creates:
    """The keys that are remembered, in the order of their first use.

    Args:
        keys_max: how many, the last ones; see `Keeping`.
        keep_s: how long each of them is, in monotonic seconds from its first use.
    """

    def __init__(self, *, keys_max: int, keep_s: float) -> None:
        self._keys_max = keys_max
        self._keep_s = keep_s
        self._created: OrderedDict[Key, Created] = OrderedDict()
        self._keys: dict[str, Key] = {}
        """The way back: session id -> the last key that it was created with."""
        self._doubtful: dict[Key, Created] = {}
        """Those that may be younger than they count as: the wall clock may have jumped."""

    def __len__(self) -> int:
        return len(self._created)

    def find(self, key: Key, *, now_s: float) -> Created | None:
        """Return what a key was used for, unless that is too long ago."""
        self.forget_old(now_s=now_s)
        return self._created.get(key)

    def remember(self, key: Key, content: bytes, session_id: str, *, now_s: float) -> None:
        """Keep a key; forget what is too old, and the oldest beyond the bound."""
        # The way back first: a manager that is killed between the two must be able to take it.
        self._keys[session_id] = key
        self._created[key] = Created(content, session_id, now_s)
        self.forget_old(now_s=now_s)
        if len(self._created) > self._keys_max:
            self._forget_first()

    def begin(self, session_id: str) -> None:
        """Note that a new session begins: it is not the one that had this id before.

        Whoever repeats the create of that one is told the same as ever.
        """
        self._keys.pop(session_id, None)

    def recall(
        self,
        key: Key,
        content: bytes,
        reply: Session,
        *,
        used_s: float,
        used_at: float | None = None,
    ) -> None:
        """Keep a key that an earlier process was asked by, unless it has been used since.

        In any order: call `put_in_order` after the last.

        Args:
            key: whose it is, and which.
            content: digest of the first message.
            reply: what whoever asks again is told.
            used_s: when it was used first, on the monotonic clock of this process; or later, if the
                wall clock is not believed.
            used_at: when it was used first, UTC, in that case; see `look_again`.
        """
        known = self._created.get(key)
        if known is not None:
            if known.reply is None or known.used_s >= used_s:
                return
            self._forget_way_back(known.session_id, key)
        self._keys[reply.id] = key
        created = self._created[key] = Created(content, reply.id, used_s)
        created.reply, created.used_at = reply, used_at
        if used_at is not None:
            self._doubtful[key] = created
        if len(self._created) > self._keys_max:
            self._forget_first()

    def look_again(self, *, wall_s: float, now_s: float) -> None:
        """Let keys be as old as they are by the wall clock by now, if that makes them younger.

        At a start it may have been a year ahead, and put right since. What stays as old as it was
        is forgotten when its time on the monotonic clock is over.
        """
        is_younger = False
        for key, created in list(self._doubtful.items()):
            used_at = created.used_at
            if used_at is None or self._created.get(key) is not created:
                del self._doubtful[key]
                continue
            used_s = now_s - abs(wall_s - used_at)
            if used_s > created.used_s:
                created.used_s, created.used_at, is_younger = used_s, None, True
        if is_younger:
            self.put_in_order(now_s=now_s)

    def put_in_order(self, *, now_s: float) -> None:
        """Have the keys in the order of their first use; forget what is too old."""
        in_order = sorted(self._created.items(), key=lambda each: each[1].used_s)
        self._created = OrderedDict(in_order)
        self.forget_old(now_s=now_s)

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

    def key_for(self, session_id: str) -> Key | None:
        """Return the key with which the session was created that has this id last, or None."""
        return self._keys.get(session_id)

    def reply_for(self, session_id: str) -> Session | None:
        """Return what whoever created a session with a key is told; None while that is open."""
        key = self._keys.get(session_id)
        created = None if key is None else self._created.get(key)
        return None if created is None else created.reply

    def refuse(self, session_id: str, error: StoreError) -> None:
        """Answer whoever repeats the create of a session that cannot be read: with this."""
        key = self._keys.get(session_id)
        created = None if key is None else self._created.get(key)
        if created is not None and created.session_id == session_id:
            created.refusal = error

    def forget(self, session_id: str) -> None:
        """Let a create be repeated: the session never came to be."""
        key = self._keys.get(session_id)
        if key is not None:
            self._created.pop(key, None)
            del self._keys[session_id]

    def forget_old(self, *, now_s: float) -> None:
        """Forget the keys that were used too long ago."""
        while self._created:
            oldest = next(iter(self._created.values()))
            if now_s - oldest.used_s <= self._keep_s:
                return
            self._forget_first()

    def _forget_first(self) -> None:
        key, oldest = self._created.popitem(last=False)
        self._forget_way_back(oldest.session_id, key)

    def _forget_way_back(self, session_id: str, key: Key) -> None:
        # An id may have been used again, by a create with another key.
        if self._keys.get(session_id) == key:
            del self._keys[session_id]


class FirstReply:
    """Where a creator is answered: with what the first was told who asked with his key.

    A session may become ACTIVE, and be lost before anybody is told: its next incarnation, which
    tells them, is at a later version.

    Args:
        reply: his future.
        creates: knows what was told.
    """

    __slots__ = ("_creates", "_reply")

    def __init__(self, reply: Future[Session], creates: Creates) -> None:
        self._reply = reply
        self._creates = creates

    @property
    def is_done(self) -> bool:
        """Whether he was answered, or has given up."""
        return self._reply.is_done

    def offer(self, session: Session) -> bool:
        """Answer with the first reply, which this is if there was none; say whether he waited."""
        return self._reply.offer(self._creates.replied(session.id, session))

    def offer_exception(self, error: BaseException) -> bool:
        """Answer with an error; say whether he waited."""
        return self._reply.offer_exception(error)


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
