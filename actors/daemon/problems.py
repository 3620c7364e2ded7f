"""What is a client told of an error? One problem document (RFC 9457), never a traceback."""

from __future__ import annotations

import re

import msgspec

from callboard.actors.statuses import STATUSES, Status, status_of
from callboard.supervision.model.errors import CallboardError
from callboard.supervision.model.showing import shown

MEDIA_TYPE = "application/problem+json"

TYPE_PREFIX = "urn:callboard:problem:"
"""What the `type` of every problem begins with; its code follows."""

DETAIL_CHARS_MAX = 1_000
"""How many characters of an error's text a client gets."""


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, for programs and people.

    Args:
        type: a URN that ends with the code.
        title: the kind of problem, in words.
        status: the HTTP status code.
        detail: what happened this time.
        code: a stable name for programs.
        field: which field is wrong.
        value: what was given there, shortened.
        remedy: what can be done about it.
        is_retryable: whether the same request may succeed later.
        is_outcome_known: whether it is certain that the request had no effect.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    is_retryable: bool
    is_outcome_known: bool
    field: str | None = None
    value: str | None = None


def problem_of(error: CallboardError) -> Problem:
    """Return what a client is told of an error."""
    field = getattr(error, "field", None)
    return Problem(
        type=TYPE_PREFIX + error.code,
        title=_title_of(type(error).__name__),
        status=status_of(error).http,
        detail=_bounded(str(error) or _title_of(type(error).__name__)),
        code=error.code,
        remedy=error.remedy,
        is_retryable=error.is_retryable,
        is_outcome_known=error.is_outcome_known,
        field=field if isinstance(field, str) else None,
        value=shown(getattr(error, "value", None)) if isinstance(field, str) else None,
    )


def exit_code_of(problem: Problem) -> int:
    """Return the exit code of a command that got this problem."""
    known = STATUSES.get(problem.code)
    return (known or _BY_HTTP.get(problem.status // 100, _SOFTWARE)).exit_code


_SOFTWARE = STATUSES["callboard_error"]
_BY_HTTP: dict[int, Status] = {4: STATUSES["refused"], 5: STATUSES["not_delivered"]}


def _title_of(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return words[:1] + words[1:].lower()


def _bounded(text: str) -> str:
    return text if len(text) <= DETAIL_CHARS_MAX else text[: DETAIL_CHARS_MAX - 1] + "…"
