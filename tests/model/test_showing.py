"""How a value is shown in an error: short, escaped, without an address."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision.model.showing import FIELD_CHARS_MAX, shown, shown_path


class Plain:
    pass


class Named:
    def __repr__(self) -> str:
        return "<the named one>"


class Broken:
    def __repr__(self) -> str:
        raise LookupError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        ("ada", "'ada'"),
        ("a\nb", r"'a\nb'"),
        (5, "5"),
        (-5, "-5"),
        (2**255, str(2**255)),
        (2**256, "<int of 257 bits>"),
        (b"ada", "b'ada'"),
        (bytearray(b"ada"), "bytearray(b'ada')"),
        (b"a" * 77, "b'" + "a" * 77 + "'"),
        (b"a" * 78, "b'" + "a" * 75 + "..."),
        (b"a" * 1_000_000, "b'" + "a" * 75 + "..."),
        ([1, [2]], "[1, [2]]"),
        (Named(), "<the named one>"),
        (Plain(), f"<{__name__}.Plain>"),
        ([Plain()], f"[<{__name__}.Plain>]"),
        (shown_path, "<function shown_path>"),
        (Broken(), "<Broken>"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_value_is_shown(value: Any, text: str) -> None:
    if isinstance(value, int) and len(text) > 80:
        text = f"{text[:38]}...{text[-39:]}"

    assert shown(value) == text
    assert len(shown(value)) <= 80


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("metadata.tags[0]", "metadata.tags[0]"),
        ("a" * FIELD_CHARS_MAX, "a" * FIELD_CHARS_MAX),
        ("a" * (FIELD_CHARS_MAX + 1), "a" * (FIELD_CHARS_MAX - 1) + "…"),
        ("a\nb", r"a\nb"),
        ("ä\n", r"\xe4\n"),
        ("\n" * (FIELD_CHARS_MAX // 2), r"\n" * (FIELD_CHARS_MAX // 2)),
        ("a" * (FIELD_CHARS_MAX - 1) + "\n", "a" * (FIELD_CHARS_MAX - 1) + "…"),
        ("a" * (FIELD_CHARS_MAX - 2) + "\n" + "b", "a" * (FIELD_CHARS_MAX - 2) + "\\…"),
        ("\n" * FIELD_CHARS_MAX, (r"\n" * FIELD_CHARS_MAX)[: FIELD_CHARS_MAX - 1] + "…"),
        ("ä" * FIELD_CHARS_MAX, "ä" * FIELD_CHARS_MAX),
    ],
)
def test_a_path_is_shown(field: str, text: str) -> None:
    assert shown_path(field) == text
    assert len(shown_path(field)) <= FIELD_CHARS_MAX
