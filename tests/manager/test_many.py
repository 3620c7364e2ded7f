"""However many sessions there are, the manager serves others meanwhile and looks at few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from callboard import supervision
from callboard.actors import (
    CleanupInactive,
    CountSessions,
    CreateSession,
    InvalidField,
    PassivateSession,
    Presence,
    SessionSystem,
    Shutdown,
    ShuttingDown,
    TerminateSession,
)
from callboard.actors.manager import SessionManager
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.table import Row, Table
from callboard.actors.sessions.walks import ROWS_PER_STEP, Walk
from callboard.supervision import ActorKilled, InvalidSpec
from tests.manager.kit import WITHIN_S, Greet, Hang, begin_create, create, services_of


def end(sessions: SessionSystem, session_id: str) -> None:
    """End a session that hangs."""
    sessions.ask(TerminateSession(session_id, grace_s=0.0), timeout=WITHIN_S)


def rows(count: int) -> list[Row]:
    return [Row(Session(id=str(number)), active_s=0.0) for number in range(count)]


class TestAWalk:
    @pytest.mark.parametrize("count", [0, 1, ROWS_PER_STEP, 2 * ROWS_PER_STEP + 1])
    def test_looks_at_each_once_and_at_no_more_in_a_step_than_it_may(self, count: int) -> None:
        seen: list[list[str]] = [[]]
        ends: list[int] = []
        walk = Walk(rows(count), lambda row: seen[-1].append(row.id), lambda: ends.append(1))

        while walk.step():
            assert not ends
            seen.append([])

        assert [each for step in seen for each in step] == [str(n) for n in range(count)]
        assert max(map(len, seen)) <= ROWS_PER_STEP
        assert walk.is_over
        assert ends == [1]


class TestALookAtVeryMany:
    def test_lets_others_have_their_turn_between_its_steps(
        self, staged: SessionSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = [CreateSession(session_id=f"s{n}", activate=False) for n in range(600)]
        for each in made:
            staged.ask(each, timeout=WITHIN_S)
        turns: list[str] = []
        _note_turns(monkeypatch, "on_walk_on", lambda: turns.append("step"))
        _note_turns(monkeypatch, "on_create_session", lambda: turns.append("create"))
        manager = staged.manager.ref
        assert manager is not None
        manager.suspend()

        cleaning = staged.manager.ask(
            CleanupInactive(idle_longer_than_s=0.0, dry_run=True), block=False, timeout=WITHIN_S
        )
        creating = begin_create(staged, "other")
        manager.resume()

        assert len(cleaning.get()) <= len(made)
        assert creating.get().id == "other"
        assert turns.index("create") < len(turns) - 1 - turns[::-1].index("step")

    def test_that_its_manager_does_not_live_to_finish_tells_the_asker(
        self, staged: SessionSystem
    ) -> None:
        create(staged, "ada")
        staged.tell(Hang("ada"))
        waiting = staged.manager.ask(Shutdown(grace_s=WITHIN_S), block=False, timeout=WITHIN_S)
        with pytest.raises(ShuttingDown):
            create(staged, "bob")
        manager = staged.manager.ref
        assert manager is not None

        manager.kill()

        with pytest.raises(ActorKilled, match="manager ended before it was done") as told:
            waiting.get()
        assert not told.value.is_outcome_known
        end(staged, "ada")


class TestAShutdown:
    def test_is_not_the_exit_reason_of_that_name(self, staged: SessionSystem) -> None:
        manager = staged.manager.ref
        assert manager is not None
        reason: Any = supervision.Shutdown()
        message: Any = Shutdown()

        with pytest.raises(InvalidField, match=r"supervision\.\S*Shutdown is no message"):
            staged.ask(reason)
        with pytest.raises(InvalidSpec, match=r"Give an exit reason of callboard\.supervision"):
            manager.exit(message)

        assert staged.manager.ref is manager

    def test_refuses_creates_and_the_manager_lives(self, staged: SessionSystem) -> None:
        manager = staged.manager.ref
        assert manager is not None
        staged.ask(Shutdown(grace_s=0.0), timeout=WITHIN_S)

        for number in range(20):
            with pytest.raises(ShuttingDown):
                create(staged, f"s{number}")

        assert staged.manager.ref is manager

    def test_waits_for_an_async_handler_and_names_it_when_the_time_is_up(
        self, staged: SessionSystem
    ) -> None:
        create(staged, "ada")
        create(staged, "bob")
        staged.tell(Hang("ada"))
        assert staged.ask(Greet("bob"), timeout=WITHIN_S) == "hello bob"

        assert staged.ask(Shutdown(grace_s=0.3), timeout=WITHIN_S) == ("ada",)
        end(staged, "ada")

    def test_looks_at_all_sessions_only_when_those_that_were_busy_are_done(
        self, staged: SessionSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create(staged, "ada")
        staged.tell(Hang("ada"))
        looks: list[int] = []
        every_row = Table.rows

        def counted(table: Table) -> list[Row]:
            looks.append(1)
            return every_row(table)

        monkeypatch.setattr(Table, "rows", counted)

        assert staged.ask(Shutdown(grace_s=1.0), timeout=WITHIN_S) == ("ada",)

        assert len(looks) == 2  # at its begin, and when the time was up; not every 50 ms
        end(staged, "ada")


class TestHealth:
    def test_counts_presences_without_looking_at_every_session(
        self, staged: SessionSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("ada", "bob", "cy"):
            create(staged, name)
        staged.ask(PassivateSession("bob"), timeout=WITHIN_S)
        assert staged.health().oldest_idle_s >= 0.0
        monkeypatch.delattr(Table, "rows")

        report = staged.health()

        assert report.sessions == 3
        assert report.presences == {
            Presence.AWAKE: 2,
            Presence.ASLEEP: 1,
            Presence.RESTARTING: 0,
            Presence.QUARANTINED: 0,
        }

    def test_says_what_a_reply_has_confirmed(self, staged: SessionSystem) -> None:
        create(staged, "ada")

        for _ in range(20):
            staged.ask(PassivateSession("ada"), timeout=WITHIN_S)
            assert staged.health().presences[Presence.ASLEEP] == 1
            staged.ask(Greet("ada"), timeout=WITHIN_S)
            assert staged.health().presences[Presence.AWAKE] == 1


class TestAPartition:
    def test_that_comes_back_has_its_own_sessions_looked_at_and_no_others(
        self, runtime: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with SessionSystem(partitions=2, runtime=runtime) as sessions:
            for number in range(20):
                create(sessions, f"s{number}")
            partition = sessions.system.lookup("sessions/1")
            assert partition is not None
            assert partition.ref is not None
            mine = services_of(sessions).table.running_in(1)
            assert 0 < len(mine) < 20
            monkeypatch.delattr(Table, "rows")

            partition.ref.kill()

            for row in (*mine, *mine):  # the first may wake one whose actor had just gone
                sessions.ask(PassivateSession(row.id), timeout=WITHIN_S)
            presences = services_of(sessions).table.presences()
            assert presences[Presence.AWAKE] == 20 - len(mine)
            monkeypatch.undo()
            assert sessions.ask(CountSessions()) == 20


def _note_turns(monkeypatch: pytest.MonkeyPatch, handler: str, note: Callable[[], None]) -> None:
    """Have a handler of the manager noted whenever it runs."""
    routes = SessionManager.callboard_direct
    ((kind, own),) = (each for each in routes.items() if each[1].__name__ == handler)

    def noted(self: SessionManager, message: Any) -> Any:
        note()
        return own(self, message)

    monkeypatch.setitem(routes, kind, noted)
