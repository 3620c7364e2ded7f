"""Stop reports: what did not stop in time."""

from __future__ import annotations

import pytest

from callboard.supervision.model.reports import StopReport


def test_a_stop_that_left_nothing_behind_is_clean() -> None:
    assert StopReport().is_clean
    assert str(StopReport()) == "everything stopped in time"


def test_a_stop_that_killed_or_abandoned_something_is_not() -> None:
    assert not StopReport(unstopped=("root/a",)).is_clean
    assert not StopReport(abandoned=("root/a",)).is_clean


def test_a_stop_that_left_something_is_not() -> None:
    assert not StopReport(left=("ada",)).is_clean
    assert str(StopReport(left=("ada",))) == "left: ada"


def test_reports_add_up_in_order() -> None:
    first = StopReport(unstopped=("root/a", "root/b"), abandoned=("root/b",), left=("ada",))
    second = StopReport(unstopped=("root/c",), left=("bob",))

    both = first.with_also(second)

    assert both.unstopped == ("root/a", "root/b", "root/c")
    assert both.left == ("ada", "bob")
    assert str(both) == "killed: root/a, root/c; abandoned: root/b; left: ada, bob"


@pytest.mark.parametrize(("more", "said"), [(0, ""), (1, " and 1 more"), (2, " and 2 more")])
def test_names_five_and_counts_the_others(more: int, said: str) -> None:
    paths = tuple(f"root/{number}" for number in range(5 + more))

    assert str(StopReport(unstopped=paths)) == f"killed: {', '.join(paths[:5])}{said}"


def test_is_shown_short_however_many_did_not_stop() -> None:
    paths = tuple(f"root/sessions/3/{number}" for number in range(1_005))

    report = StopReport(unstopped=paths, abandoned=("callboard-1",))

    assert str(report) == (f"killed: {', '.join(paths[:5])} and 1,000 more; abandoned: callboard-1")
    assert report.unstopped == paths
