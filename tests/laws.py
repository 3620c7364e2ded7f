"""More laws of DESIGN.md that can be looked at from outside, beside those of the test kit.

`broken_laws(sessions)` looks at one moment, as that of the kit does. `Ledger` keeps what clients
were promised and compares it with what is there. `Watch` monitors incarnations and counts what it
hears.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from callboard.actors import Message, Role, Session, SessionState, SessionSystem
from callboard.actors.sessions.coding import message
from callboard.actors.sessions.draft import Draft, SessionEntry
from callboard.actors.sessions.holds import HoldKind
from callboard.actors.storage.records import StoreReader
from callboard.actors.testing import laws
from callboard.actors.testing.laws import lines_of, parts_of, services_of
from callboard.supervision import ActorRef, ActorSystem, Down, Request, SupervisedActor, handles

__all__ = [
    "Ledger",
    "Watch",
    "broken_by_a_durable_store",
    "broken_by_a_store",
    "broken_laws",
    "left_behind",
    "lines_of",
    "parts_of",
    "services_of",
]

# -- one moment ------------------------------------------------------------


def broken_laws(sessions: SessionSystem) -> list[str]:
    """Return what is wrong with a system in which nothing is under way, and nobody holds a session.

    A user's behaviour may well hold one when a test ends.
    """
    return [*laws.broken_laws(sessions), *_holds(sessions)]


def _holds(sessions: SessionSystem) -> Iterator[str]:
    """What kept a session awake is over with it."""
    for row in services_of(sessions).table.rows():
        draft = row.holder
        if isinstance(draft, Draft) and draft.holds_back(HoldKind.WORK):
            yield f"{row.id} is held, and nothing goes on in it"


# -- what a store was given ------------------------------------------------

OF_THE_MANAGER = ("presence", "restarts", "last_error", "failed_on")
"""Fields of a snapshot that are no part of a commit: the next one carries them along."""


def broken_by_a_store(sessions: SessionSystem, entries: Iterable[SessionEntry]) -> Iterator[str]:
    """Yield where what a store has kept is not what is there, when nothing is under way.

    Args:
        sessions: the system.
        entries: what its store has kept and published, in order.
    """
    held: dict[str, SessionEntry] = {}
    for entry in entries:
        before, now = held.get(entry.session_id), entry.version.session
        is_first = before is None or _is_over(before)
        expected = entry.base.session.version + 1
        if is_first and now.state is SessionState.CREATED:
            expected = entry.base.session.version
        if now.version != expected:
            yield f"{entry.session_id} was kept as {now.version}, not as {expected}"
        held[entry.session_id] = entry
    table = services_of(sessions).table
    for session_id, entry in held.items():
        if table.get(session_id) is None and not _is_over(entry):
            yield f"{session_id} is gone, and the store has it as {entry.version.session.state}"
    for row in table.rows():
        kept, there = held.get(row.id), row.latest()
        if kept is None or _is_over(kept):
            yield f"{row.id} is there, and the store does not know it"
        elif _content(kept.version.session) != _content(there.session):
            yield f"{row.id} is {there.session}, and the store has {kept.version.session}"
        elif kept.version.log is not there.log:
            yield f"{row.id} has a log that the store does not have"


def broken_by_a_durable_store(sessions: SessionSystem, store: StoreReader) -> Iterator[str]:
    """Yield where what a durable store has is not what is there, when nothing is under way.

    Args:
        sessions: the system.
        store: what it is to have kept.
    """
    services = services_of(sessions)
    storing = services.storing
    assert storing is not None, "it has no durable store"
    if storing.journal.has_more:
        yield "something waits to be written"
    kept = {each.id: each for each in store.sessions()}
    for row in services.table.rows():
        stored, there = kept.pop(row.id, None), row.latest()
        if row.tip().session.version != there.session.version:
            yield f"{row.id} has handed in what is neither kept nor given up"
        if stored is None:
            yield f"{row.id} is there, and the store does not know it"
            continue
        if _content(storing.coder.session(stored)) != _content(there.session):
            yield f"{row.id} is {there.session}, and the store has {stored}"
        last_seq = there.session.last_seq
        found = store.messages(row.id, after_seq=0, up_to_seq=last_seq + 1)
        if [each.seq for each in found] != list(range(1, last_seq + 1)):
            yield f"{row.id} has {last_seq} messages, and the store {len(found)}"
        here = there.log.slice(after_seq=0, limit=last_seq) if there.log.is_here else ()
        if here and tuple(map(message, found))[-len(here) :] != here:
            yield f"{row.id} has other messages than the store"
        if stored.head.incarnation > row.incarnation:
            yield f"{row.id} is at {row.incarnation}, and the store at {stored.head.incarnation}"
    for session_id, stored in kept.items():
        yield f"{session_id} is gone, and the store has it as {stored.head.state}"


def _is_over(entry: SessionEntry) -> bool:
    return entry.version.session.state is SessionState.CLEANED


def _content(session: Session) -> dict[str, object]:
    return {
        name: getattr(session, name)
        for name in session.__struct_fields__
        if name not in OF_THE_MANAGER
    }


# -- what was promised -----------------------------------------------------


class Ledger:
    """What clients were told about their sessions, to be held against what is there.

    Every text names its client and its number, and is to be kept once: sent again, it has the
    same `client_msg_id`. What an agent says is left out.
    """

    def __init__(self) -> None:
        self.acknowledged: dict[str, list[tuple[int, str]]] = {}
        self.uncertain: dict[str, set[str]] = {}
        self.forbidden: set[str] = set()

    def keep(self, session_id: str, seq: int, text: str) -> None:
        """Note that an append was confirmed."""
        self.acknowledged.setdefault(session_id, []).append((seq, text))

    def doubt(self, session_id: str, text: str) -> None:
        """Note that an append may have been kept or not: its asker was told so."""
        self.uncertain.setdefault(session_id, set()).add(text)

    def deny(self, text: str) -> None:
        """Note that an append failed, or that its handler raised: nothing of it is kept."""
        self.forbidden.add(text)

    def forget(self, session_id: str) -> None:
        """Note that a session was terminated."""
        self.acknowledged.pop(session_id, None)
        self.uncertain.pop(session_id, None)

    def broken(self, sessions: SessionSystem) -> Iterator[str]:
        """Yield what law 7 forbids: something lost, doubled, out of order or half kept."""
        for session_id, promised in self.acknowledged.items():
            row = services_of(sessions).table.get(session_id)
            if row is None:
                yield f"{session_id} is gone, and {len(promised)} messages with it"
            else:
                yield from self._broken_in(sessions, session_id, promised)

    def _broken_in(
        self, sessions: SessionSystem, session_id: str, promised: list[tuple[int, str]]
    ) -> Iterator[str]:
        log: list[Message] = []
        while part := sessions.messages(session_id, after_seq=len(log)):
            log += part
        texts = [each.content for each in log]
        said = [each.content for each in log if each.role is not Role.ASSISTANT]
        if [each.seq for each in log] != list(range(1, len(log) + 1)):
            yield f"{session_id} has holes: {[each.seq for each in log]}"
        for seq, text in promised:
            if seq > len(texts) or texts[seq - 1] != text:
                yield f"{session_id} lost {text!r}, confirmed as {seq}"
        doubled = [text for text, times in Counter(said).items() if times > 1]
        if doubled:
            yield f"{session_id} has {doubled} twice"
        known = {text for _, text in promised} | self.uncertain.get(session_id, set())
        for text in said:
            if text in self.forbidden:
                yield f"{session_id} kept {text!r}, of which nothing may be kept"
            elif text not in known:
                yield f"{session_id} has {text!r}, which nobody was told"
        for client in sorted({text.partition(" ")[0] for text in said}):
            numbers = [_number(text) for text in said if text.partition(" ")[0] == client]
            if numbers != sorted(numbers):
                yield f"{session_id} has what {client} sent out of order: {numbers}"


def _number(text: str) -> int:
    return int(text.rpartition(" ")[2])


# -- monitors --------------------------------------------------------------


class Look(Request[int], frozen=True):
    """Have the watch monitor somebody; the reply is the monitor's number."""

    ref: Any


class Watcher(SupervisedActor):
    """Monitors, and counts what it hears."""

    is_spared = True

    def __init__(self, downs: list[Down]) -> None:
        self.downs = downs

    @handles(Look)
    def look(self, message: Look) -> int:
        return self.monitor(message.ref)

    @handles(Down)
    def down(self, message: Down) -> None:
        self.downs.append(message)


class Watch:
    """Monitors incarnations on behalf of a test, and says whether law 4 held.

    Args:
        system: where it stands, as a root of its own.
    """

    def __init__(self, system: ActorSystem) -> None:
        self.downs: list[Down] = []
        self._watched: dict[int, ActorRef[Any]] = {}
        self._ref = system.spawn(Watcher, self.downs).wait_started()

    def look_at(self, refs: Iterable[ActorRef[Any]]) -> None:
        """Monitor each of them once more."""
        for ref in refs:
            self._watched[self._ref.ask(Look(ref), timeout=math.inf)] = ref

    def forget_the_dead(self) -> None:
        """Forget those that have ended: what was to be heard of them has been looked at."""
        self._watched = {each: ref for each, ref in self._watched.items() if not ref.is_dead}
        self.downs[:] = [each for each in self.downs if each.monitor in self._watched]

    def broken(self) -> Iterator[str]:
        """Yield every monitor that did not hear exactly once of an end, or heard of none."""
        heard = Counter(each.monitor for each in self.downs)
        for number, ref in self._watched.items():
            expected = 1 if ref.is_dead else 0
            if heard[number] != expected:
                yield f"monitor {number} of {ref} heard {heard[number]} times, not {expected}"
        for each in self.downs:
            if each.monitor in self._watched and each.who is not self._watched[each.monitor]:
                yield f"monitor {each.monitor} heard of {each.who}"


# -- after the end ---------------------------------------------------------


def left_behind(system: ActorSystem) -> list[str]:
    """Return what a system that was stopped has left: nothing, says law 10."""
    left = [f"the name {name}" for name in system.names]
    left += [f"the actor {ref}" for ref in system.roots]
    return left
