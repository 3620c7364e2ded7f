"""Many use the sessions at once: each sees what is committed, and nobody waits to read."""

from __future__ import annotations

from functools import partial
from uuid import UUID

import pytest

from callboard.actors import (
    AppendMessage,
    CountSessions,
    CreateSession,
    GetSessionRef,
    ListSessions,
    Role,
    Session,
    SessionPatch,
    SessionState,
    SessionStatus,
    SessionSystem,
    TerminateSession,
    UpdateSession,
)
from callboard.supervision import SystemStopped
from tests.laws import broken_laws
from tests.sessions.stage import Hold, Say, Stage, later, part_of, texts

CLIENTS = 8
ROUNDS = 6


def count_up(session: Session) -> SessionPatch:
    """Read, change, write."""
    found = session.metadata.get("count", 0)
    assert isinstance(found, int)
    return SessionPatch(metadata={"count": found + 1})


class TestManyClientsAtOnce:
    @pytest.mark.seed("0.2", "1.8", "3.30", "4.14")
    def test_create_read_change_list_and_end_without_losing_anything(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        shared = opened.ask(CreateSession(session_id="shared")).id
        kept = list[str]()

        def work(client: int) -> None:
            mine = list[str]()
            for number in range(ROUNDS):
                made = opened.ask(CreateSession(user_id=f"user-{client}"))
                mine.append(made.id)
                opened.ask(AppendMessage(made.id, Role.USER, f"{client}/{number}"))
                opened.ask(AppendMessage(shared, Role.USER, f"{client}/{number}"))
                assert opened.get(made.id).message_count == 1
                assert made.message_count == 0, "what was handed out stays as it was"
                found = opened.ask(ListSessions(user_id=f"user-{client}"))
                assert sorted(found.ids) == sorted(mine)
            for each in mine[::2]:
                opened.ask(TerminateSession(each))
            kept.extend(mine[1::2])

        stage.at_once(*(partial(work, client) for client in range(CLIENTS)))
        stage.settle()

        said = texts(opened, shared)
        assert sorted(said) == sorted(f"{c}/{n}" for c in range(CLIENTS) for n in range(ROUNDS))
        for client in range(CLIENTS):
            mine = [text for text in said if text.startswith(f"{client}/")]
            assert mine == [f"{client}/{number}" for number in range(ROUNDS)]
        assert sorted(opened.ask(ListSessions(limit=1_000)).ids) == sorted([*kept, shared])
        assert broken_laws(opened) == []

    @pytest.mark.seed("1.13", "2.30")
    def test_change_one_session_each_upon_what_the_one_before_has_left(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        def work() -> None:
            for _ in range(ROUNDS):
                opened.ask(UpdateSession(ada, fn=count_up))

        stage.at_once(*[work] * CLIENTS)

        assert opened.get(ada).metadata == {"count": CLIENTS * ROUNDS}

    @pytest.mark.seed("0.3", "2.4", "4.10")
    def test_get_ids_that_are_uuids_and_all_different(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        made = list[str]()

        def work() -> None:
            made.extend(opened.ask(CreateSession(activate=False)).id for _ in range(50))

        stage.at_once(*[work] * 4)

        assert len(set(made)) == 200
        assert [str(UUID(each)) for each in made] == made
        assert {UUID(each).version for each in made} == {7}


class TestARead:
    @pytest.mark.seed("2.30", "4.4")
    def test_waits_neither_for_the_manager_nor_for_a_session_at_work(
        self, stage: Stage, opened: SessionSystem, ada: str
    ) -> None:
        held = later(opened, Hold(ada, text="in hand"))
        stage.settle()
        manager = part_of(opened, "front/manager")
        manager.suspend()
        stage.settle()

        read = [opened.get(ada), *opened.ask(ListSessions(user_id="ada")).sessions]
        counted = opened.ask(CountSessions())

        assert not held.is_done
        assert [each.message_count for each in read] == [0, 0], "only what is committed is seen"
        assert counted == 1
        manager.resume()
        stage.play.gate.open()
        stage.settle()
        assert opened.get(ada).message_count == held.get() == 1


class TestTheTable:
    @pytest.mark.seed("4.3")
    def test_has_one_entry_for_each_with_process_status_and_time(
        self, stage: Stage, opened: SessionSystem
    ) -> None:
        stage.advance(10.0)
        names = [opened.ask(CreateSession(session_id=name)).id for name in ("ada", "bob")]

        page = opened.ask(ListSessions())

        assert list(page.ids) == names
        assert [each.status for each in page.sessions] == [SessionStatus.ACTIVE] * 2
        assert {each.created_at for each in page.sessions} == {opened.system.clock.wall_s()}
        assert all(opened.ask(GetSessionRef(name)).is_alive() for name in names)

    @pytest.mark.seed("4.13", "1.19")
    def test_is_read_by_nobody_when_the_system_has_stopped(
        self, opened: SessionSystem, ada: str
    ) -> None:
        address = opened.address(ada)
        assert opened.ask(Say(ada, text="hello")) == 1

        report = opened.stop()

        assert report.is_clean
        with pytest.raises(SystemStopped):
            opened.get(ada)
        with pytest.raises(SystemStopped):
            opened.ask(ListSessions())
        assert not address.is_alive()

    @pytest.mark.seed("4.11")
    def test_says_that_a_session_is_initializing_until_it_is_ready(self, stage: Stage) -> None:
        sessions = stage.open()
        stage.play.starts_at_the_gate.add("ada")
        made = later(sessions, CreateSession(session_id="ada"))
        stage.settle()

        assert sessions.get("ada").status is SessionStatus.INITIALIZING
        stage.play.gate.open()
        stage.settle()
        assert made.get().state is SessionState.ACTIVE
        assert sessions.get("ada").status is SessionStatus.ACTIVE
