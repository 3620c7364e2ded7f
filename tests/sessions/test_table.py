"""The table of rows: places, ids, roles and counts, and what readers see."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from callboard.actors.errors import (
    DuplicateRole,
    DuplicateSession,
    MaxSessionsReached,
    SessionNotFound,
)
from callboard.actors.limits import SessionLimits
from callboard.actors.sessions.data import Role, Session
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.states import Presence, SessionState, Transition
from callboard.actors.sessions.table import Row, Standing, Table
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.memory import MemoryStore
from callboard.supervision import partition_of
from tests import examples


def reserve(
    table: Table,
    session_id: str,
    *,
    user_id: str | None = None,
    org_id: str | None = None,
    role: str | None = None,
    limits: SessionLimits | None = None,
    unique_role: bool = False,
) -> Row:
    session = Session(id=session_id, user_id=user_id, org_id=org_id, agent_role=role)
    limits = limits or SessionLimits()
    return table.reserve(session, active_s=0.0, limits=limits, unique_role=unique_role)


def drafted(row: Row, incarnation: int) -> Draft:
    start = row.begin(incarnation)
    assert start is not None
    return Draft(row, start)


def terminate(row: Row) -> None:
    draft = drafted(row, row.incarnation + 1)
    draft.move(Transition.TERMINATE, wall_s=1.0)
    assert MemoryStore().commit(draft.hand_in()) is CommitOutcome.COMMITTED


class TestReserving:
    @pytest.mark.seed("0.1")
    def test_makes_the_row_visible_at_once(self) -> None:
        table = Table()

        row = reserve(table, "a")

        assert table.get("a") is row
        assert row.session().state is SessionState.CREATED
        assert "a" in table

    @pytest.mark.seed("0.12")
    def test_an_id_that_is_taken_is_refused(self) -> None:
        table = Table()
        reserve(table, "a")

        with pytest.raises(DuplicateSession):
            reserve(table, "a")

    @pytest.mark.seed("2.16")
    @pytest.mark.parametrize(
        ("limits", "scope"),
        [
            (SessionLimits(sessions_max=1), "manager"),
            (SessionLimits(sessions_per_user_max=1), "user"),
            (SessionLimits(sessions_per_org_max=1), "org"),
        ],
        ids=["manager", "user", "org"],
    )
    def test_beyond_a_limit_is_refused_and_takes_nothing(
        self, limits: SessionLimits, scope: str
    ) -> None:
        table = Table()
        reserve(table, "a", user_id="ada", org_id="acme", limits=limits)

        with pytest.raises(MaxSessionsReached) as refused:
            reserve(table, "b", user_id="ada", org_id="acme", limits=limits)

        assert (refused.value.scope, refused.value.sessions_max) == (scope, 1)
        assert (len(table), table.per_user["ada"], table.per_org["acme"]) == (1, 1, 1)

    def test_after_a_place_was_given_back_is_possible(self) -> None:
        table, limits = Table(), SessionLimits(sessions_max=1)
        reserve(table, "a", limits=limits)
        table.remove("a")

        reserve(table, "b", limits=limits)

        assert "b" in table

    def test_for_nobody_counts_for_no_user(self) -> None:
        table, limits = Table(), SessionLimits(sessions_per_user_max=1, sessions_per_org_max=1)

        for session_id in "abc":
            reserve(table, session_id, limits=limits)

        assert (table.per_user, table.per_org) == ({}, {})


class TestRoles:
    def test_may_be_shared_unless_they_are_to_be_unique(self) -> None:
        table = Table()
        reserve(table, "a", role="guide")

        reserve(table, "b", role="guide")
        with pytest.raises(DuplicateRole) as refused:
            reserve(table, "c", role="guide", unique_role=True)

        assert refused.value.session_id == "a"
        assert table.count_role("guide") == 2

    @pytest.mark.seed("3.11")
    def test_are_unique_within_a_user(self) -> None:
        table = Table()
        reserve(table, "a", user_id="ada", role="guide", unique_role=True)

        reserve(table, "b", user_id="bob", role="guide", unique_role=True)

        assert "b" in table

    def test_are_free_again_when_their_session_is_ending(self) -> None:
        table = Table()
        terminate(reserve(table, "a", role="guide"))

        reserve(table, "b", role="guide", unique_role=True)

        assert "b" in table

    def test_find_the_oldest_session_that_is_not_ending(self) -> None:
        table = Table()
        terminate(reserve(table, "a", user_id="ada", role="guide"))
        second = reserve(table, "b", user_id="ada", role="guide")
        third = reserve(table, "c", user_id="bob", role="guide")

        assert table.with_role("guide") is second
        assert table.with_role("guide", user_id="bob") is third
        assert table.with_role("guide", user_id="eve") is None
        assert table.with_role("cook") is None

    def test_of_a_quarantined_session_stay_taken(self) -> None:
        table = Table()
        row = reserve(table, "a", role="guide", unique_role=True)
        row.note(Standing(1, Presence.QUARANTINED))

        with pytest.raises(DuplicateRole):
            reserve(table, "b", role="guide", unique_role=True)


class TestRemoving:
    @pytest.mark.seed("1.14")
    def test_gives_the_last_snapshot(self) -> None:
        table = Table()
        terminate(reserve(table, "a"))

        removed = table.remove("a")

        assert removed is not None
        assert removed.state is SessionState.TERMINATING
        assert table.get("a") is None

    def test_what_is_not_there_does_nothing(self) -> None:
        assert Table().remove("a") is None

    def test_refuses_all_that_its_incarnations_still_hand_in(self) -> None:
        table = Table()
        row = reserve(table, "a")
        draft = drafted(row, 1)
        table.remove("a")
        reserve(table, "a")

        draft.append(Role.USER, "late", wall_s=1.0, now_s=1.0)

        assert MemoryStore().commit(draft.hand_in()) is CommitOutcome.FENCED
        assert row.begin(2) is None
        assert table.row("a").session().last_seq == 0

    def test_of_an_unknown_id_is_told_apart_when_a_row_is_needed(self) -> None:
        with pytest.raises(SessionNotFound) as refused:
            Table().row("nobody")

        assert refused.value.session_id == "nobody"


class TestSnapshots:
    def test_are_the_committed_ones_themselves(self) -> None:
        row = reserve(Table(), "a")

        assert row.session() is row.session()

    def test_tell_presence_and_history(self) -> None:
        row = reserve(Table(), "a")
        drafted(row, 1)

        row.note(Standing(1, Presence.RESTARTING, 5.0, 2, "crashed: KeyError", "Question"))

        session = row.session()
        assert (session.presence, session.restarts) == (Presence.RESTARTING, 2)
        assert (session.last_error, session.failed_on) == ("crashed: KeyError", "Question")

    def test_are_awake_again_when_the_next_incarnation_has_begun(self) -> None:
        row = reserve(Table(), "a")
        drafted(row, 1)
        row.note(Standing(1, Presence.RESTARTING, restarts=1))

        draft = drafted(row, 2)

        assert row.session().presence is row.presence is Presence.AWAKE
        assert row.session().restarts == 1
        assert draft.session.restarts == 1
        assert draft.session.presence is Presence.AWAKE

    def test_have_versions_that_only_go_up(self) -> None:
        row = reserve(Table(), "a")
        versions = [row.session().version]
        for incarnation in (1, 2, 3):
            draft = drafted(row, incarnation)
            for _ in range(3):
                draft.append(Role.USER, "x", wall_s=1.0, now_s=1.0)
                MemoryStore().commit(draft.hand_in())
                versions.append(row.session().version)

        assert versions == list(range(10))


class TestTheOldestActivity:
    def test_is_that_of_the_session_that_has_been_idle_longest(self) -> None:
        table = Table()
        rows = {name: table.restore(aged(name, at_s)) for name, at_s in (("a", 5.0), ("b", 3.0))}

        assert table.oldest_active_s() == 3.0
        draft = drafted(rows["b"], 1)
        draft.touch(wall_s=9.0, now_s=9.0)
        MemoryStore().commit(draft.hand_in())
        assert table.oldest_active_s() == 5.0
        table.remove("a")
        assert table.oldest_active_s() == 9.0
        table.restore(aged("from a store", 1.0))
        assert table.oldest_active_s() == 1.0

    def test_of_an_empty_table_is_none(self) -> None:
        assert Table().oldest_active_s() is None

    def test_is_looked_for_among_all_only_when_it_has_changed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table = Table()
        table.restore(aged("a", 1.0))
        assert table.oldest_active_s() == 1.0
        reserve(table, "b")
        table.restore(aged("c", 2.0))
        table.remove("b")
        assert table.oldest_active_s() == 1.0  # "b" was older, and is gone
        monkeypatch.delattr(Table, "rows")

        assert table.oldest_active_s() == 1.0


def aged(session_id: str, active_s: float) -> Row:
    return Row(Session(id=session_id), active_s=active_s)


class TableAgainstModel(RuleBasedStateMachine):
    """Counts and roles are what one would count by hand, also after a recount."""

    @initialize()
    def start(self) -> None:
        self.table = Table(partitions=3)
        self.model: dict[str, Session] = {}

    @rule(
        number=st.integers(0, 12),
        user_id=st.sampled_from([None, "ada", "bob"]),
        org_id=st.sampled_from([None, "acme"]),
        role=st.sampled_from([None, "guide", "cook"]),
    )
    def create(
        self, number: int, user_id: str | None, org_id: str | None, role: str | None
    ) -> None:
        session = Session(id=f"s{number}", user_id=user_id, org_id=org_id, agent_role=role)
        limits = SessionLimits(sessions_max=8, sessions_per_user_max=3)
        mine = sum(each.user_id == user_id for each in self.model.values())
        if session.id in self.model:
            expected: type[Exception] | None = DuplicateSession
        elif len(self.model) == 8 or (user_id is not None and mine == 3):
            expected = MaxSessionsReached
        else:
            expected = None
        if expected is None:
            self.table.reserve(session, active_s=0.0, limits=limits)
            self.model[session.id] = session
        else:
            with pytest.raises(expected):
                self.table.reserve(session, active_s=0.0, limits=limits)

    @rule(number=st.integers(0, 12))
    def remove(self, number: int) -> None:
        removed = self.table.remove(f"s{number}")

        assert removed == self.model.pop(f"s{number}", None)

    @rule(number=st.integers(0, 12), presence=st.sampled_from(Presence))
    def note(self, number: int, presence: Presence) -> None:
        row = self.table.get(f"s{number}")
        if row is not None:
            row.note(Standing(row.incarnation, presence))

    @rule(number=st.integers(0, 12))
    def begin(self, number: int) -> None:
        row = self.table.get(f"s{number}")
        if row is not None:
            row.begin(row.incarnation + 1)

    @rule()
    def recount(self) -> None:
        self.table.recount()

    @invariant()
    def all_counts_are_right(self) -> None:
        sessions = list(self.model.values())
        assert [row.id for row in self.table.rows()] == list(self.model)
        for number in range(3):
            runs = [
                row
                for row in self.table.rows()
                if partition_of(row.id, 3) == number
                and row.presence in {Presence.AWAKE, Presence.RESTARTING}
            ]
            assert sorted(row.id for row in self.table.running_in(number)) == sorted(
                row.id for row in runs
            )
        presences = Counter(row.presence for row in self.table.rows())
        assert self.table.presences() == {each: presences[each] for each in Presence}
        for user_id in ("ada", "bob"):
            mine = sum(each.user_id == user_id for each in sessions)
            assert self.table.per_user.get(user_id, 0) == self.table.count_user(user_id) == mine
            ids = [each.id for each in sessions if each.user_id == user_id]
            assert self.table.ids(user_id=user_id) == ids
        theirs = [each.id for each in sessions if each.org_id == "acme"]
        assert self.table.per_org.get("acme", 0) == self.table.count_org("acme") == len(theirs)
        assert self.table.ids(org_id="acme") == theirs
        for role in ("guide", "cook"):
            ids = [each.id for each in sessions if each.agent_role == role]
            assert self.table.count_role(role) == len(ids)
            found = self.table.with_role(role)
            assert (None if found is None else found.id) == (ids[0] if ids else None)
            for user_id in ("ada", "bob"):
                hers = [each for each in ids if self.model[each].user_id == user_id]
                found = self.table.with_role(role, user_id=user_id)
                assert (None if found is None else found.id) == (hers[0] if hers else None)


TableAgainstModel.TestCase.settings = settings(max_examples=examples.of(60), stateful_step_count=30)
TestTableAgainstModel = TableAgainstModel.TestCase


def test_a_snapshot_survives_json() -> None:
    session = Session(id="a", metadata={"a": 1}, version=3)

    assert msgspec.json.decode(msgspec.json.encode(session), type=Session) == session
