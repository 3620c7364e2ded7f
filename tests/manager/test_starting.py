"""A start that cannot be begun is tried again or answered, whatever stands in its way."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    PassivateSession,
    Presence,
    ReviveSession,
    Role,
    Session,
    SessionActor,
    SessionNotFound,
    SessionQuarantined,
    SessionSystem,
    SpawnError,
)
from callboard.supervision import Crashed, MailboxFull, Request, Settings, Timeout
from tests.manager.kit import (
    WITHIN_S,
    Boom,
    Crash,
    Greet,
    Stage,
    begin_create,
    create,
    partition_is_done,
    partition_of_all,
    player,
    services_of,
)

MAILBOX_MAX = 2


@pytest.fixture
def narrow(stage: Stage, runtime: Any) -> Any:
    """Return a system whose mailboxes hold next to nothing."""
    settings = Settings(mailbox_max=MAILBOX_MAX)
    system = SessionSystem(player(stage), partitions=1, runtime=runtime, settings=settings)
    with system as sessions:
        yield sessions


def fill(sessions: SessionSystem) -> list[Any]:
    """Suspend the partition, and fill its mailbox with starts."""
    partition = partition_of_all(sessions)
    partition.suspend()
    while sessions.manager.mailbox_size:  # notices of the system's own start
        sessions.wait(0.001)
    return [begin_create(sessions, f"filler-{number}") for number in range(MAILBOX_MAX)]


def patiently(sessions: SessionSystem, message: Request[Session]) -> Session:
    """Ask again until the notices that wait have left room."""
    for _ in range(1_000):
        try:
            return sessions.ask(message, timeout=WITHIN_S)
        except MailboxFull:
            sessions.wait(0.001)
    raise AssertionError("it stays full")


class TestAFullPartition:
    def test_refuses_a_create_at_once_and_nothing_of_it_is_left(
        self, narrow: SessionSystem
    ) -> None:
        creating = fill(narrow)

        with pytest.raises(MailboxFull):
            narrow.ask(CreateSession(session_id="ada", idempotency_key="k"), timeout=WITHIN_S)

        with pytest.raises(SessionNotFound):
            narrow.get("ada")
        partition_of_all(narrow).resume()
        assert [each.get().presence for each in creating] == [Presence.AWAKE] * len(creating)
        again = CreateSession(session_id="ada", idempotency_key="k")
        assert patiently(narrow, again).id == "ada"

    def test_delays_a_session_that_is_to_be_woken_and_no_longer_than_it_is_full(
        self, narrow: SessionSystem
    ) -> None:
        create(narrow, "ada")
        narrow.ask(PassivateSession("ada"), timeout=WITHIN_S)
        fill(narrow)

        greeting = narrow.address("ada").ask(Greet("ada"), block=False, timeout=WITHIN_S)
        patiently(narrow, ReviveSession("filler-0"))  # the manager has come to it
        partition_of_all(narrow).resume()

        assert greeting.get() == "hello ada"

    def test_refuses_a_revival_and_the_session_waits_for_the_next_one(
        self, narrow: SessionSystem
    ) -> None:
        create(narrow, "ada")
        narrow.ask(PassivateSession("ada"), timeout=WITHIN_S)
        fill(narrow)

        with pytest.raises(MailboxFull):
            narrow.ask(ReviveSession("ada"), timeout=WITHIN_S)

        assert narrow.get("ada").presence is Presence.ASLEEP
        partition_of_all(narrow).resume()
        assert patiently(narrow, ReviveSession("ada")).presence is Presence.AWAKE


class TestACreate:
    def test_whose_asker_gave_up_before_its_turn_never_was(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        partition = partition_of_all(staged)
        partition.suspend()

        with pytest.raises(Timeout):
            staged.ask(CreateSession(session_id="ada"), timeout=0.05)

        partition.resume()
        assert partition_is_done(staged, "ada") == 0
        staged.ask(CreateSession(session_id="later"), timeout=WITHIN_S)
        with pytest.raises(SessionNotFound):
            staged.get("ada")
        assert stage.starts["ada"] == 0

    def test_is_gone_on_with_for_an_asker_who_has_more_time(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        partition = partition_of_all(staged)
        partition.suspend()
        message = CreateSession(session_id="ada", idempotency_key="k")
        hasty = staged.manager.ask(message, block=False, timeout=0.05)
        patient = staged.manager.ask(message, block=False, timeout=WITHIN_S)
        with pytest.raises(Timeout):
            hasty.get()

        partition.resume()

        assert patient.get().id == "ada"
        assert stage.starts["ada"] == 1

    def test_that_fails_on_its_asker_s_own_thread_says_why(self, runtime: Any) -> None:
        class Short(SessionActor[None]):
            hand_off = True

            def on_start(self) -> None:
                raise Boom

        with SessionSystem(Short, runtime=runtime) as sessions:
            with pytest.raises(SpawnError):
                create(sessions, "ada")
            with pytest.raises(SessionNotFound):
                sessions.get("ada")

    @pytest.mark.usefixtures("hasty")
    def test_that_its_partition_stops_in_the_middle_is_gone_on_with_by_the_next(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        stage.hold(staged, "ada")
        creating = begin_create(staged, "ada")
        stage.await_entry("ada")

        partition_of_all(staged).exit(Crashed("Test", "an exit signal on purpose"))
        while stage.starts["ada"] < 2:
            staged.wait(0.001)
        stage.open("ada")

        assert creating.get().presence is Presence.AWAKE
        assert staged.ask(Greet("ada"), timeout=WITHIN_S) == "hello ada"

    def test_outlives_its_partition(self, staged: SessionSystem, stage: Stage) -> None:
        stage.hold(staged, "ada")
        creating = begin_create(staged, "ada")
        stage.await_entry("ada")
        stage.open("ada")

        partition_of_all(staged).kill()

        assert creating.get().presence is Presence.AWAKE
        assert staged.ask(Greet("ada"), timeout=WITHIN_S) == "hello ada"
        assert len(services_of(staged).book.starts) == 0


class TestAWake:
    def test_that_fails_is_tried_again_after_a_delay_which_no_message_cuts_short(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        create(staged, "ada")
        staged.ask(PassivateSession("ada"), timeout=WITHIN_S)
        stage.stumbles["ada"] = 3
        began_s = staged.system.clock.now_s()

        greetings = [
            staged.address("ada").ask(Greet("ada"), block=False, timeout=WITHIN_S)
            for _ in range(20)
        ]

        assert [each.get() for each in greetings] == ["hello ada"] * 20
        assert (
            stage.starts["ada"] == 5
        )  # the first life, three failures, and the one that went well
        assert staged.system.clock.now_s() - began_s >= 1.0  # delays of 0, 0.1 and 1 s

    def test_that_fails_too_often_ends_in_quarantine(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        create(staged, "ada")
        staged.ask(PassivateSession("ada"), timeout=WITHIN_S)
        stage.stumbles["ada"] = 9

        with pytest.raises(SessionQuarantined):
            staged.ask(Greet("ada"), timeout=WITHIN_S)

        assert staged.get("ada").presence is Presence.QUARANTINED
        assert stage.starts["ada"] == 5
        stage.stumbles["ada"] = 0
        assert staged.ask(ReviveSession("ada"), timeout=WITHIN_S).presence is Presence.AWAKE

    @pytest.mark.slow
    def test_of_very_many_at_once_takes_one_after_the_other(self, runtime: Any) -> None:
        count = 1_500  # more than calls fit into each other

        with SessionSystem(partitions=1, runtime=runtime) as sessions:
            names = [create(sessions, f"s{number}") for number in range(count)]
            for name in names:
                sessions.ask(PassivateSession(name), timeout=WITHIN_S)
            partition = partition_of_all(sessions)
            manager = sessions.manager.ref
            partition.suspend()
            waiting = [
                sessions.address(name).ask(
                    AppendMessage(name, Role.USER, "hello"), block=False, timeout=WITHIN_S
                )
                for name in names
            ]
            partition.kill()

            assert [each.get() for each in waiting] == [1] * count
            assert sessions.manager.ref is manager


class TestARestartingSession:
    def test_sleeps_and_can_be_woken_when_its_partition_was_killed_meanwhile(
        self, staged: SessionSystem, stage: Stage
    ) -> None:
        create(staged, "ada")
        stage.stumbles["ada"] = 1
        with pytest.raises(Boom):
            staged.ask(Crash("ada"), timeout=WITHIN_S)
        partition_is_done(staged, "ada")
        partition, manager = partition_of_all(staged), staged.manager.ref
        assert manager is not None

        manager.kill()
        partition.kill()

        assert staged.ask(Greet("ada"), timeout=WITHIN_S) == "hello ada"
        assert staged.get("ada").presence is Presence.AWAKE
