"""The sessions that tests of whole systems play with: messages, data and one behaviour.

What a behaviour does beyond its messages its `Play` decides: one that a test waits for and
looks into (`tests/sessions/stage.py`), or one that keeps no more than a long run can afford
(`tests/chaos/play.py`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, ClassVar

import msgspec

from callboard.actors import Role, Session, SessionActor, SessionMessage
from callboard.supervision import ActorRef, Refusal, handles
from tests.runtime.kit import Gate


class Tally(msgspec.Struct, frozen=True):
    """The behaviour's own data."""

    said: int = 0


class Say(SessionMessage[int], frozen=True, kw_only=True):
    """Append and count, in one commit; the reply is the number."""

    text: str


class SayLater(Say, frozen=True, kw_only=True):
    """The same in a coroutine, with a pause between the two."""


class Fall(Say, frozen=True, kw_only=True):
    """Append, count and raise."""


class FallLater(Say, frozen=True, kw_only=True):
    """The same in a coroutine, with a pause before it raises."""


class Exhaust(Say, frozen=True, kw_only=True):
    """Append, count and raise what is no Exception."""


class Resist(Say, frozen=True, kw_only=True):
    """Take a while, then append, count and commit; also when it is killed meanwhile, and later."""


class Decline(Say, frozen=True, kw_only=True):
    """Append, count and refuse."""


class DeclineLater(Say, frozen=True, kw_only=True):
    """The same in a coroutine."""


class SaveAndFall(Say, frozen=True, kw_only=True):
    """Append, count, commit; append once more and raise."""


class Hold(Say, frozen=True, kw_only=True):
    """Append, then block at the gate."""


class HoldLater(Say, frozen=True, kw_only=True):
    """Append, then wait at the gate in a coroutine."""


class SaveAndHoldLater(Say, frozen=True, kw_only=True):
    """Append, count, commit; append once more and wait at the gate in a coroutine."""


class HangOn(msgspec.Struct, frozen=True):
    """To the session's own address, no message of its askers: wait at the gate."""


class Linger(SessionMessage[None], frozen=True):
    """Be at work for a while."""

    seconds: float = 0.05


class Promise(SessionMessage[None], frozen=True):
    """Have something go on after this message: it is over with the next one to oneself."""


class Remember(SessionMessage[int], frozen=True):
    """Count in a plain attribute, which dies with the incarnation; reply the count."""


class Which(SessionMessage[int], frozen=True):
    """Reply the number of the incarnation."""


class NotNow(Refusal):
    """A declared answer that is not a crash."""

    code = "not_now"


class Boom(Exception):
    """What a handler raises when it is to crash."""


class _Kept(msgspec.Struct, frozen=True):
    """To the session itself: what was promised is done."""

    hold: Any


class Play:
    """What the behaviours of one test share with it."""

    gate: Gate
    pause_s = 0.0
    """How long a coroutine pauses between the two things that it does."""

    def __init__(self) -> None:
        self.bad_starts: Counter[str] = Counter()
        """Session id -> starts that are to fail."""
        self.starts_at_the_gate: set[str] = set()
        """Session ids whose start waits there."""
        self.starts: Counter[str] = Counter()
        self.handled: list[str] = []

    def enters(self, session_id: str, ref: ActorRef[Any]) -> None:
        """Take note that an incarnation begins; called before it has done anything."""
        del ref
        if session_id in self.starts_at_the_gate:
            self.gate.wait()

    def started(self, session: Session) -> None:
        """Take note that one has begun; what this raises fails the start."""
        self.starts[session.id] += 1
        if self.bad_starts[session.id]:
            self.bad_starts[session.id] -= 1
            raise Boom("it does not start")
        if session.metadata.get("is_cursed"):
            raise Boom("it does not start")

    def heard(self, text: str) -> None:
        """Take note of a text that is being handled."""
        self.handled.append(text)

    def pause(self) -> None:
        """Block the handler that calls this, for a while."""
        self.gate.wait()

    def fails(self, session_id: str) -> None:
        """Take note that a handler is about to raise what ends its incarnation."""


class Actor(SessionActor[Tally]):
    """The behaviour."""

    play: ClassVar[Play]

    def initial_data(self) -> Tally:
        return Tally()

    def on_start(self) -> None:
        self.play.enters(self._row.id, self.actor_ref)
        super().on_start()
        self.remembered = 0
        self.play.started(self.session)

    def _say(self, text: str) -> int:
        self.play.heard(text)
        seq = self.append(Role.USER, text).seq
        self.update(data=Tally(self.data.said + 1))
        return seq

    @handles(Say)
    def on_say(self, message: Say) -> int:
        return self._say(message.text)

    @handles(SayLater)
    async def on_say_later(self, message: SayLater) -> int:
        seq = self.append(Role.USER, message.text).seq
        await asyncio.sleep(self.play.pause_s)
        self.update(data=Tally(self.data.said + 1))
        return seq

    @handles(Fall)
    def on_fall(self, message: Fall) -> int:
        self._say(message.text)
        self.play.fails(self._row.id)
        raise Boom(message.text)

    @handles(FallLater)
    async def on_fall_later(self, message: FallLater) -> int:
        self._say(message.text)
        await asyncio.sleep(self.play.pause_s)
        self.play.fails(self._row.id)
        raise Boom(message.text)

    @handles(Exhaust)
    def on_exhaust(self, message: Exhaust) -> int:
        self._say(message.text)
        self.play.fails(self._row.id)
        raise SystemExit(message.text)

    @handles(Resist)
    def on_resist(self, message: Resist) -> int:
        try:
            self.play.pause()
        finally:
            self.play.pause()
            seq = self._say(message.text)
            self.commit()
        return seq

    @handles(Decline)
    def on_decline(self, message: Decline) -> int:
        self._say(message.text)
        raise NotNow(message.text)

    @handles(DeclineLater)
    async def on_decline_later(self, message: DeclineLater) -> int:
        self._say(message.text)
        await asyncio.sleep(self.play.pause_s)
        raise NotNow(message.text)

    @handles(SaveAndFall)
    def on_save_and_fall(self, message: SaveAndFall) -> int:
        self._say(message.text)
        self.commit()
        self._say("never kept")
        self.play.fails(self._row.id)
        raise Boom(message.text)

    @handles(Hold)
    def on_hold(self, message: Hold) -> int:
        seq = self._say(message.text)
        self.play.gate.wait()
        return seq

    @handles(HoldLater)
    async def on_hold_later(self, message: HoldLater) -> int:
        seq = self._say(message.text)
        await self.play.gate.passed()
        return seq

    @handles(SaveAndHoldLater)
    async def on_save_and_hold_later(self, message: SaveAndHoldLater) -> int:
        seq = self._say(message.text)
        self.commit()
        self._say("never kept")
        await self.play.gate.passed()
        return seq

    @handles(HangOn)
    def on_hang_on(self, message: HangOn) -> None:
        del message
        self.play.gate.wait()

    @handles(Linger)
    async def on_linger(self, message: Linger) -> None:
        await asyncio.sleep(message.seconds)

    @handles(Promise)
    def on_promise(self, message: Promise) -> None:
        del message
        self.send_after(self.play.pause_s, _Kept(self.hold()))

    @handles(_Kept)
    def on_kept(self, message: _Kept) -> None:
        message.hold.release()

    @handles(Remember)
    def on_remember(self, message: Remember) -> int:
        del message
        self.remembered += 1
        return self.remembered

    @handles(Which)
    def on_which(self, message: Which) -> int:
        del message
        return self.incarnation


def behaviour(play: Play, base: type[Actor] = Actor) -> type[Actor]:
    """Return the behaviour, bound to a play of its own."""
    return type(base.__name__, (base,), {"play": play})
