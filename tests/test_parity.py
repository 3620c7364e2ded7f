"""The page that says how callboard stands to OTP is true of the tests and recordings there are."""

from __future__ import annotations

from scripts.tracing.parity import PAGE, Verdict, clauses, faults, page


def test_every_clause_has_its_verdict_and_names_what_is_there() -> None:
    assert faults() == []


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run scripts/traces --parity"


def test_what_is_not_applicable_is_little() -> None:
    left_out = [name for name, each in clauses().items() if each.verdict is Verdict.NOT_APPLICABLE]

    assert left_out == ["S116", "S125", "S130"]
