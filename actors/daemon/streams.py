"""What does a request get that goes on: events as they happen, a log as it grows?

Server-sent events (the HTML standard, `text/event-stream`): each has a name and
one line of JSON. Two are ours: `end`, the last one when nothing more will come,
and `problem`, the last one when something went wrong, such as `slow_consumer`.
A comment in between says that the stream lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import msgspec

from callboard.actors.connections.ports import ClientEvent
from callboard.actors.daemon.calls import Call, Route, Stream
from callboard.actors.daemon.problems import problem_of
from callboard.actors.daemon.wire import Following, Watching
from callboard.actors.errors import InvalidField, SubscriptionClosed
from callboard.actors.link_messages import AttachClient
from callboard.actors.messages import EVENTS_MAX, Subscribe
from callboard.actors.sessions.events import EventKind, SessionEvent
from callboard.actors.sessions.subscriptions import Subscription
from callboard.supervision.model.errors import CallboardError

MEDIA_TYPE: Final = "text/event-stream"

SENT_AT_ONCE_MAX: Final = 100
"""Events that are sent in one go."""

BEGUN: Final = b": here from now on\n\n"
BEAT: Final = b": still here\n\n"
END: Final = b"event: end\ndata: {}\n\n"


def _part(name: str, data: object, number: int | None = None) -> bytes:
    """Return one event as it is sent."""
    head = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode(), msgspec.json.encode(data))


# -- events ----------------------------------------------------------------


async def watch_sessions(call: Call[Watching, None]) -> Stream:
    """Read along as events of all sessions happen, from now on."""
    return _watched(call, Subscribe(None, *_wanted(call.query)))


async def watch_session(call: Call[Watching, None]) -> Stream:
    """Read along as events of a session happen, from now on until it has gone."""
    return _watched(call, Subscribe(call.session_id, *_wanted(call.query)))


def _wanted(query: Watching) -> tuple[tuple[EventKind, ...], int]:
    kinds = tuple(_kind(word) for word in query.kinds.split(",") if word)
    return kinds, EVENTS_MAX if query.events_max is None else query.events_max


def _watched(call: Call[Watching, None], message: Subscribe) -> Stream:
    call.stay.last(None)
    subscription = call.sessions.ask(message)
    call.stay.at_end(subscription.close)
    return Stream(_told(subscription, call.settings.beat_s))


def _kind(word: str) -> EventKind:
    try:
        return EventKind(word)
    except ValueError:
        remedy = f"Give some of {', '.join(EventKind)}, with commas between."
        raise InvalidField("kinds", word, remedy) from None


async def _told(subscription: Subscription, beat_s: float) -> AsyncIterator[bytes]:
    yield BEGUN
    while True:
        try:
            async with asyncio.timeout(beat_s):
                event = await subscription.get_async()
        except TimeoutError:
            yield BEAT
        except SubscriptionClosed:
            yield END
            return
        except CallboardError as error:
            yield _part("problem", problem_of(error))
            return
        else:
            parts = [_event(event)]
            # What it raises is raised again when the next one is awaited.
            with suppress(CallboardError):
                while subscription.waiting and len(parts) < SENT_AT_ONCE_MAX:
                    parts.append(_event(subscription.get(0)))
            yield b"".join(parts)


def _event(event: SessionEvent) -> bytes:
    return _part(event.kind, event, event.seq)


# -- a log as it grows -----------------------------------------------------


async def follow_session(call: Call[Following, None]) -> Stream:
    """Follow a session: its log after `after_seq`, then each message as it comes.

    Whoever followed it before is let go.
    """
    follower = Follower()
    call.stay.last(None)
    call.stay.at_end(follower.leave)
    query = call.query
    await call.ask(
        AttachClient(
            call.session_id, sink=follower, after_seq=query.after_seq, kind="http", peer=query.peer
        )
    )
    call.stay.last(None)  # the asking may have set it a time
    return Stream(follower.parts(call.settings.beat_s))


class Follower:
    """A `ClientSink` over HTTP: the system's loop sends, the daemon's loop passes on.

    Made on the daemon's loop. What a send has returned for is on its way, at
    most one batch before what the socket has taken.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parts: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)
        self._is_gone = False
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None

    # -- on the system's loop ----------------------------------------------

    async def send(self, events: tuple[ClientEvent, ...]) -> None:
        """Pass these on; return when there is room for the next."""
        part = b"".join(_client_event(each) for each in events)
        putting = asyncio.run_coroutine_threadsafe(self._parts.put(part), self._loop)
        await asyncio.wrap_future(putting)

    async def ended(self) -> str:
        """Return why it is gone, when it is."""
        loop = asyncio.get_running_loop()
        self._waiting = loop, loop.create_future()
        if not self._is_gone:  # looked at last: whoever leaves says so first, then looks who waits
            await self._waiting[1]
        return "its request is over"

    async def close(self) -> None:
        """Let it go when it has what it was sent; at once when nobody reads it any more."""
        if self._is_gone:
            return
        putting = asyncio.run_coroutine_threadsafe(self._parts.put(END), self._loop)
        await asyncio.wrap_future(putting)

    def kill(self) -> None:
        """Let it go now."""
        with suppress(RuntimeError):  # the daemon's loop has ended before
            self._loop.call_soon_threadsafe(self._end)

    # -- on the daemon's loop ----------------------------------------------

    async def parts(self, beat_s: float) -> AsyncIterator[bytes]:
        """Yield what is to be sent."""
        yield BEGUN
        while True:
            try:
                async with asyncio.timeout(beat_s):
                    part = await self._parts.get()
            except TimeoutError:
                yield BEAT
            else:
                yield part
                if part is END:
                    return

    def leave(self) -> None:
        """Say that the request is over. Idempotent."""
        self._is_gone = True
        if self._waiting is not None:
            loop, waiting = self._waiting
            with suppress(RuntimeError):  # the system's loop has ended before
                loop.call_soon_threadsafe(_resolve, waiting)

    def _end(self) -> None:
        while not self._parts.empty():
            self._parts.get_nowait()
        self._parts.put_nowait(END)


def _resolve(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _client_event(event: ClientEvent) -> bytes:
    if event.message is not None:
        return _part("message", event, event.message.seq)
    return _part("update", event)


_SESSION = "/v1/sessions/{session_id}"

STREAMS: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/events",
        answer=watch_sessions,
        query=Watching,
        reply=SessionEvent,
        media_type=MEDIA_TYPE,
    ),
    Route(
        method="GET",
        path=f"{_SESSION}/events",
        answer=watch_session,
        query=Watching,
        reply=SessionEvent,
        media_type=MEDIA_TYPE,
    ),
    Route(
        method="GET",
        path=f"{_SESSION}/client",
        answer=follow_session,
        query=Following,
        reply=ClientEvent,
        media_type=MEDIA_TYPE,
    ),
)
"""What goes on: the `data` of each event is what its route's `reply` says."""
