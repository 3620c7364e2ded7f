"""The journal: what is handed in waits in its chain, is published when kept, then told."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from callboard.actors.errors import StoreError
from callboard.actors.storage.chain import Handed
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.journal import (
    PLACE_BYTES,
    WAITING_BYTES_MAX,
    WAITING_MAX,
    WAITING_PER_SESSION_MAX,
    Part,
)
from callboard.actors.storage.kept import CLOSED
from tests import examples
from tests.storage.journals import DISK_FULL, LOST, Case, Row, Said, Words


@pytest.fixture
def case() -> Case:
    return Case()


class TestCommits:
    def test_are_seen_and_told_when_they_are_kept_and_not_before(self, case: Case) -> None:
        session = case.begin(1)
        assert session.say("a") is CommitOutcome.WAITING
        assert (case.words, case.told, case.events, case.woken) == ((), [], [], 1)

        case.write()

        assert (case.words, case.told, case.events) == (("a",), [("a", None)], ["event a"])
        assert case.disk.words("s") == ("a",)

    def test_that_gathered_are_written_together_in_order(self, case: Case) -> None:
        session = case.begin(1)
        for word in "abc":
            session.say(word)
        parts = case.take()
        session.say("d")

        case.settle(parts)

        assert (case.words, case.acknowledged) == (("a", "b", "c"), ["a", "b", "c"])
        assert case.write() == 1
        assert case.disk.words("s") == ("a", "b", "c", "d")

    def test_are_published_before_they_are_told(self, case: Case) -> None:
        seen: list[Words] = []
        session = case.begin(1)
        session.say("a")
        case.row.when_settled(lambda _: seen.append(case.words))

        case.write()

        assert seen == [("a",)]

    def test_are_written_in_batches_of_a_bounded_size_that_part_no_session(self) -> None:
        case = Case(batch_commits_max=3)
        rows = [Row(name, case.journal) for name in "xyz"]
        for row in rows:
            session = case.begin(1, row)
            session.say("a")
            session.say("b")

        assert [case.write(), case.write(), case.write()] == [4, 2, 0]
        assert [case.disk.words(row.id) for row in rows] == [("a", "b")] * 3

    def test_write_what_seldom_changes_only_when_it_has(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        (first,) = case.take()
        case.settle([first])
        session.say("b")
        (second,) = case.take()
        case.settle([second])
        session.call("a title")
        session.say("c")
        (third,) = case.take()

        assert [each.write.body for each in (first, second, third)] == [
            b"untitled",
            None,
            b"a title",
        ]
        assert [each.write.is_new for each in (first, second, third)] == [True, False, False]

    def test_beyond_what_may_wait_are_refused_and_take_nothing_along(self, case: Case) -> None:
        session = case.begin(1)
        for number in range(WAITING_PER_SESSION_MAX):
            session.say(f"{number}")
        with pytest.raises(StoreError, match="65 commits wait for the store"):
            session.say("one more")

        case.write()

        assert len(case.words) == WAITING_PER_SESSION_MAX
        assert session.say("now") is CommitOutcome.WAITING

    def test_of_all_sessions_beyond_what_may_wait_are_refused(self) -> None:
        case = Case(waiting_max=1)
        case.begin(1).say("a")

        with pytest.raises(StoreError, match="wait for the store"):
            case.begin(1, Row("other", case.journal)).say("b")

    def test_take_no_place_any_more_when_they_are_settled(self) -> None:
        case = Case(batch_commits_max=2, waiting_max=8)
        sessions = [case.begin(1, Row(name, case.journal)) for name in "xy"]
        for number in range(20):
            for word in "ab":
                for session in sessions:
                    assert session.say(f"{word} {number}") is CommitOutcome.WAITING
            case.write()
            case.write(DISK_FULL if number % 2 else None)
            for session in sessions:
                session.go_back()

        assert case.journal.waiting() == 0

    def test_that_were_taken_by_a_writer_who_ended_over_it_are_taken_again(
        self, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case.begin(1).say("a")
        with monkeypatch.context() as patch:
            patch.setattr(case.journal, "_part", None)
            with pytest.raises(TypeError):
                case.take()

        case.journal.resume()
        case.write()

        assert case.words == ("a",)

    def test_of_all_sessions_beyond_the_bytes_that_may_wait_are_refused(self) -> None:
        case = Case(waiting_max=10)
        large = "x" * (3 * PLACE_BYTES)
        case.begin(1).say(large)
        case.begin(1, Row("second", case.journal)).say(large)
        third = case.begin(1, Row("third", case.journal))
        third.say("the last one that may")
        third.say(large)  # there is a place, and it may need more than there are

        with pytest.raises(StoreError, match="no more may wait for the store"):
            case.begin(1, Row("fourth", case.journal)).say("no")
        while case.write():
            pass

        assert case.begin(1, Row("fifth", case.journal)).say("now") is CommitOutcome.WAITING
        assert WAITING_MAX * PLACE_BYTES <= WAITING_BYTES_MAX

    def test_take_places_by_their_snapshots_too(self) -> None:
        case = Case(waiting_max=3)
        case.begin(1).call("t" * 2 * PLACE_BYTES)

        with pytest.raises(StoreError, match="no more may wait for the store"):
            case.begin(1, Row("other", case.journal)).say("no")


class TestWhatIsCounted:
    def test_are_commits_that_wait_and_those_that_were_kept(self, case: Case) -> None:
        session = case.begin(1)
        for word in "abc":
            session.say(word)
        waiting = case.journal.waiting()
        parts = case.take()
        session.say("d")
        in_flight = case.journal.waiting()
        case.settle(parts)

        assert (waiting, in_flight, case.journal.waiting()) == (3, 4, 1)
        assert (case.journal.kept, case.refused) == (3, 0)

    def test_is_every_commit_that_was_given_up_or_turned_away(self) -> None:
        case = Case(waiting_max=2)
        session = case.begin(1)
        session.say("lost")
        session.say("lost too")
        with pytest.raises(StoreError):
            session.say("turned away")
        case.write(DISK_FULL)
        with pytest.raises(StoreError):
            session.say("built upon what was lost")

        assert (case.journal.kept, case.refused, case.journal.waiting()) == (0, 4, 0)


class TestCommitsThatAreNotKept:
    def test_undo_all_that_was_built_upon_them(self, case: Case) -> None:
        session = case.begin(1)
        session.say("kept")
        case.write()
        session.say("lost")
        parts = case.take()
        session.say("lost too")

        case.settle(parts, DISK_FULL)

        assert case.told[1:] == [("lost", DISK_FULL), ("lost too", DISK_FULL)]
        assert (case.words, case.events) == (("kept",), ["event kept"])
        assert case.row.waiting() == []

    def test_refuse_what_is_still_built_upon_them(self, case: Case) -> None:
        session = case.begin(1)
        session.say("lost")
        case.write(DISK_FULL)

        with pytest.raises(StoreError, match="an earlier commit of the session was not kept"):
            session.say("too late")
        session.go_back()

        assert session.say("again") is CommitOutcome.WAITING
        case.write()
        assert (case.words, case.disk.words("s")) == (("again",), ("again",))

    def test_of_one_session_leave_the_others_alone(self, case: Case) -> None:
        other = Row("other", case.journal)
        case.begin(1).say("lost")
        case.begin(1, other).say("kept")

        case.write({"s": DISK_FULL})

        assert (case.words, other.latest().log) == ((), ("kept",))
        assert case.told == [("lost", DISK_FULL), ("kept", None)]

    def test_for_all_that_is_known_are_written_over_whole(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        case.write()
        session.call("perhaps")
        (part,) = case.take()
        case.disk.write(part.write)  # it was kept, and nobody knows
        case.journal.settle(LOST)
        session.go_back()
        session.say("b")

        case.write()

        assert case.disk.bodies["s"] == b"untitled"
        assert case.disk.heads["s"].version == case.row.latest().session.version == 2


class TestIncarnations:
    def test_begin_upon_what_was_handed_in_and_wait_for_nothing(self, case: Case) -> None:
        case.begin(1).say("left behind")

        second = case.begin(2)

        assert second.base.log == ("left behind",)
        assert case.acknowledged == []
        second.say("b")
        case.write()
        assert list(case.words) == case.acknowledged == ["left behind", "b"]

    def test_have_written_what_one_before_was_killed_over(self, case: Case) -> None:
        first = case.begin(1)
        first.say("a")
        case.journal._marks.clear()  # killed before it could say so

        case.begin(2)
        case.write()

        assert case.words == ("a",)

    def test_go_back_with_what_was_not_kept(self, case: Case) -> None:
        case.begin(1).say("lost")
        second = case.begin(2)
        case.write(DISK_FULL)

        with pytest.raises(StoreError, match="not kept"):
            second.say("upon it")
        second.go_back()
        second.say("anew")
        case.write()

        assert (case.words, case.row.tip().incarnation) == (("anew",), 2)

    @pytest.mark.parametrize("is_written", [False, True])
    def test_fence_the_older_ones(self, case: Case, *, is_written: bool) -> None:
        first = case.begin(1)
        first.say("a")
        if is_written:
            case.write()
        case.begin(2)

        assert first.say("too late") is CommitOutcome.FENCED

        case.write()
        assert case.words == ("a",)

    @pytest.mark.parametrize("number", [1, 2])
    def test_that_are_not_newer_do_not_begin(self, case: Case, number: int) -> None:
        case.begin(2).say("a")

        assert case.row.begin(number) is None

    def test_do_not_begin_in_a_row_that_is_closed(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        case.row.close()

        assert case.row.begin(2) is None
        assert session.say("b") is CommitOutcome.FENCED
        assert case.row.tip().incarnation == CLOSED


class TestWhoWaits:
    def test_for_what_is_settled_is_told_at_once(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        handed = session.base
        case.write()
        heard: list[StoreError | None] = []

        assert isinstance(handed, Handed)
        handed.pending.when_settled(heard.append)

        assert heard == [None]

    def test_for_nothing_is_not_told(self, case: Case) -> None:
        case.begin(1)

        heard: list[StoreError | None] = []

        assert not case.row.when_settled(heard.append)
        assert heard == []

    def test_has_it_written_though_nobody_said_that_it_waits(self, case: Case) -> None:
        case.begin(1).say("a")
        case.journal._marks.clear()
        heard: list[StoreError | None] = []

        assert case.row.when_settled(heard.append)
        case.write()

        assert heard == [None]


class TestWhatIsKnownOfTheIncarnations:
    def test_is_written_without_a_commit(self, case: Case) -> None:
        case.begin(1).say("a")
        case.write()
        case.row.standing_to_keep = b"quarantined"
        case.row.mark()

        case.write()

        assert case.disk.standings == {"s": b"quarantined"}
        assert case.row.standing_to_keep is None
        assert case.write() == 0

    def test_of_a_session_that_was_never_kept_waits_for_its_first_commit(self, case: Case) -> None:
        case.row.standing_to_keep = b"failed"
        case.row.mark()
        assert case.take() == []

        case.begin(1).say("a")
        case.write()

        assert case.disk.standings == {"s": b"failed"}

    @pytest.mark.parametrize("error", [DISK_FULL, LOST])
    def test_that_was_refused_is_written_when_the_store_takes_something_again(
        self, case: Case, error: StoreError
    ) -> None:
        case.begin(1).say("a")
        case.write()
        case.row.standing_to_keep = b"quarantined"
        case.row.mark()
        case.write(error)
        assert not case.journal.has_more  # or the writer would try without an end

        case.begin(1, Row("other", case.journal)).say("b")
        case.write()
        assert case.journal.has_more
        case.write()

        assert case.disk.standings == {"s": b"quarantined"}
        assert not case.journal.has_more

    def test_that_was_refused_with_a_commit_is_written_without_it(self, case: Case) -> None:
        session = case.begin(1)
        session.say("a")
        case.write()
        case.row.standing_to_keep = b"failed"
        session.say("lost")
        case.write(DISK_FULL)

        case.begin(1, Row("other", case.journal)).say("b")
        while case.journal.has_more:
            case.write()

        assert (case.disk.standings, case.words) == ({"s": b"failed"}, ("a",))

    def test_that_was_refused_with_a_commit_of_that_session_alone_is_written_without_it(
        self, case: Case
    ) -> None:
        session = case.begin(1)
        session.say("a")
        case.write()
        case.row.standing_to_keep = b"failed"
        session.say("lost")
        case.write({"s": StoreError("a bad row")})

        assert case.journal.has_more
        case.write()

        assert (case.disk.standings, case.words) == ({"s": b"failed"}, ("a",))

    def test_that_alone_is_refused_is_tried_again_with_what_others_have(self, case: Case) -> None:
        case.begin(1).say("a")
        case.write()
        case.row.standing_to_keep = b"failed"
        case.row.mark()
        case.write({"s": StoreError("a bad row")})
        assert not case.journal.has_more  # or the writer would try without an end

        case.begin(1, Row("other", case.journal)).say("b")
        while case.journal.has_more:
            case.write()

        assert case.disk.standings == {"s": b"failed"}

    def test_that_alone_is_refused_is_left_to_the_next_commit(self, case: Case) -> None:
        case.begin(1).say("a")
        case.write()
        case.row.standing_to_keep = b"failed"
        case.row.mark()
        case.begin(1, Row("other", case.journal)).say("b")

        case.write({"s": StoreError("a bad row")})

        assert not case.journal.has_more


class TestTheWritersSuccessor:
    def test_writes_again_what_was_in_flight(self, case: Case) -> None:
        session = case.begin(1)
        session.say("in flight")
        case.take()
        session.say("waiting")

        case.journal.resume()
        case.write()

        assert list(case.words) == case.acknowledged == ["in flight", "waiting"]

    def test_writes_again_what_was_in_flight_though_nothing_has_come_since(
        self, case: Case
    ) -> None:
        case.begin(1).say("in flight")
        case.take()

        case.journal.resume()
        case.write()

        assert list(case.words) == case.acknowledged == ["in flight"]

    def test_tells_what_was_published_and_not_told(self, case: Case) -> None:
        case.begin(1).say("a")
        (part,) = case.take()
        case.disk.write(part.write)
        case.journal._publish(part, None)  # and the writer is no more
        assert case.told == []

        case.journal.resume()

        assert case.told == [("a", None)]
        assert case.write() == 0

    def test_refuses_all_when_nothing_is_written_any_more(self, case: Case) -> None:
        session = case.begin(1)
        session.say("in flight")
        case.take()
        case.begin(1, Row("other", case.journal)).say("waiting")

        case.journal.fail_all(DISK_FULL)

        assert dict(case.told) == {"in flight": DISK_FULL, "waiting": DISK_FULL}


class JournalAgainstModel(RuleBasedStateMachine):
    """Incarnations, failures, dead writers: what was acknowledged is there, once and in order."""

    @initialize()
    def start(self) -> None:
        self.case = Case(batch_commits_max=3)
        self.alive = [self.case.begin(1)]
        self.number = 1
        self.parts: list[Part[Said, Words]] = []
        self.said = 0

    @rule(which=st.integers(0, 3))
    def say(self, which: int) -> None:
        session = self.alive[-1 - which % len(self.alive)]
        self.said += 1
        try:
            session.say(f"{self.said}")
        except StoreError:
            session.go_back()

    @rule()
    def begin(self) -> None:
        self.number += 1
        self.alive.append(self.case.begin(self.number))

    @rule()
    def take(self) -> None:
        if not self.parts:
            self.parts = self.case.take()

    @rule(failed=st.sampled_from([None, None, None, DISK_FULL]))
    def settle(self, failed: StoreError | None) -> None:
        self.case.settle(self.parts, failed)
        self.parts = []

    @rule(is_kept=st.booleans())
    def lose(self, *, is_kept: bool) -> None:
        if is_kept:
            for part in self.parts:
                self.case.disk.write(part.write)
        self.case.journal.settle(LOST)
        self.parts = []

    @rule(is_kept=st.booleans())
    def replace_the_writer(self, *, is_kept: bool) -> None:
        if is_kept:
            for part in self.parts:
                self.case.disk.write(part.write)
        self.case.journal.resume()
        self.parts = []

    @invariant()
    def what_was_acknowledged_is_published_and_on_the_disk(self) -> None:
        if not hasattr(self, "case"):
            return
        case = self.case
        assert list(case.words) == case.acknowledged
        on_disk = case.disk.words("s")
        assert on_disk[: len(case.words)] == case.words

    @invariant()
    def nothing_is_told_twice(self) -> None:
        if hasattr(self, "case"):
            words = [word for word, _ in self.case.told]
            assert len(words) == len(set(words))

    def teardown(self) -> None:
        self.case.settle(self.parts)
        while self.case.write():
            pass
        assert self.case.row.waiting() == []


TestAgainstModel = JournalAgainstModel.TestCase
TestAgainstModel.settings = settings(
    max_examples=examples.of(150), stateful_step_count=30, deadline=None
)
