"""A log that is too long to be in memory as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

import pytest

from callboard.actors import AppendMessage, CreateSession, GetMessages, GetSession, Role, Session
from callboard.actors.sessions.log import HERE_CHUNKS_MAX
from callboard.actors.sessions.naming import READER
from callboard.actors.sessions.table import DurableRow
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision import Settings, Timeout
from tests.cast import Say
from tests.sessions.durable.kit import LONG, Recall, RecallLater, after, begin
from tests.sessions.stage import PATIENT_S, Stage, services_of

T = TypeVar("T")

SHORT_S = 0.05


@pytest.fixture
def long(stage: Stage, store: StoreInMemory) -> Any:
    sessions = begin(stage, store)
    sessions.ask(CreateSession(session_id="ada"))
    for number in range(1, LONG + 1):
        sessions.ask(Say("ada", text=f"{number}"))
    return sessions


async def _bounded(asked: Coroutine[Any, Any, T]) -> T:
    """Await it, and no longer than a test may take."""
    return await asyncio.wait_for(asked, PATIENT_S)


class TestALongLog:
    def test_leaves_the_memory_but_for_its_end(self, long: Any) -> None:
        log = services_of(long).table.row("ada").latest().log

        assert 200 <= len(list(log)) <= HERE_CHUNKS_MAX * 32

    def test_is_read_as_a_whole(self, long: Any) -> None:
        found: list[str] = []
        while page := long.ask(GetMessages("ada", len(found), 100)).messages:
            found += [each.content for each in page]

        assert found == [f"{number}" for number in range(1, LONG + 1)]
        assert [each.seq for each in long.messages("ada", after_seq=3, limit=2)] == [4, 5]
        snapshot: Session = long.ask(GetSession("ada", messages=300))
        assert [each.seq for each in snapshot.messages] == list(range(LONG - 299, LONG + 1))

    @pytest.mark.parametrize("message", [Recall, RecallLater])
    def test_is_read_by_its_behaviour(self, long: Any, message: Any) -> None:
        assert long.ask(message("ada", last=LONG - 10)) == LONG - 10

    @pytest.mark.parametrize("message", [Recall, RecallLater])
    def test_is_read_by_its_behaviour_as_a_whole_at_any_length(
        self, long: Any, message: Any
    ) -> None:
        """Just after it has left the memory too: its own log is trimmed ahead of the one we see."""
        for last in range(LONG, LONG + 8 * 32):
            assert long.ask(message("ada", last=last)) == last
            long.ask(Say("ada", text="one more"))

    def test_is_gone_on_with_by_the_next_system(
        self, stage: Stage, store: StoreInMemory, long: Any
    ) -> None:
        del long
        sessions = after(stage, store)

        assert sessions.ask(Say("ada", text="more")) == LONG + 1
        assert sessions.ask(Recall("ada", last=LONG + 1)) == LONG + 1

    def test_is_known_by_the_keys_of_what_the_store_alone_has(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store)
        sessions.ask(CreateSession(session_id="ada"))
        append = AppendMessage("ada", Role.USER, "once", "key")
        sessions.ask(append)
        for number in range(LONG):
            sessions.ask(Say("ada", text=f"{number}"))

        sessions = after(stage, store)

        assert sessions.ask(append) == 1
        assert sessions.get("ada").last_seq == LONG + 1


class TestAReaderThatHangs:
    """At a disk, say. It holds up nobody for longer than he asks for."""

    @pytest.mark.parametrize("read", [GetMessages("ada", 0, 10), GetSession("ada", messages=LONG)])
    def test_is_waited_for_as_long_as_the_asker_says(self, long: Any, read: Any) -> None:
        long.system.lookup(READER).ref.suspend()

        with pytest.raises(Timeout):
            long.ask(read, timeout=SHORT_S)
        with pytest.raises(Timeout):
            asyncio.run(_bounded(long.ask_async(read, timeout=SHORT_S)))

    def test_is_waited_for_as_long_as_for_every_answer_by_who_does_not_say(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        sessions = begin(stage, store, settings=Settings(ask_timeout_s=SHORT_S))
        wait: Any = {"timeout": PATIENT_S}
        sessions.ask(CreateSession(session_id="ada"), **wait)
        for _ in range(LONG):
            sessions.ask(Say("ada", text="so much"), **wait)
        sessions.system.lookup(READER).ref.suspend()

        with pytest.raises(Timeout):
            asyncio.run(_bounded(sessions.ask_async(GetMessages("ada", 0, 10))))
        sessions.tell(RecallLater("ada", last=LONG))  # nobody gives up with it
        stage.advance(SHORT_S)
        assert sessions.ask(Say("ada", text="goes on"), **wait) == LONG + 1


Older: TypeAlias = Callable[[DurableRow, int, int], Any]
"""What looks for the messages of a page that may have left the memory."""

_older = DurableRow.older


def before_the_trim(_row: DurableRow, _after_seq: int, _limit: int) -> Any:
    """Find that all of them are here, as it was just before the log was trimmed."""
    return None


def of_one_less(row: DurableRow, after_seq: int, limit: int) -> Any:
    """Find what was the page when there was one message less."""
    return _older(row, after_seq - 1, limit)


def look_first(monkeypatch: pytest.MonkeyPatch, first: Older) -> list[int]:
    """Have the first look for a page find something else; return after which message each was."""
    was_asked: list[int] = []

    def older(row: DurableRow, after_seq: int, limit: int) -> Any:
        was_asked.append(after_seq)
        return (first if len(was_asked) == 1 else _older)(row, after_seq, limit)

    monkeypatch.setattr(DurableRow, "older", older)
    return was_asked


class TestAPage:
    @pytest.mark.parametrize("how", ["messages", "ask", "ask_async"])
    def test_is_not_empty_since_the_log_was_trimmed_meanwhile(
        self, long: Any, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        look_first(monkeypatch, before_the_trim)
        if how == "messages":
            page = long.messages("ada", limit=3)
        elif how == "ask":
            page = long.ask(GetMessages("ada", 0, 3)).messages
        else:
            page = asyncio.run(_bounded(long.ask_async(GetMessages("ada", 0, 3)))).messages

        assert [each.content for each in page] == ["1", "2", "3"]

    @pytest.mark.parametrize("how", ["ask", "ask_async"])
    def test_is_looked_for_once_more_within_the_askers_time(
        self, long: Any, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        was_asked = look_first(monkeypatch, before_the_trim)
        long.system.lookup(READER).ref.suspend()

        def read() -> None:
            if how == "ask":
                long.ask(GetMessages("ada", 0, 3), timeout=SHORT_S)
            else:
                asked = long.ask_async(GetMessages("ada", 0, 3), timeout=SHORT_S)
                asyncio.run(_bounded(asked))

        with pytest.raises(Timeout, match="no answer"):
            read()

        assert was_asked == [0, 0]

    @pytest.mark.parametrize("first", [before_the_trim, of_one_less], ids=["here", "one less"])
    def test_with_a_snapshot_ends_where_that_does_whatever_came_meanwhile(
        self, long: Any, monkeypatch: pytest.MonkeyPatch, first: Older
    ) -> None:
        look_first(monkeypatch, first)
        snapshot: Session = long.ask(GetSession("ada", messages=LONG - 20))

        assert [each.seq for each in snapshot.messages] == list(range(21, LONG + 1))
