"""The page of covered rows says what has passed, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from tests.seeds.covering import MARK, Covering, note_rows, page, source


def report(name: str, *rows: str, outcome: Literal["passed", "failed", "skipped"]) -> Any:
    return pytest.TestReport(
        nodeid=name,
        location=("", 0, ""),
        keywords={},
        outcome=outcome,
        longrepr=None,
        when="call",
        user_properties=[(MARK, row) for row in rows],
    )


def line(text: str, row: str) -> str:
    return next(each for each in text.splitlines() if each.startswith(f"| {row} |"))


def gathered(*reports: Any) -> str:
    covering = Covering(cast("pytest.Config", SimpleNamespace()))
    for each in reports:
        covering.pytest_runtest_logreport(each)
    return page(covering.covered)


class TestARow:
    def test_is_covered_by_every_test_of_it_that_passed(self) -> None:
        text = gathered(
            report("tests/a/test_b.py::test_c[1]", "0.1", outcome="passed"),
            report("tests/a/test_b.py::test_c[2]", "0.1", outcome="passed"),
            report("tests/a/test_b.py::test_d", "0.1", outcome="passed"),
        )

        assert "| `a/test_b::test_c`<br>`a/test_b::test_d` |" in line(text, "0.1")
        assert "1 of 123 rows are covered." in text

    @pytest.mark.parametrize("outcome", ["skipped", "failed"])
    def test_is_not_covered_by_a_test_that_did_not_pass(
        self, outcome: Literal["skipped", "failed"]
    ) -> None:
        text = gathered(report("tests/a/test_b.py::test_c", "0.1", outcome=outcome))

        assert "| not covered |" in line(text, "0.1")

    def test_says_what_of_it_is_not_there_yet(self) -> None:
        row, left = next(iter(source().later.items()))

        assert left in line(page({}), row)

    def test_that_is_not_there_cannot_be_named(self) -> None:
        def marks(_name: str) -> list[SimpleNamespace]:
            return [SimpleNamespace(args=("9.9",))]

        item = SimpleNamespace(nodeid="test_c", iter_markers=marks)

        with pytest.raises(pytest.UsageError, match=r"test_c: there is no row '9\.9'"):
            note_rows([cast("pytest.Item", item)])


def test_there_are_the_rows_of_all_five() -> None:
    rows = list(source().rows)

    assert len(rows) == 123
    assert [row.partition(".")[0] for row in rows] == sorted(row.partition(".")[0] for row in rows)
    assert set(source().later) <= set(rows)
