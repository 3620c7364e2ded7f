"""A log that is too long to be in memory as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import AppendMessage, CreateSession, GetMessages, GetSession, Role, Session
from callboard.actors.sessions.log import HERE_CHUNKS_MAX
from callboard.actors.sessions.table import DurableRow
from callboard.actors.testing.stores import StoreInMemory
from tests.cast import Say
from tests.sessions.durable.kit import LONG, Recall, RecallLater, after, begin
from tests.sessions.stage import Stage, services_of


class TestALongLog:
    @pytest.fixture
    def long(self, stage: Stage, store: StoreInMemory) -> Any:
        sessions = begin(stage, store)
        sessions.ask(CreateSession(session_id="ada"))
        for number in range(1, LONG + 1):
            sessions.ask(Say("ada", text=f"{number}"))
        return sessions

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


class TestAPage:
    @pytest.mark.parametrize("how", ["messages", "ask"])
    def test_is_not_empty_since_the_log_was_trimmed_meanwhile(
        self, stage: Stage, store: StoreInMemory, monkeypatch: pytest.MonkeyPatch, how: str
    ) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        for number in range(LONG):
            sessions.ask(Say(ada, text=f"{number}"))
        right, was_asked = DurableRow.older, list[int]()

        def older(row: DurableRow, after_seq: int, limit: int) -> Any:
            was_asked.append(after_seq)  # the first time all was here
            return None if len(was_asked) == 1 else right(row, after_seq, limit)

        monkeypatch.setattr(DurableRow, "older", older)
        if how == "messages":
            page = sessions.messages(ada, limit=3)
        else:
            page = sessions.ask(GetMessages(ada, 0, 3)).messages

        assert [each.content for each in page] == ["0", "1", "2"]
