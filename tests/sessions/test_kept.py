"""The chain of committed versions: the fence that needs no lock."""

from __future__ import annotations

import threading

import pytest

from callboard.actors.storage.commits import CommitOutcome, Entry
from callboard.actors.storage.kept import CLOSED, Kept, Ledger
from callboard.actors.storage.memory import MemoryStore

Words = tuple[str, ...]


def ledger() -> Ledger[int, Words]:
    return Ledger(0, (), active_s=0.0)


def after(base: Kept[int, Words], what: str) -> Kept[int, Words]:
    return Kept(base.incarnation, base.session + 1, (*base.log, what), 0.0, {})


def begun(row: Ledger[int, Words], incarnation: int) -> Kept[int, Words]:
    kept = row.begin(incarnation)
    assert kept is not None
    return kept


class TestCommits:
    def test_follow_each_other(self) -> None:
        row = ledger()
        base = begun(row, 1)

        for what in "abc":
            version = after(base, what)
            assert row.publish(base, version)
            base = version

        assert row.latest().log == ("a", "b", "c")

    def test_on_an_old_base_are_refused(self) -> None:
        row = ledger()
        base = begun(row, 1)
        assert row.publish(base, after(base, "first"))

        assert not row.publish(base, after(base, "second"))

        assert row.latest().log == ("first",)

    def test_on_what_was_refused_are_refused(self) -> None:
        row = ledger()
        base = begun(row, 1)
        refused = after(base, "refused")
        begun(row, 2)
        assert not row.publish(base, refused)

        assert not row.publish(refused, after(refused, "more"))

        assert (row.latest().incarnation, row.latest().log) == (2, ())

    def test_are_published_twice_without_harm(self) -> None:
        row = ledger()
        base = begun(row, 1)
        first = after(base, "first")
        second = after(first, "second")
        assert row.publish(base, first)
        assert row.publish(first, second)

        assert row.publish(base, first)

        assert row.latest() is second

    def test_of_the_memory_store_are_published_or_fenced(self) -> None:
        row, store = ledger(), MemoryStore()
        base = begun(row, 1)
        version = after(base, "kept")

        assert store.commit(Entry("s", row, base, version)) is CommitOutcome.COMMITTED
        begun(row, 2)

        late = after(version, "late")
        assert store.commit(Entry("s", row, version, late)) is CommitOutcome.FENCED
        assert row.latest().log == ("kept",)


class TestIncarnations:
    def test_go_on_from_the_last_commit(self) -> None:
        row = ledger()
        base = begun(row, 1)
        row.publish(base, after(base, "kept"))

        second = begun(row, 2)

        assert (second.incarnation, second.session, second.log) == (2, 1, ("kept",))

    @pytest.mark.parametrize("incarnation", [0, 1, 2])
    def test_that_are_not_newer_do_not_begin(self, incarnation: int) -> None:
        row = ledger()
        begun(row, 2)

        assert row.begin(incarnation) is None

    def test_may_leave_numbers_out(self) -> None:
        row = ledger()

        assert begun(row, 7).incarnation == 7

    def test_do_not_begin_when_the_row_is_closed(self) -> None:
        row = ledger()
        base = begun(row, 1)
        row.close()

        assert row.begin(2) is None
        assert not row.publish(base, after(base, "late"))
        assert row.latest().incarnation == CLOSED


class Holding:
    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.has_let_go = False

    def let_go(self) -> None:
        self.has_let_go = True


class TestHolders:
    def test_let_go_when_a_newer_one_holds(self) -> None:
        row, old, new = ledger(), Holding(1), Holding(2)
        row.hold(old)

        row.hold(new)

        assert (old.has_let_go, new.has_let_go) == (True, False)

    def test_that_come_late_take_nothing_away(self) -> None:
        row, old, new = ledger(), Holding(1), Holding(2)
        row.hold(new)

        row.hold(old)

        assert row.holder is new
        assert not new.has_let_go

    def test_let_go_when_the_row_is_closed(self) -> None:
        row, holder = ledger(), Holding(1)
        row.hold(holder)

        row.close()

        assert holder.has_let_go


def test_what_was_acknowledged_is_never_lost_to_a_new_incarnation() -> None:
    """Real threads: an old incarnation commits as fast as it can while new ones begin."""
    row = ledger()
    acknowledged: list[str] = []
    is_over = threading.Event()

    def live(incarnation: int) -> None:
        base = row.begin(incarnation)
        count = 0
        while base is not None and not is_over.is_set():
            count += 1
            what = f"{incarnation}.{count}"
            version = after(base, what) if count < 300 else Kept(incarnation, 0, base.log, 0.0, {})
            if not row.publish(base, version):
                return
            if count < 300:
                acknowledged.append(what)
            base = version

    lives = [threading.Thread(target=live, args=(number,)) for number in range(1, 41)]
    for each in lives:
        each.start()
    for each in lives[:-1]:
        each.join(0.002)
    is_over.set()
    for each in lives:
        each.join(10)

    kept = row.latest().log
    assert set(kept) == set(acknowledged)
    assert len(kept) == len(acknowledged)
    numbers = [int(each.partition(".")[0]) for each in kept]
    assert numbers == sorted(numbers)
