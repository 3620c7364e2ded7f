"""What the parts of the session tree tell each other; not for clients.

Word of a session names its row, not its id: an id may be used again as soon as its session is
gone, and what is said of that one is nothing to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from callboard.actors.sessions.data import Role
from callboard.actors.sessions.frozen import EMPTY
from callboard.supervision.model.requests import Request
from callboard.supervision.runtime.notices import Notice


class OfSession:
    """Word of a session, which names its row."""

    __slots__ = ()

    row: Any

    def as_dead_letter(self) -> str:
        """Return what is kept of it when nobody hears it: not the session, which may have ended."""
        return f"{type(self).__name__} of {self.row.id}"


class EndSession(Notice, frozen=True):
    """To a session: clean up and end, unless it has not been idle for so long.

    With the number of an ending, only while that is under way: one that was answered is void.
    """

    session_id: str
    reason: str
    idle_longer_than_s: float | None = None
    number: int | None = None


class EndKept(Notice, frozen=True):
    """To the manager: the store has kept what was handed in of an ending, or `error` says why not.

    `number` is the ending's.
    """

    session_id: str
    number: int
    error: Any


class CreateRefused(OfSession, Notice, frozen=True):
    """To the manager: the store did not keep a session that was to be created and no more."""

    row: Any
    error: Any
    reply: Any


class Learned(OfSession, Notice, frozen=True):
    """To the manager: the store knows all of this session by now; this was learned before."""

    row: Any
    news: Any


class LogLoaded(OfSession, Notice, frozen=True):
    """To the manager: the last messages of a session that rests, or why they cannot be read."""

    row: Any
    log: Any
    error: Any


class EndRefused(OfSession, msgspec.Struct, frozen=True):
    """To the manager: the store did not keep the end of a session, which stays as it was."""

    row: Any
    number: int | None
    error: Any


class SpawnSession(msgspec.Struct, frozen=True):
    """To a session itself: do the steps of its plan, then go on with what its start wanted next."""

    then: Any = None


class CleanUp(msgspec.Struct, frozen=True):
    """To a session itself: undo the steps of its plan, and end."""


class FallAsleep(Notice, frozen=True):
    """To a session: end in order if there is nothing to do; the next message wakes it.

    With a time, only if it has not been active since; the janitor gives one, and wants no answer.
    """

    unless_active_since_s: float | None = None


class FailNow(msgspec.Struct, frozen=True):
    """To a session or another part: crash, because fault injection says so."""


class StartSession(OfSession, msgspec.Struct, frozen=True):
    """To a partition: run the session of this row; the reply is its ref, or None."""

    row: Any


class ForgetSession(OfSession, msgspec.Struct, frozen=True):
    """To a partition: stop this session's actor if it runs, and do not bring it back."""

    row: Any


class SessionEnded(OfSession, Notice, frozen=True):
    """To the manager: this incarnation of a session has ended, its cleanup included."""

    row: Any
    cell: Any


class SessionStays(OfSession, msgspec.Struct, frozen=True):
    """To the manager: a session that was to end or to sleep has had something to do since.

    With an error, that sleeping was refused by the store.
    """

    row: Any
    error: Any = None


class SessionWaits(OfSession, msgspec.Struct, frozen=True):
    """To the manager: a message waits for a session that has no incarnation."""

    row: Any


class StartAnswered(OfSession, msgspec.Struct, frozen=True):
    """To the manager: the partition has answered a request to start a session.

    `cell` is the incarnation that was started, if one was: it may have ended since.
    `number` is that of the request: an earlier manager may have asked, too.
    `is_lost` says that the partition was ending when it answered: it stopped what it was starting.
    `refusal` is why a durable store has not kept what the incarnation began with.
    """

    row: Any
    number: int
    error: Any
    cell: Any
    is_lost: bool = False
    refusal: Any = None


class StartKept(Notice, frozen=True):
    """To the manager: the store has what an incarnation began with, or `answer` says why not."""

    answer: Any


class PauseOver(msgspec.Struct, frozen=True):
    """To the manager: this start (`Start`) that was put off is to go on."""

    start: Any


class PlacesLeft(msgspec.Struct, frozen=True):
    """To the manager: more of what waits for this partition may be started."""

    number: int


class SessionGivenUp(OfSession, msgspec.Struct, frozen=True):
    """To the manager: the partition has forgotten a session whose budget is spent.

    `incarnation` is the last one that has begun, as the partition saw it.
    """

    row: Any
    incarnation: int
    reason: Any
    failed_on: str | None


class Crowded(msgspec.Struct, frozen=True):
    """To the janitor: more sessions are awake than may be."""


class QuarantineSweep(msgspec.Struct, frozen=True):
    """To the manager: end what has been quarantined for too long, and forget old keys."""


class PartitionReady(msgspec.Struct, frozen=True):
    """To the manager: a partition has started, empty."""

    number: int


class GraceOver(msgspec.Struct, frozen=True):
    """To the manager: a session that was to end has had its time."""

    session_id: str
    number: int


class Adopt(Notice, frozen=True):
    """To the manager: these sessions have come into the store; they sleep."""

    sessions: Any


class AdoptionOver(Request[None], frozen=True):
    """To the manager: answer when all that came before is adopted."""


class AreYouThere(msgspec.Struct, frozen=True):
    """To the manager: answer, to show that you come to what you are asked."""


class Undone(msgspec.Struct, frozen=True):
    """To the manager: who was to undo what a session has spawned has ended."""

    session_id: str


class EndAll(Request[None], frozen=True):
    """To the manager: take no new session, and end those that have spawned something."""


class DrainCheck(msgspec.Struct, frozen=True):
    """To the manager: look whether the work in hand is done."""

    drain: Any


class WalkOn(msgspec.Struct, frozen=True):
    """To the manager: go on looking at many rows, a few at a time."""

    walk: Any


# -- about a session's connections -------------------------------------------


class LookLater(Notice, frozen=True):
    """To a session itself: have its connections report, for what they told was not kept."""


class WorkOver(Notice, frozen=True):
    """To a session: something that it had handed to a connection is over."""

    hold: Any


class LinkUp(Notice, frozen=True):
    """To a session: this connection can be used. Repeated when somebody looks."""

    key: str
    restarts: int
    changes: Mapping[str, Any] = EMPTY


class LinkDown(Notice, frozen=True):
    """To a session: this connection has died, or could not be opened."""

    key: str
    error: Any
    acked_seq: int = 0


class LinkFailed(Notice, frozen=True):
    """To a session: this connection died too often, and is not opened again."""

    key: str


class Said(Notice, frozen=True):
    """A whole message of an agent, for the log."""

    role: Role
    content: str
    metadata: Mapping[str, object] = EMPTY


class PromptDone(Notice, frozen=True):
    """What became of a prompt, and whom to tell when the log has all of it."""

    reply: Any
    stop_reason: str = ""
    error: Any = None


class AgentPacket(Notice, frozen=True):
    """To a session: what its agent has said. The next one comes when this has been heard.

    It is sent again when somebody looks: `number` tells whether it was heard before.
    """

    key: str
    number: str
    items: tuple[Any, ...]
    done: PromptDone | None = None


class Heard(Notice, frozen=True):
    """To an agent's connection: the session has kept this packet."""

    number: str


class LogGrew(Notice, frozen=True):
    """To a client's connection: there is more to send."""


class Live(Notice, frozen=True):
    """To a client's connection: updates that belong behind this message of the log."""

    after_seq: int
    updates: tuple[Any, ...]


class RunTool(Request[Any], frozen=True):
    """To an MCP client's connection: run this tool, or, without a name, list them all."""

    name: str | None
    arguments: Mapping[str, object]
    timeout_s: float


class RunPrompt(Request[Any], frozen=True):
    """To an agent's connection: work on this."""

    content: str
    blocks: tuple[Mapping[str, object], ...]
    timeout_s: float


class StopPrompt(Request[bool], frozen=True):
    """To an agent's connection: work no more; killed when it has not stopped in this time."""

    grace_s: float


class LookAgain(Notice, frozen=True):
    """To whoever reads a backlog: something is in it."""


class ClearUp(Notice, frozen=True):
    """To the clearer: there is something to delete."""


class CreateAgain(msgspec.Struct, frozen=True):
    """To the manager: the session that had the id of this create (`Waiting`) is gone; do it."""

    waiting: Any


class Audited(msgspec.Struct, frozen=True):
    """To the manager: this operation has been audited; do it."""

    message: Any
