"""The journal: batches in order, publish when kept, fence, and give up what failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from callboard.actors.errors import StoreError, StoreOutcomeUnknown
from callboard.actors.storage.journal import Batch, Entry, Journal, Release
from callboard.actors.storage.kept import Kept, Ledger

Words = tuple[str, ...]
Version = Kept[int, Words]
DISK_FULL = StoreError("the disk is full")


def started(release: Release) -> Version:
    """Return what a beginning was answered."""
    assert release.value is not None
    return cast("Version", release.value)


class Writer:
    """One incarnation of one session, as far as the journal sees it."""

    def __init__(
        self, journal: Journal[int, Words], row: Ledger[int, Words], start: Version
    ) -> None:
        self.journal, self.row, self.base = journal, row, start

    def say(self, word: str) -> tuple[Release, ...]:
        base = self.base
        version: Version = Kept(base.incarnation, base.session + 1, (*base.log, word), 0.0, {})
        self.base = version
        entry = Entry("s", self.row, base, version, word, f"said {word}", (f"event {word}",))
        return self.journal.hand_in(entry)

    def rebase(self) -> None:
        self.base = self.row.latest()


class Case:
    def __init__(self, *, batch_entries_max: int = 64) -> None:
        self.journal = Journal[int, Words](batch_entries_max=batch_entries_max)
        self.row = Ledger[int, Words](0, (), active_s=0.0)

    def begin(self, incarnation: int) -> Writer:
        (release,) = self.journal.begin(self.row, incarnation, reply=f"begin {incarnation}")
        return self.writer(release)

    def writer(self, release: Release) -> Writer:
        return Writer(self.journal, self.row, started(release))

    def take(self) -> Batch[int, Words]:
        batch = self.journal.take()
        assert batch is not None
        return batch

    def settle(self, failed: StoreError | Mapping[str, StoreError] | None = None) -> list[Release]:
        return list(self.journal.settle(self.take(), failed))

    @property
    def words(self) -> Words:
        return self.row.latest().log


@pytest.fixture
def case() -> Case:
    return Case()


class TestCommits:
    def test_are_seen_when_they_are_kept_and_not_before(self, case: Case) -> None:
        session = case.begin(1)

        assert session.say("a") == ()
        batch = case.take()
        before = case.words

        case.journal.settle(batch)
        assert (before, case.words) == ((), ("a",))

    def test_release_reply_and_events_when_they_are_kept(self, case: Case) -> None:
        case.begin(1).say("a")

        (release,) = case.settle()

        assert (release.reply, release.value, release.events) == ("a", "said a", ("event a",))
        assert release.error is None

    def test_are_published_before_they_are_released(self, case: Case) -> None:
        session = case.begin(1)
        for word in "abc":
            session.say(word)

        released = case.settle()

        assert [each.reply for each in released] == ["a", "b", "c"]
        assert case.words == ("a", "b", "c")

    def test_are_written_in_batches_of_a_bounded_size(self) -> None:
        case = Case(batch_entries_max=2)
        session = case.begin(1)
        for word in "abc":
            session.say(word)

        assert len(case.take().entries) == 2
        assert case.journal.take() is None
        assert case.journal.waiting == 1

    def test_are_written_one_batch_at_a_time(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        batch = case.take()
        session.say("b")

        assert case.journal.is_writing
        assert case.journal.take() is None
        case.journal.settle(batch)
        assert [each.reply for each in case.settle()] == ["b"]

    def test_of_a_batch_that_is_settled_already_are_not_settled_again(self, case: Case) -> None:
        case.begin(1).say("a")
        batch = case.take()
        case.journal.settle(batch)

        assert case.journal.settle(batch) == ()


class TestFailures:
    def test_undo_all_that_was_built_upon_them(self, case: Case) -> None:
        session = case.begin(1)
        session.say("kept")
        case.settle()
        session.say("lost")
        batch = case.take()
        session.say("built upon it")

        released = case.journal.settle(batch, DISK_FULL)

        assert [(each.reply, each.error) for each in released] == [
            ("lost", DISK_FULL),
            ("built upon it", DISK_FULL),
        ]
        assert all(each.events == () for each in released)
        assert case.words == ("kept",)
        assert case.journal.take() is None

    def test_refuse_what_is_still_built_upon_them(self, case: Case) -> None:
        session = case.begin(1)
        session.say("lost")
        case.settle(DISK_FULL)

        (release,) = session.say("late")

        assert isinstance(release.error, StoreError)
        assert not release.is_fenced

    def test_end_when_the_session_is_back_at_its_last_commit(self, case: Case) -> None:
        session = case.begin(1)
        session.say("lost")
        case.settle(DISK_FULL)
        session.rebase()

        session.say("again")
        case.settle()

        assert case.words == ("again",)

    def test_of_one_session_leave_the_others_alone(self, case: Case) -> None:
        session = case.begin(1)
        session.say("lost")
        other = Ledger[int, Words](0, (), active_s=0.0)
        (release,) = case.journal.begin(other, 1, reply="other")
        base = started(release)
        version: Version = Kept(1, 1, ("kept",), 0.0, {})
        case.journal.hand_in(Entry("other", other, base, version, "kept"))

        released = case.settle({"s": DISK_FULL})

        assert [(each.reply, each.error) for each in released] == [
            ("lost", DISK_FULL),
            ("kept", None),
        ]
        assert (case.words, other.latest().log) == ((), ("kept",))

    def test_whose_outcome_is_unknown_release_nothing_until_it_is(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        batch = case.take()
        session.say("b")

        assert case.journal.settle(batch, StoreOutcomeUnknown("connection lost")) == ()

        assert [each.reply for each in case.settle()] == ["a", "b"]
        assert case.words == ("a", "b")


class TestIncarnations:
    def test_begin_at_once_when_nothing_waits(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        case.settle()

        assert case.begin(2).base.log == ("a",)

    @pytest.mark.parametrize("is_written", [False, True])
    def test_begin_when_all_that_was_left_is_settled(self, case: Case, *, is_written: bool) -> None:
        case.begin(1).say("left behind")
        batch = case.take() if is_written else None

        assert case.journal.begin(case.row, 2, reply="begin 2") == ()

        released = case.settle() if batch is None else case.journal.settle(batch)
        assert [each.reply for each in released] == ["left behind", "begin 2"]
        assert case.writer(released[1]).base.log == ("left behind",)

    def test_begin_without_what_was_left_when_it_was_not_kept(self, case: Case) -> None:
        case.begin(1).say("lost")
        case.journal.begin(case.row, 2, reply="begin 2")

        released = case.settle(DISK_FULL)

        assert case.writer(released[1]).base.log == ()

    def test_fence_the_older_ones_from_the_moment_they_ask_to_begin(self, case: Case) -> None:
        old = case.begin(1)
        old.say("left behind")
        case.journal.begin(case.row, 2, reply="begin 2")

        (release,) = old.say("too late")

        assert release.is_fenced
        assert [each.reply for each in case.settle()] == ["left behind", "begin 2"]
        assert case.words == ("left behind",)

    def test_fence_the_older_ones_after_they_have_begun(self, case: Case) -> None:
        old = case.begin(1)
        case.begin(2)

        (release,) = old.say("too late")

        assert release.is_fenced
        assert case.words == ()

    @pytest.mark.parametrize("number", [1, 2])
    def test_that_are_not_newer_are_refused_and_fence_nobody(self, case: Case, number: int) -> None:
        session = case.begin(2)
        session.say("a")

        (refused,) = case.journal.begin(case.row, number, reply="late")

        assert refused.value is None
        assert session.say("b") == ()
        assert [each.reply for each in case.settle()] == ["a", "b"]

    def test_that_wait_to_begin_give_way_to_newer_ones(self, case: Case) -> None:
        case.begin(1).say("a")
        case.journal.begin(case.row, 2, reply="begin 2")

        (refused,) = case.journal.begin(case.row, 3, reply="begin 3")
        (older,) = case.journal.begin(case.row, 2, reply="begin 2 again")

        assert (refused.reply, refused.value) == ("begin 2", None)
        assert older.value is None
        assert [each.reply for each in case.settle()] == ["a", "begin 3"]


class TestTheWritersSuccessor:
    def test_writes_again_what_was_in_flight(self, case: Case) -> None:
        session = case.begin(1)
        session.say("in flight")
        case.take()
        session.say("waiting")

        case.journal = case.journal.heir()

        assert [each.reply for each in case.settle()] == ["in flight", "waiting"]
        assert case.words == ("in flight", "waiting")

    def test_is_not_disturbed_by_what_its_predecessor_still_does(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        batch, old = case.take(), case.journal
        case.journal = session.journal = old.heir()
        session.say("b")

        old.settle(batch)
        old.settle(batch, DISK_FULL)

        assert [each.reply for each in case.settle()] == ["a", "b"]
        assert case.words == ("a", "b")

    def test_lets_those_begin_that_waited(self, case: Case) -> None:
        case.begin(1).say("a")
        case.journal.begin(case.row, 2, reply="begin 2")

        case.journal = case.journal.heir()

        assert [each.reply for each in case.settle()] == ["a", "begin 2"]

    def test_finds_what_was_not_released(self, case: Case) -> None:
        case.begin(1).say("a")
        case.settle()

        heir = case.journal.heir()

        assert [each.reply for each in heir.unreleased] == ["a"]
        heir.done()
        assert heir.unreleased == ()


class JournalAgainstModel(RuleBasedStateMachine):
    """Incarnations, failures, dead writers: what was acknowledged is there, once and in order."""

    @initialize()
    def start(self) -> None:
        self.case = Case(batch_entries_max=3)
        self.writers = [self.case.begin(1)]
        self.number = 1
        self.flying: Batch[int, Words] | None = None
        self.said = 0
        self.acknowledged: list[str] = []
        self.open: set[str] = set()

    def see(self, released: tuple[Release, ...] | list[Release]) -> None:
        for each in released:
            reply = str(each.reply)
            if reply.startswith("begin"):
                if each.value is not None:
                    self.writers.append(self.case.writer(each))
                continue
            assert reply in self.open, "answered once"
            self.open.discard(reply)
            if each.error is None and not each.is_fenced:
                self.acknowledged.append(reply)

    @rule(which=st.integers(0, 3))
    def say(self, which: int) -> None:
        self.said += 1
        self.open.add(str(self.said))
        writer = self.writers[-1 - which % len(self.writers)]
        writer.journal = self.case.journal
        self.see(writer.say(str(self.said)))

    @rule()
    def rebase(self) -> None:
        self.writers[-1].rebase()

    @rule(back=st.integers(0, 2))
    def begin(self, back: int) -> None:
        self.number += 1
        number = self.number - back
        self.see(self.case.journal.begin(self.case.row, number, reply=f"begin {number}"))

    @rule()
    def take(self) -> None:
        self.flying = self.case.journal.take() or self.flying

    @rule(how=st.sampled_from([None, DISK_FULL, StoreOutcomeUnknown("lost")]))
    def settle(self, how: StoreError | None) -> None:
        if self.flying is not None:
            self.see(self.case.journal.settle(self.flying, how))
            self.case.journal.done()
            self.flying = None

    @rule()
    def writer_dies(self) -> None:
        self.case.journal = self.case.journal.heir()
        self.flying = None

    @invariant()
    def what_was_acknowledged_is_there_once_and_in_order(self) -> None:
        assert list(self.case.words) == self.acknowledged
        assert self.case.row.latest().session == len(self.acknowledged)

    def teardown(self) -> None:
        """Once the store works again, nobody waits for an answer."""
        if self.flying is not None:
            self.see(self.case.journal.settle(self.flying))
        while (batch := self.case.journal.take()) is not None:
            self.see(self.case.journal.settle(batch))
        assert self.open == set()
        self.what_was_acknowledged_is_there_once_and_in_order()


JournalAgainstModel.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestJournalAgainstModel = JournalAgainstModel.TestCase
