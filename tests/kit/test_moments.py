"""The kit looks at the laws of sessions after every step: who breaks one for a moment is found."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    Role,
    SessionActor,
    SessionCrashed,
    SessionMessage,
    SessionState,
    SessionSystem,
    StoreError,
    TerminateSession,
)
from callboard.actors.sessions.log import EMPTY_LOG
from callboard.actors.sessions.owing import Turn
from callboard.actors.sessions.table import Row, Table, asleep
from callboard.actors.storage.kept import Kept
from callboard.actors.testing import Callboard, StoreRefuses, broken_laws, simulate
from callboard.actors.testing.laws import services_of
from callboard.actors.testing.moments import COUNTED, FORWARD, GONE, KEPT, ONE_STORY
from callboard.actors.testing.stores import StoreInMemory
from callboard.actors.testing.touched import Touched
from callboard.supervision import LATER, Future, Later, handles
from callboard.supervision.testing import FaultPlan, LawBroken
from tests.simulation.plants import acknowledge_before_the_commit

pytest_plugins = ["pytester"]

SEED = 7

Mend: TypeAlias = Callable[[], object]


def begun(kit: Callboard) -> tuple[SessionSystem, Row]:
    """Return a system, and the row of ada, who has said hello."""
    sessions = kit.start()
    sessions.ask(CreateSession(session_id="ada", user_id="ada", org_id="acme", agent_role="guide"))
    sessions.ask(AppendMessage("ada", Role.USER, "hello"))
    return sessions, services_of(sessions).table.row("ada")


def do_nothing(*_: object) -> None:
    """Stand in for what is left out."""


# -- what is broken, and mended in the next step -----------------------------------------------


def show(row: Row, **changes: Any) -> Mend:
    """Have everybody see another version; return what undoes that."""
    before = row.latest()
    log = changes.pop("log", before.log)
    session = msgspec.structs.replace(before.session, **changes)
    row.head = Kept(before.incarnation, session, log, before.active_s, {})
    return lambda: setattr(row, "head", before)


def go_back(_: SessionSystem, row: Row) -> Mend:
    return show(row, version=row.session().version - 1)


def forget_what_was_said(_: SessionSystem, row: Row) -> Mend:
    return show(row, log=EMPTY_LOG, last_seq=0)


def count_what_was_not_said(_: SessionSystem, row: Row) -> Mend:
    return show(row, last_seq=5)


def say_something_else(_: SessionSystem, row: Row) -> Mend:
    said = msgspec.structs.replace(row.latest().log.newest, content="bye")
    return show(row, log=EMPTY_LOG.append(said))


def say_what_was_never_said(_: SessionSystem, row: Row) -> Mend:
    """Change a message long before the last one, in a log of more than one chunk."""
    log, said = EMPTY_LOG, row.latest().log.newest
    for seq in range(1, 101):
        log = log.append(msgspec.structs.replace(said, seq=seq, content="bye"))
    return show(row, log=log, last_seq=100)


def be_unmade(_: SessionSystem, row: Row) -> Mend:
    return show(row, state=SessionState.CREATED)


def be_somebody_elses(_: SessionSystem, row: Row) -> Mend:
    return show(row, user_id="eve")


def be_an_earlier_incarnations(_: SessionSystem, row: Row) -> Mend:
    before = row.latest()
    row.head = Kept(0, before.session, before.log, before.active_s, {})
    return lambda: setattr(row, "head", before)


def be_counted_no_more(sessions: SessionSystem, row: Row) -> Mend:
    index = services_of(sessions).table._index
    index.discard(row.session())
    row.address = row.address  # it is touched
    return lambda: index.add(row.session())


def lie_nowhere(sessions: SessionSystem, row: Row) -> Mend:
    trays = services_of(sessions).table._trays
    row.address = row.address
    tray = trays[row.presence]
    del tray[row]
    return lambda: tray.update({row: None})


def be_said_to_sleep(_: SessionSystem, row: Row) -> Mend:
    row.note(asleep(row.incarnation))

    def mend() -> None:
        row.standing = None
        row._file()

    return mend


def lose_the_name(sessions: SessionSystem, row: Row) -> Mend:
    address = sessions.system.names.pop("session/ada")
    row.address = row.address
    return lambda: sessions.system.names.update({"session/ada": address})


Break: TypeAlias = Callable[[SessionSystem, Row], Mend]

BREAKS: dict[Break, tuple[str, str]] = {
    go_back: (FORWARD, "ada went back from (2, 1, 1) to (1, 1, 1)"),
    forget_what_was_said: (FORWARD, "ada went back from (2, 1, 1) to (2, 0, 1)"),
    be_an_earlier_incarnations: (FORWARD, "ada went back from (2, 1, 1) to (2, 1, 0)"),
    count_what_was_not_said: (FORWARD, "ada says 5 messages, its log 1"),
    say_something_else: (FORWARD, "message 1 of ada is not what it was"),
    say_what_was_never_said: (FORWARD, "message 1 of ada is not what it was"),
    be_unmade: (FORWARD, "ada went back from active to created"),
    be_somebody_elses: (FORWARD, "ada was ('ada', 'ada',"),
    be_counted_no_more: (COUNTED, "ada is not counted with its user"),
    lie_nowhere: (COUNTED, "ada is awake, and does not lie with those that are awake"),
    be_said_to_sleep: (
        ONE_STORY,
        "ada is said to be asleep since incarnation 1 ended, and 1 lives",
    ),
    lose_the_name: (ONE_STORY, "ada is not reached under its name"),
}
"""What breaks a law for a moment: which law, and what is said of it."""


def play(kit: Callboard, break_it: Break) -> None:
    """Break something in one step, and mend it in a later one."""
    sessions, row = begun(kit)

    def vandal() -> None:
        mend = break_it(sessions, row)
        kit.sleep(0.001)
        mend()

    kit.spawn("vandal", vandal)
    kit.run()
    assert broken_laws(sessions) == []


@pytest.mark.parametrize("break_it", BREAKS)
class TestALawThatIsBrokenForAMoment:
    def test_fails_the_test_with_the_law_the_seed_and_the_step(self, break_it: Break) -> None:
        law, wrong = BREAKS[break_it]

        with pytest.raises(LawBroken) as broken, Callboard(SEED) as kit:
            play(kit, break_it)

        assert str(broken.value).startswith(f"{law}: {wrong}")
        assert broken.value.law == law
        assert kit.failed_at is not None
        assert broken.value.__notes__ == [f"simulation: seed {SEED}, {kit.failed_at}"]

    def test_would_not_be_seen_at_the_end(
        self, break_it: Break, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Callboard, "_look", do_nothing)

        with Callboard(SEED) as kit:
            play(kit, break_it)


@simulate(schedules=20)
def in_some_of_twenty_schedules(callboard: Callboard) -> None:
    """Have ada say hello."""
    begun(callboard)


def test_a_first_reply_that_is_given_again_confirms_nothing_of_another_session_of_its_id() -> None:
    with Callboard(SEED) as kit:
        sessions, create = kit.start(), CreateSession(session_id="ada", idempotency_key="k")
        first = sessions.ask(create)
        sessions.ask(TerminateSession("ada"))
        another = sessions.ask(CreateSession(session_id="ada", activate=False))

        assert sessions.ask(create) == first
        assert first.version > another.version


class TestABugInTheLibrary:
    def test_that_confirms_before_it_commits_is_found_though_it_commits_soon(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In most schedules: some have it answer on its asker's stack, which is no step."""
        acknowledge_before_the_commit(monkeypatch)

        with pytest.raises(LawBroken, match=KEPT) as broken:
            in_some_of_twenty_schedules()

        assert "ada confirms message 1, and everybody sees message 0" in str(broken.value)

    def test_that_takes_a_row_before_its_actor_has_ended_is_found(self) -> None:
        kit = Callboard(SEED)
        sessions, row = begun(kit)
        kit.spawn("vandal", lambda: services_of(sessions).table.remove(row.id))

        with pytest.raises(LawBroken, match=GONE) as broken:
            kit.run()

        assert "ada has no row, and its incarnation 1 lives" in str(broken.value)
        kit.close()

    def test_that_forgets_to_close_a_row_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Row, "close", do_nothing)
        left = pytest.raises(LawBroken, match="ada has left the table and is not closed")

        with left, Callboard(SEED) as kit:
            begun(kit)[0].ask(TerminateSession("ada"))

    def test_that_counts_who_is_gone_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("callboard.actors.sessions.table._Index.discard", do_nothing)
        left = pytest.raises(LawBroken, match="ada has no row, and is counted with its user")

        with left, Callboard(SEED) as kit:
            begun(kit)[0].ask(TerminateSession("ada"))

    def test_is_told_with_the_command_that_replays_it(self, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_it="""
            from tests.kit.test_moments import begun, go_back, play

            def test_that_breaks_a_law(callboard):
                play(callboard, go_back)
            """
        )

        result = pytester.runpytest("-q", "--callboard-seed=7")

        result.stdout.fnmatch_lines(
            [
                "E*LawBroken: a session only goes forward: ada went back from *",
                "E*simulation: seed 7, step *",
                "replay: CALLBOARD_SEED=7 python -m pytest 'test_it.py::test_that_breaks_a_law'",
            ]
        )

    def test_is_shrunk_as_every_failure_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        acknowledge_before_the_commit(monkeypatch)

        with pytest.raises(LawBroken, match=KEPT) as broken:
            in_some_of_twenty_schedules()

        assert f"broken: LawBroken ({KEPT})" in broken.value.__notes__[1]
        assert broken.value.__notes__[-1].startswith("replay: CALLBOARD_S")


class Order(SessionMessage[str], frozen=True, kw_only=True):
    """Append, and owe the answer."""


class Give(SessionMessage[None], frozen=True, kw_only=True):
    """Give it."""


class Shop(SessionActor[None]):
    owed: Future[Any]

    @handles(Order)
    def on_order(self, message: Order) -> Later:
        del message
        self.append(Role.USER, "order")
        self.owed = self.reply_later()
        return LATER

    @handles(Give)
    def on_give(self, message: Give) -> None:
        del message
        self.owed.offer("taken")


@simulate(schedules=20, faults=FaultPlan((StoreRefuses(rate=0.3),)))
def order_from_a_store_that_may_refuse(callboard: Callboard) -> None:
    """Have something ordered, and the answer given by a handler that changes nothing."""
    sessions = callboard.start(Shop, store=StoreInMemory(callboard))
    try:
        ada = sessions.ask(CreateSession()).id
    except StoreError:
        return
    callboard.spawn("client", lambda: order(sessions, ada))
    callboard.settle()
    sessions.tell(Give(ada))
    callboard.run()


def order(sessions: SessionSystem, ada: str) -> None:
    with suppress(StoreError):
        sessions.ask(Order(ada))


class GiveAndFall(SessionMessage[None], frozen=True, kw_only=True):
    """Book it, have another session's asker told so, and crash."""


class Booking(SessionActor[None]):
    desk: dict[str, Future[Any]]

    @handles(Order)
    def on_order(self, message: Order) -> Later:
        del message
        self.desk["owed"] = self.reply_later()
        return LATER

    @handles(GiveAndFall)
    def on_give_and_fall(self, message: GiveAndFall) -> None:
        del message
        self.append(Role.USER, "booked")
        self.desk["owed"].offer("booked")
        raise RuntimeError("boom")


@simulate(schedules=2)
def order_by_another_session_that_crashes(callboard: Callboard) -> None:
    """Have something ordered in one session, and the answer given by another that crashes."""
    kind: Any = type("Booking", (Booking,), {"desk": {}})
    sessions = callboard.start(kind)
    ada, bob = (sessions.ask(CreateSession()).id for _ in range(2))

    def order() -> None:
        with suppress(SessionCrashed):
            sessions.ask(Order(ada))

    callboard.spawn("client", order)
    callboard.settle()
    sessions.tell(GiveAndFall(bob))
    callboard.run()


class TestALaterReply:
    def test_by_another_session_confirms_what_is_kept(self) -> None:
        order_by_another_session_that_crashes()

    def test_by_another_session_that_confirms_what_is_undone_is_found(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def the_maker_alone(_: object, maker: Turn) -> list[Future[None]]:
            return [maker.outcome]

        monkeypatch.setattr(SessionActor, "_built_upon", the_maker_alone)

        with pytest.raises(LawBroken, match=KEPT) as broken:
            order_by_another_session_that_crashes()

        assert "confirms what is not kept" in str(broken.value)

    def test_that_confirms_what_is_kept_breaks_no_law(self) -> None:
        order_from_a_store_that_may_refuse()

    def test_that_confirms_what_the_store_has_not_kept_is_found(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nothing(*_: object) -> list[object]:
            return []

        monkeypatch.setattr(SessionActor, "_built_upon", nothing)

        with pytest.raises(LawBroken, match=KEPT) as broken:
            order_from_a_store_that_may_refuse()

        assert "confirms what is not kept" in str(broken.value)


class TestWhatAStepHasTouched:
    def test_is_what_was_added_changed_or_removed_and_nothing_else(self) -> None:
        with Callboard(SEED) as kit:
            sessions, ada = begun(kit)
            sessions.ask(CreateSession(session_id="bob"))
            table = services_of(sessions).table
            bob = table.row("bob")
            touched = Touched(table)
            assert touched.take() == [ada, bob], "all are new to it"

            sessions.ask(AppendMessage("bob", Role.USER, "hello"))
            assert touched.take() == [bob]
            assert not touched
            sessions.ask(TerminateSession("ada"))
            assert touched.take() == [ada]

    def test_costs_the_table_nothing_that_anybody_sees(self) -> None:
        with Callboard(SEED) as kit:
            sessions, ada = begun(kit)

            assert isinstance(ada, Row)
            assert isinstance(services_of(sessions).table, Table)
            assert type(ada).__name__ == "Row"
            assert not hasattr(ada, "__dict__")
