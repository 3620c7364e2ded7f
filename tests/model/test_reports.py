"""Stop reports: what did not stop in time."""

from __future__ import annotations

from callboard.supervision.model.reports import StopReport


def test_a_stop_that_left_nothing_behind_is_clean() -> None:
    assert StopReport().is_clean
    assert str(StopReport()) == "everything stopped in time"


def test_a_stop_that_killed_or_abandoned_something_is_not() -> None:
    assert not StopReport(unstopped=("root/a",)).is_clean
    assert not StopReport(abandoned=("root/a",)).is_clean


def test_reports_add_up_in_order() -> None:
    first = StopReport(unstopped=("root/a", "root/b"), abandoned=("root/b",))
    second = StopReport(unstopped=("root/c",))

    both = first.with_also(second)

    assert both.unstopped == ("root/a", "root/b", "root/c")
    assert str(both) == "killed: root/a, root/c; abandoned: root/b"


def test_is_shown_short_however_many_did_not_stop() -> None:
    paths = tuple(f"root/sessions/3/{number}" for number in range(1_005))

    report = StopReport(unstopped=paths, abandoned=("callboard-1",))

    assert str(report) == (f"killed: {', '.join(paths[:5])} and 1,000 more; abandoned: callboard-1")
    assert report.unstopped == paths
