"""The actor that reads what is in the store alone, while others write."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from callboard.actors.errors import StoreDamaged, StoreError
from callboard.actors.sessions.coding import Unreadable, message
from callboard.actors.sessions.data import Message
from callboard.actors.sessions.internal import FailNow, LogLoaded
from callboard.actors.sessions.log import KEYS_MAX, Log, here_from, log_of
from callboard.actors.sessions.table import Row
from callboard.actors.storage.records import MessageRecord
from callboard.supervision import (
    ExitReason,
    PinnedActor,
    Request,
    handles,
)

if TYPE_CHECKING:
    from callboard.actors.sessions.storing import Storing

CHECK: Final = "Look at it with `callboard store check`."
"""What to do about a session that the store does not have as it should."""


class ReadMessages(Request["tuple[Message, ...]"], frozen=True):
    """To the reader: return these messages."""

    session_id: str
    after_seq: int
    up_to_seq: int


class LoadLog(msgspec.Struct, frozen=True):
    """To the reader: tell the manager what the last messages of this session are."""

    row: Any


class StoreReader(PinnedActor):
    """Reads what is not in memory, over a connection of its own.

    Args:
        storing: what the system owns.
    """

    begun_s: float | None = None
    """Since when it is at the store, on the monotonic clock; None: it is not. See `has_hung`."""

    def __init__(self, storing: Storing) -> None:
        super().__init__()
        self._storing = storing
        self._store = storing.store.reader()

    def on_start(self) -> None:
        """Go on with what the one before had in hand when it ended: a start waits for it."""
        for row in list(self._storing.loading):
            self.actor_ref.notify(LoadLog(row))

    @handles(ReadMessages)
    def on_read_messages(self, message: ReadMessages) -> tuple[Message, ...]:
        """Return messages of a session.

        Raises:
            StoreError: they cannot be read.
        """
        return self._read(message.session_id, message.after_seq, message.up_to_seq)

    @handles(LoadLog)
    def on_load_log(self, message: LoadLog) -> None:
        """Tell the manager what the last messages of a session are."""
        row: Row = message.row
        if row not in self._storing.loading:
            return  # told already
        there = row.tip().log
        log: Log | None = None
        error: StoreError | None = None
        try:
            # One that is here was read for a manager before this one, and has gone on since.
            log = there if there.is_here else self._log(row.id, there.last_seq)
        except StoreError as refusal:
            error = refusal
        except Exception as raised:  # noqa: BLE001 -- a host's store may raise anything
            error = StoreError(self._storing.raised(raised))
        self._storing.announce(LogLoaded(row, log, error))
        self._storing.loading.pop(row, None)

    def _log(self, session_id: str, last_seq: int) -> Log:
        first_seq = here_from(last_seq)
        keyed: tuple[Message, ...] = ()
        if first_seq > 1:
            with self._at_store():
                found = self._store.keyed(session_id, up_to_seq=first_seq - 1, limit=KEYS_MAX)
                keyed = _readable(session_id, found)
        messages = self._read(session_id, first_seq - 1, last_seq)
        return log_of(messages, first_seq=first_seq, keyed=keyed)

    def _read(self, session_id: str, after_seq: int, up_to_seq: int) -> tuple[Message, ...]:
        with self._at_store():
            found = self._store.messages(session_id, after_seq=after_seq, up_to_seq=up_to_seq)
            messages = _readable(session_id, found)
            if [each.seq for each in messages] != list(range(after_seq + 1, up_to_seq + 1)):
                msg = f"messages of session {session_id} are missing after {after_seq}"
                raise StoreDamaged(msg)
        return messages

    @contextmanager
    def _at_store(self) -> Generator[None]:
        """Be at the store: whoever hangs there is named, and damage that is found is noted."""
        self.begun_s = self.system.clock.now_s()
        try:
            yield
        except StoreDamaged as damage:
            self._storing.note_damage(damage)
            raise
        finally:
            self.begun_s = None

    @handles(FailNow)
    def on_fail_now(self, message: FailNow) -> None:
        """Crash, because fault injection says so."""
        raise RuntimeError(message)

    def terminate(self, reason: ExitReason) -> None:
        """Let go of the connection."""
        del reason
        self._store.close()


def _readable(session_id: str, found: tuple[MessageRecord, ...]) -> tuple[Message, ...]:
    try:
        return tuple(map(message, found))
    except Unreadable as error:
        msg = f"a message of session {session_id} cannot be read: {error}"
        raise StoreDamaged(msg) from None
