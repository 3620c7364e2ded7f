"""An end comes in its time whatever the session's own code does, and starts nothing."""

from __future__ import annotations

from contextlib import suppress

import pytest

from callboard.actors import (
    SessionError,
    SessionNotFound,
    SessionState,
    SessionSystem,
    TerminateSession,
)
from tests.manager.kit import (
    WITHIN_S,
    Boom,
    Crash,
    Hang,
    Stage,
    begin_create,
    create,
    partition_is_done,
    partition_of_all,
)

GRACE_S = 0.05


def end(sessions: SessionSystem, session_id: str) -> SessionState:
    return sessions.ask(TerminateSession(session_id, grace_s=GRACE_S), timeout=WITHIN_S).state


class TestAForcedEnd:
    def test_of_a_session_that_hangs_starts_no_further_incarnation(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        create(staged, "ada")
        staged.tell(Hang("ada"))

        assert end(staged, "ada") is SessionState.CLEANED

        assert partition_is_done(staged, "ada") == 0
        assert stage.starts["ada"] == 1

    def test_comes_in_time_while_the_partition_is_busy_and_starts_nothing(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        create(staged, "ada")
        staged.tell(Hang("ada"))
        partition = partition_of_all(staged)
        partition.suspend()

        assert end(staged, "ada") is SessionState.CLEANED

        partition.resume()
        assert partition_is_done(staged, "ada") == 0
        assert stage.starts["ada"] == 1

    def test_of_a_session_that_cannot_come_back_ends_the_attempts(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        create(staged, "ada")
        stage.stumbles["ada"] = 2
        with pytest.raises(Boom):
            staged.ask(Crash("ada"), timeout=WITHIN_S)

        assert end(staged, "ada") is SessionState.CLEANED

        before = stage.starts["ada"]
        partition_is_done(staged, "ada")
        create(staged, "later")
        assert partition_is_done(staged, "ada") == 1
        assert stage.starts["ada"] == before

    def test_of_a_session_whose_start_waits_at_the_partition_starts_nothing(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        partition = partition_of_all(staged)
        partition.suspend()
        creating = begin_create(staged, "ada")

        assert end(staged, "ada") is SessionState.CLEANED

        with pytest.raises(SessionNotFound):
            creating.get()
        partition.resume()
        assert partition_is_done(staged, "ada") == 0
        assert stage.starts["ada"] == 0

    def test_of_a_session_whose_start_hangs_answers_everybody(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        stage.hold(staged, "ada")
        creating = begin_create(staged, "ada")
        stage.await_entry("ada")

        assert end(staged, "ada") is SessionState.CLEANED

        with suppress(SessionError):
            creating.get()
        assert isinstance(creating.error, SessionError)
        assert partition_is_done(staged, "ada") == 0
        assert stage.starts["ada"] == 1


class TestAnEndThatIsAskedForTwice:
    def test_comes_when_the_more_urgent_asker_wants_it(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        create(staged, "ada")
        staged.tell(Hang("ada"))
        patient = staged.manager.ask(
            TerminateSession("ada", grace_s=WITHIN_S / 2), block=False, timeout=WITHIN_S
        )
        began_s = staged.system.clock.now_s()

        assert end(staged, "ada") is SessionState.CLEANED

        assert staged.system.clock.now_s() - began_s < WITHIN_S / 4
        assert patient.get().state is SessionState.CLEANED
        assert stage.starts["ada"] == 1


class TestAnEnd:
    def test_that_comes_too_late_for_its_session_leaves_no_dead_letter(
        self, staged: SessionSystem
    ) -> None:
        create(staged, "ada")
        staged.tell(Hang("ada"))

        end(staged, "ada")

        assert staged.system.dead_letters.latest == ()
