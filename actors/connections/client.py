"""Who follows a session: sent the log from where he stopped, then what comes, once and in order.

What he has missed and what comes are one thing: he is sent what the log holds
behind the last message that he has, a bounded number at a time, and the next
only when he has these. So a slow one holds up nobody, fills no queue, and loses no
message. Updates of an agent wait in a bounded line beside it, and may be missed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from callboard.actors.connections.actor import LinkActor, Numbered, Report, TimeIsUp, WorkDone
from callboard.actors.connections.owner import Work
from callboard.actors.connections.ports import (
    EVENTS_MAX,
    SEND_S,
    SENT_AT_ONCE_MAX,
    AgentUpdate,
    ClientEvent,
    ClientSink,
)
from callboard.actors.connections.switchboard import Switchboard
from callboard.actors.sessions.data import Message
from callboard.actors.sessions.internal import Live, LogGrew
from callboard.actors.sessions.links import ClientInfo
from callboard.actors.sessions.log import Log, joined
from callboard.actors.sessions.table import Row
from callboard.supervision import ExitReason, handles
from callboard.supervision.runtime.timers import Timer


class ClientGone(Exception):
    """Why a client is down, as text."""


class ClientActor(LinkActor[ClientSink, ClientInfo]):
    """One client."""

    link_type: ClassVar[type[Any]] = ClientInfo

    def __init__(self, switchboard: Switchboard, row: Row, key: str) -> None:
        super().__init__(switchboard, row, key)
        self._numbers = Numbered()
        self._acked_seq = 0
        self._live: deque[tuple[int, AgentUpdate]] = deque(maxlen=EVENTS_MAX)
        self._sending: tuple[int, int, Timer, Work[Any]] | None = None

    @property
    def acked_seq(self) -> int:
        """Number of the last message that the client has."""
        return self._acked_seq

    def opens(self, link: ClientInfo) -> Callable[[], Awaitable[ClientSink]]:
        """Return what takes the sink: it is open already."""
        switchboard, row, number = self.switchboard, self.row, link.number
        self._acked_seq = switchboard.after_seq(row, number)

        async def taken() -> ClientSink:
            sink = switchboard.claim(row, number)
            if sink is None:
                raise ClientGone("its sink is gone")
            return sink

        return taken

    def opened(self, connection: ClientSink) -> None:
        """Send what it has missed."""
        del connection
        self._send()

    @handles(Report, LogGrew)
    def on_log_grew(self, message: Report | LogGrew) -> None:
        """Send what has come since."""
        del message
        self._send()

    @handles(Live)
    def on_live(self, message: Live) -> None:
        """Send updates, each behind the message that it follows."""
        self._live.extend((message.after_seq, each) for each in message.updates)
        self._send()

    def _send(self) -> None:
        sink = self._connection
        if sink is None or self._sending is not None:
            return
        events, last_seq = self._next()
        if events:
            number = self._numbers.next()
            timer = self.send_after(SEND_S, TimeIsUp(number))
            work = self.run(number, lambda: sink.send(events))
            self._sending = (number, last_seq, timer, work)

    def _next(self) -> tuple[tuple[ClientEvent, ...], int]:
        """Return what is to be sent now, and number of the last message in it."""
        events: list[ClientEvent] = []
        live, seq, log = self._live, self._acked_seq, self.row.latest().log
        while len(events) < SENT_AT_ONCE_MAX:
            if live and live[0][0] < seq:
                live.popleft()  # it is late: what it is a part of has been sent, or will be
                continue
            if live and live[0][0] == seq:
                events.append(ClientEvent(update=live.popleft()[1]))
                continue
            most = SENT_AT_ONCE_MAX - len(events)
            if live:
                most = min(most, live[0][0] - seq)
            messages = self._said(log, seq, most)
            if not messages:
                break
            events += [ClientEvent(message=each) for each in messages]
            seq = messages[-1].seq
        return tuple(events), seq

    def _said(self, log: Log, after_seq: int, limit: int) -> tuple[Message, ...]:
        """Return messages of the log; those that a durable store alone has are waited for."""
        wanted = self.row.older(after_seq, limit)
        if wanted is None:
            return log.slice(after_seq=after_seq, limit=limit)
        older = wanted.get(timeout=self.system.settings.ask_timeout_s)
        return joined(log, older, after_seq=after_seq, limit=limit)

    @handles(WorkDone)
    def on_work_done(self, message: WorkDone) -> None:
        """Send the next: the client has these."""
        if self._sending is None or self._sending[0] != message.number:
            return
        _, last_seq, timer, _ = self._sending
        timer.cancel()
        self._sending = None
        if message.error is not None:
            self.gone(self.died(message.error))
            return
        self._acked_seq = last_seq
        self._send()

    @handles(TimeIsUp)
    def on_time_is_up(self, message: TimeIsUp) -> None:
        """Take a client for gone that does not take what it is sent."""
        if self._sending is not None and self._sending[0] == message.number:
            self.lose(self.died(f"it did not take what it was sent within {SEND_S:g} s"))

    def gone(self, error: Exception) -> None:
        """End in order: a client that leaves is no failure, and it comes back by itself."""
        self._connection = None
        self.fail_work(error)
        self.tell_down(error)
        self.stop()

    def died(self, why: object) -> Exception:
        """Return what the session is told when the client has gone."""
        return ClientGone(self.said(why))

    def not_opened(self, detail: str) -> Exception:
        """Return what the session is told when the sink was gone before it was of use."""
        return ClientGone(detail)

    def fail_work(self, error: Exception) -> None:
        """Send nothing more."""
        del error
        sending, self._sending = self._sending, None
        if sending is not None:
            sending[2].cancel()
            sending[3].cancel()

    def let_go(self, reason: ExitReason) -> None:
        """See that the sink is closed also if it was never claimed."""
        super().let_go(reason)
        self.switchboard.close_strays(self.row.id)
