"""Reads: lists, pages, counts and logs, from the table alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.actors.errors import InvalidField, SessionNotFound
from callboard.actors.messages import (
    CountSessions,
    FindSession,
    GetMessages,
    GetSession,
    ListSessions,
)
from callboard.actors.sessions.data import Role, Session
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.reads import answer
from callboard.actors.sessions.states import Presence, SessionState
from callboard.actors.sessions.table import Row, Standing, Table
from callboard.actors.storage.memory import MemoryStore
from tests import examples

NOW_S = 1_000.0


def filled() -> Table:
    """Return nine sessions that differ in everything a filter can ask for."""
    table = Table()
    for number in range(9):
        row = table.reserve(
            Session(
                id=f"s{(number * 5) % 9}",
                user_id=("ada", "bob", None)[number % 3],
                org_id=("acme", None)[number % 2],
                agent_role=("guide", None)[number // 5],
                state=(SessionState.ACTIVE, SessionState.CREATED)[number % 4 == 0],
            ),
            active_s=NOW_S - number * 10,
        )
        if number % 4 == 1:
            row.note(Standing(1, Presence.ASLEEP))
    return table


def say(row: Row, *contents: str) -> None:
    start = row.begin(row.incarnation + 1)
    assert start is not None
    draft = Draft(row, start)
    for content in contents:
        draft.append(Role.USER, content, wall_s=1.0, now_s=NOW_S)
        MemoryStore().commit(draft.hand_in())


FILTERS: dict[str, Any] = {
    "user_id": st.sampled_from([None, "ada", "bob", "eve"]),
    "org_id": st.sampled_from([None, "acme"]),
    "agent_role": st.sampled_from([None, "guide", "cook"]),
    "state": st.sampled_from([None, SessionState.ACTIVE, SessionState.CREATED]),
    "presence": st.sampled_from([None, *Presence]),
    "idle_longer_than_s": st.sampled_from([None, 0.0, 30.0, 1e6]),
}


def matches(row: Row, wanted: dict[str, Any]) -> bool:
    session = row.session()
    idle_s = NOW_S - row.latest().active_s
    return all(
        wanted[name] is None or wanted[name] == getattr(session, name)
        for name in ("user_id", "org_id", "agent_role", "state", "presence")
    ) and (wanted["idle_longer_than_s"] is None or idle_s > wanted["idle_longer_than_s"])


@pytest.mark.seed("2.24", "2.25", "2.26", "3.21", "3.22", "3.23")
@given(st.fixed_dictionaries(FILTERS), st.integers(1, 10))
@settings(max_examples=examples.of(200))
def test_pages_and_counts_are_what_the_filter_says(wanted: dict[str, Any], limit: int) -> None:
    table = filled()
    expected = sorted(row.id for row in table.rows() if matches(row, wanted))

    found: list[str] = []
    after_id: str | None = None
    while True:
        listing = ListSessions(**wanted, limit=limit, after_id=after_id)
        page = answer(table, listing, now_s=NOW_S)
        assert [each.id for each in page.sessions] == list(page.ids)
        assert len(page.ids) <= limit
        found += page.ids
        after_id = page.next_after_id
        if after_id is None:
            break

    assert found == expected
    assert answer(table, CountSessions(**wanted), now_s=NOW_S) == len(expected)


class TestLists:
    @pytest.mark.seed("0.7", "3.20")
    def test_are_never_none_and_may_be_empty(self) -> None:
        page = answer(Table(), ListSessions(), now_s=NOW_S)

        assert (page.ids, page.sessions, page.next_after_id) == ((), (), None)

    @pytest.mark.seed("1.15")
    def test_may_be_of_ids_only(self) -> None:
        page = answer(filled(), ListSessions(fields="id", limit=2), now_s=NOW_S)

        assert (page.ids, page.sessions, page.next_after_id) == (("s0", "s1"), (), "s1")

    def test_go_on_where_a_session_has_gone_meanwhile(self) -> None:
        table = filled()
        first = answer(table, ListSessions(limit=3), now_s=NOW_S)
        table.remove("s2")
        table.remove("s3")

        second = answer(table, ListSessions(after_id=first.next_after_id), now_s=NOW_S)

        assert second.ids == ("s4", "s5", "s6", "s7", "s8")

    def test_of_the_idle_are_strict(self) -> None:
        page = answer(filled(), ListSessions(idle_longer_than_s=80.0), now_s=NOW_S)

        assert page.ids == ()

    def test_that_are_long_look_at_what_is_on_the_page_and_no_further(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = Table()
        for number in range(10_000):
            table.restore(Row(Session(id=f"{number:05}"), active_s=0.0))
        looks: list[str] = []
        latest = Row.latest

        def counted(row: Row) -> Any:
            looks.append(row.id)
            return latest(row)

        monkeypatch.setattr(Row, "latest", counted)
        page = answer(table, ListSessions(after_id="09000", limit=10, fields="id"), now_s=NOW_S)

        assert page.ids == tuple(f"{number:05}" for number in range(9001, 9011))
        assert len(looks) < 100

    @pytest.mark.parametrize("whose", [{"user_id": "ada"}, {"org_id": "acme"}], ids=str)
    def test_of_a_user_or_an_organisation_look_at_no_others(
        self, whose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table, looks = Table(), list[str]()
        for number in range(100):
            mine: dict[str, Any] = (
                whose if number in {50, 51, 52} else {"user_id": "bob", "org_id": "other"}
            )
            table.reserve(Session(id=f"{number:02}", **mine), active_s=0.0)
        latest = Row.latest

        def counted(row: Row) -> Any:
            looks.append(row.id)
            return latest(row)

        monkeypatch.setattr(Row, "latest", counted)
        page = answer(table, ListSessions(**whose, limit=2, fields="id"), now_s=NOW_S)
        idle = answer(table, CountSessions(**whose, idle_longer_than_s=1.0), now_s=NOW_S)

        assert (page.ids, page.next_after_id, idle) == (("50", "51"), "51", 3)
        assert set(looks) == {"50", "51", "52"}

    def test_of_the_quarantined_look_at_no_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        table = filled()
        table.row("s3").note(Standing(1, Presence.QUARANTINED))
        monkeypatch.setattr(Table, "rows", None)

        page = answer(table, ListSessions(presence=Presence.QUARANTINED), now_s=NOW_S)
        number = answer(table, CountSessions(presence=Presence.QUARANTINED), now_s=NOW_S)

        assert (page.ids, number) == (("s3",), 1)


class TestOneSession:
    @pytest.mark.seed("1.12", "2.30")
    def test_is_read_without_touching_it(self) -> None:
        table = filled()
        before = table.row("s0").latest()

        session = answer(table, GetSession("s0"), now_s=NOW_S)

        assert session.id == "s0"
        assert table.row("s0").latest() is before

    def test_brings_its_last_messages_when_asked(self) -> None:
        table = filled()
        say(table.row("s0"), "a", "b", "c")

        session = answer(table, GetSession("s0", 2), now_s=NOW_S)

        assert [each.content for each in session.messages] == ["b", "c"]
        assert session.last_seq == 3

    @pytest.mark.seed("0.5", "2.22")
    @pytest.mark.parametrize("read", [GetSession("nobody"), GetMessages("nobody")], ids=str)
    def test_that_is_unknown_is_an_error_that_names_it(
        self, read: GetSession | GetMessages
    ) -> None:
        with pytest.raises(SessionNotFound) as refused:
            answer(filled(), read, now_s=NOW_S)

        assert refused.value.session_id == "nobody"

    @pytest.mark.seed("1.12", "3.18", "3.19")
    @pytest.mark.parametrize(
        ("find", "found"),
        [
            (FindSession("s5"), "s5"),
            (FindSession("nobody"), None),
            (FindSession(agent_role="guide"), "s0"),
            (FindSession(agent_role="guide", user_id="bob"), "s5"),
            (FindSession(agent_role="cook"), None),
        ],
        ids=str,
    )
    def test_is_found_by_id_or_role_or_not_at_all(
        self, find: FindSession, found: str | None
    ) -> None:
        session = answer(filled(), find, now_s=NOW_S)

        assert (None if session is None else session.id) == found

    @pytest.mark.parametrize("find", [FindSession(), FindSession(user_id="bob")], ids=str)
    def test_is_not_looked_for_when_nothing_says_which(self, find: FindSession) -> None:
        with pytest.raises(InvalidField, match="Give session_id, or agent_role"):
            answer(filled(), find, now_s=NOW_S)


class TestLogs:
    def test_come_in_pages(self) -> None:
        table = filled()
        say(table.row("s0"), *"abcde")

        page = answer(table, GetMessages("s0", after_seq=1, limit=2), now_s=NOW_S)

        assert [each.content for each in page.messages] == ["b", "c"]
        assert page.last_seq == 5

    def test_end_where_they_end(self) -> None:
        table = filled()
        say(table.row("s0"), "a")

        page = answer(table, GetMessages("s0", after_seq=7), now_s=NOW_S)

        assert (page.messages, page.last_seq) == ((), 1)
