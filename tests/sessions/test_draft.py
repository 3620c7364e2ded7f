"""One message, one commit: what a handler changes, and when it is seen."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import msgspec
import pytest

from callboard.actors.errors import (
    IdempotencyConflict,
    SessionTerminating,
    TransitionError,
    VersionConflict,
)
from callboard.actors.limits import SessionLimits
from callboard.actors.sessions.data import Message, Role, Session, SessionPatch
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.states import SessionState, Transition
from callboard.actors.sessions.table import Row
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.memory import MemoryStore
from callboard.supervision import InvalidSpec


class Seen(msgspec.Struct, frozen=True):
    questions: int = 0


class Case:
    """A session with its first incarnation at work, and a clock that ticks when it is read."""

    def __init__(self, state: SessionState = SessionState.ACTIVE) -> None:
        self.row = Row(Session(id="s", state=state, created_at=1.0), active_s=0.0)
        self.time_s = 100.0
        self.draft = self.begin(1)

    def begin(self, incarnation: int) -> Draft:
        start = self.row.begin(incarnation)
        assert start is not None
        return Draft(self.row, start, SessionLimits())

    def say(self, content: str, *, key: str | None = None, role: Role | str = Role.USER) -> Message:
        self.time_s += 1
        return self.draft.append(
            role, content, wall_s=self.time_s, now_s=self.time_s - 100, client_msg_id=key
        )

    def commit(self) -> CommitOutcome:
        return MemoryStore().commit(self.draft.hand_in())

    @property
    def contents(self) -> list[str]:
        return [each.content for each in self.row.latest().log]


@pytest.fixture
def case() -> Case:
    return Case()


class TestAppending:
    def test_numbers_the_messages_and_counts_them(self, case: Case) -> None:
        assert [case.say(each).seq for each in "abc"] == [1, 2, 3]
        session = case.draft.session
        assert (session.last_seq, session.message_count) == (3, 3)

    def test_is_activity_by_both_clocks(self, case: Case) -> None:
        case.say("a")

        assert case.draft.session.last_active_at == 101.0
        assert case.draft.active_s == 1.0

    def test_is_seen_by_the_handler_at_once_and_by_others_with_the_commit(self, case: Case) -> None:
        case.say("a")
        assert case.draft.log.last_seq == 1
        assert case.row.session().last_seq == 0

        case.commit()
        assert case.row.session().last_seq == 1

    def test_again_with_the_same_key_and_content_changes_nothing(self, case: Case) -> None:
        first = case.say("a", key="k")
        case.commit()

        assert case.say("a", key="k") is first
        assert not case.draft.has_changed

    @pytest.mark.parametrize("role", [Role.USER, Role.ASSISTANT])
    def test_again_with_the_same_key_and_other_content_is_refused(
        self, case: Case, role: Role
    ) -> None:
        case.say("a", key="k")

        with pytest.raises(IdempotencyConflict):
            case.say("b" if role is Role.USER else "a", key="k", role=role)

    def test_again_gets_the_first_reply_even_while_terminating(self, case: Case) -> None:
        first = case.say("a", key="k")
        case.draft.move(Transition.TERMINATE, wall_s=1.0)

        assert case.say("a", key="k") is first

    def test_takes_a_role_by_its_name(self, case: Case) -> None:
        assert case.say("a", role="assistant").role is Role.ASSISTANT


class TestChanging:
    def test_replaces_what_the_patch_names_and_nothing_else(self, case: Case) -> None:
        patch = SessionPatch(metadata={"a": [1]}, system_prompt="be kind")
        case.draft.update(patch, wall_s=5.0, now_s=5.0)

        session = case.draft.update(SessionPatch(system_prompt=None), wall_s=6.0, now_s=6.0)

        assert session.metadata == {"a": (1,)}
        assert session.system_prompt is None
        assert session.variables == {}

    def test_of_an_older_version_than_expected_is_refused(self, case: Case) -> None:
        case.say("a")
        case.commit()
        seen = case.row.session().version
        case.say("b")
        case.commit()

        with pytest.raises(VersionConflict) as refused:
            case.draft.update(SessionPatch(), wall_s=5.0, now_s=5.0, expected_version=seen)

        assert (refused.value.expected_version, refused.value.version) == (1, 2)

    def test_keeps_the_behaviours_own_data_with_the_snapshot(self, case: Case) -> None:
        case.draft.set_data(Seen(3), wall_s=5.0, now_s=5.0)
        case.commit()

        assert case.row.session().data == Seen(3)

    @pytest.mark.parametrize("data", [{"a": 1}, object(), "text"])
    def test_to_data_that_is_no_frozen_struct_is_refused(self, case: Case, data: object) -> None:
        with pytest.raises(InvalidSpec):
            case.draft.set_data(data, wall_s=5.0, now_s=5.0)

    def test_by_a_sign_of_life_is_a_change_too(self, case: Case) -> None:
        case.draft.touch(wall_s=7.0, now_s=7.0)

        assert case.draft.has_changed
        assert case.draft.session.last_active_at == 7.0


class TestStates:
    def test_lead_from_one_to_the_next_with_time_and_reason(self) -> None:
        case = Case(SessionState.CREATED)

        case.draft.move(Transition.SPAWN, wall_s=2.0)
        case.draft.move(Transition.ACTIVATE, wall_s=3.0)
        session = case.draft.move(Transition.TERMINATE, wall_s=4.0, reason="done")

        assert (session.state, session.state_since, session.state_reason) == (
            SessionState.TERMINATING,
            4.0,
            "done",
        )
        assert session.version == 1

    def test_of_a_second_termination_are_those_of_the_first(self, case: Case) -> None:
        first = case.draft.move(Transition.TERMINATE, wall_s=4.0, reason="done")

        assert case.draft.move(Transition.TERMINATE, wall_s=5.0, reason="again") is first

    def test_that_have_no_such_step_refuse(self, case: Case) -> None:
        with pytest.raises(TransitionError):
            case.draft.move(Transition.SPAWN, wall_s=2.0)

    def test_of_the_end_take_nothing_new(self, case: Case) -> None:
        case.draft.move(Transition.TERMINATE, wall_s=4.0)
        refused: list[Callable[[], object]] = [
            lambda: case.say("late"),
            lambda: case.draft.update(SessionPatch(), wall_s=5.0, now_s=5.0),
            lambda: case.draft.set_data(Seen(), wall_s=5.0, now_s=5.0),
            lambda: case.draft.touch(wall_s=5.0, now_s=5.0),
        ]

        for change in refused:
            with pytest.raises(SessionTerminating):
                change()


class TestCommits:
    def test_raise_the_version_by_one_whatever_they_hold(self, case: Case) -> None:
        for each in "abc":
            case.say(each)
        case.draft.touch(wall_s=1.0, now_s=1.0)

        case.commit()

        assert case.row.session().version == 1

    def test_of_a_handler_that_raised_do_not_happen(self, case: Case) -> None:
        case.say("kept")
        case.commit()
        case.say("undone")

        case.draft.discard()

        assert not case.draft.has_changed
        case.say("next")
        case.commit()
        assert case.contents == ["kept", "next"]

    def test_go_on_upon_what_is_handed_in_but_not_committed(self, case: Case) -> None:
        case.say("a")
        first = case.draft.hand_in()
        case.say("b")
        second = case.draft.hand_in()

        assert case.draft.uncommitted == 2
        for entry in (first, second):
            assert MemoryStore().commit(entry) is CommitOutcome.COMMITTED
        assert case.draft.uncommitted == 0
        assert case.contents == ["a", "b"]

    def test_that_failed_take_the_session_back_to_the_last_one(self, case: Case) -> None:
        case.say("kept")
        case.commit()
        case.say("lost", key="k")
        case.draft.hand_in()
        case.say("built upon it")

        case.draft.rebase()

        assert case.draft.session == case.row.session()
        assert case.say("lost", key="k").seq == 2
        case.commit()
        assert case.contents == ["kept", "lost"]

    def test_of_an_old_incarnation_are_fenced(self, case: Case) -> None:
        old = case.draft
        case.begin(2)
        old.append(Role.USER, "late", wall_s=1.0, now_s=1.0)

        assert MemoryStore().commit(old.hand_in()) is CommitOutcome.FENCED
        old.rebase()
        old.append(Role.USER, "later", wall_s=1.0, now_s=1.0)
        assert MemoryStore().commit(old.hand_in()) is CommitOutcome.FENCED

        assert case.contents == []

    def test_of_one_that_has_let_go_are_fenced(self, case: Case) -> None:
        case.draft.let_go()
        case.say("late")

        assert case.commit() is CommitOutcome.FENCED
        assert case.row.holder is None

    def test_lead_the_next_incarnation_on(self, case: Case) -> None:
        case.say("a", key="k")
        case.commit()

        case.draft = case.begin(2)

        assert case.say("a", key="k").seq == 1
        assert case.say("b").seq == 2


class Tracked(msgspec.Struct, frozen=True, weakref=True):
    number: int


def test_an_abandoned_incarnation_does_not_keep_the_later_versions_in_memory(case: Case) -> None:
    abandoned = case.draft
    case.draft = case.begin(2)
    data = Tracked(1)
    alive = weakref.ref(data)
    case.draft.set_data(data, wall_s=1.0, now_s=1.0)
    case.commit()
    del data

    case.draft.set_data(None, wall_s=2.0, now_s=2.0)
    case.commit()
    gc.collect()

    assert alive() is None
    assert abandoned.incarnation == 1
