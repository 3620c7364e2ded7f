"""What a caller can handle: every error with its code, its data and what to do about it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import callboard.actors
import callboard.supervision
from callboard.actors import errors
from callboard.actors.statuses import (
    EX_DATAERR,
    EX_TEMPFAIL,
    EXIT_CODES,
    STATUSES,
    Status,
    status_of,
)
from callboard.supervision.model.errors import CallboardError, DeliveryError, Refusal


def every_error() -> list[type[CallboardError]]:
    """Return every error class of the library, the test kit's own apart."""
    for package in (callboard.supervision, callboard.actors):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and ".testing" not in module.name:
                importlib.import_module(module.name)
    ours = [each for each in _below(CallboardError) if each.__module__.startswith("callboard.")]
    return [each for each in dict.fromkeys(ours) if ".testing" not in each.__module__]


def _below(error: type[CallboardError]) -> Iterator[type[CallboardError]]:
    yield error
    for each in error.__subclasses__():
        yield from _below(each)


EXAMPLES: list[tuple[CallboardError, dict[str, object]]] = [
    (errors.SessionNotFound("s1"), {"session_id": "s1"}),
    (errors.DuplicateSession("s1"), {"session_id": "s1"}),
    (
        errors.DuplicateRole("guide", session_id="s1"),
        {"agent_role": "guide", "session_id": "s1"},
    ),
    (errors.MaxSessionsReached("user", 3), {"scope": "user", "sessions_max": 3}),
    (errors.InvalidField("limit", 0, "Give more."), {"field": "limit", "value": 0}),
    (errors.InvalidUserId("user_id", "", "Give one."), {"field": "user_id", "value": ""}),
    (errors.InvalidOrgId("org_id", "", "Give one."), {"field": "org_id", "value": ""}),
    (
        errors.MessageTooLarge("content", 9, bytes_max=8),
        {"field": "content", "value": 9, "bytes_max": 8},
    ),
    (
        errors.VersionConflict("s1", expected_version=1, version=2),
        {"session_id": "s1", "expected_version": 1, "version": 2},
    ),
    (
        errors.IdempotencyConflict("client_msg_id", "k"),
        {"field": "client_msg_id", "value": "k"},
    ),
    (errors.SessionTerminating("s1"), {"session_id": "s1"}),
    (errors.SessionHasLog("s1"), {"session_id": "s1"}),
    (errors.TransitionError("active", "spawn"), {"state": "active", "event": "spawn"}),
    (
        errors.UpdateFailed("s1", error="KeyError", detail="x"),
        {"session_id": "s1", "error": "KeyError", "detail": "x"},
    ),
    (
        errors.StoreRefused("s.db", "it is locked", "Unlock it."),
        {"path": "s.db", "remedy": "Unlock it."},
    ),
    (
        errors.StoreLocked("s.db", pid=12, since=1.5),
        {"path": "s.db", "pid": 12, "since": 1.5},
    ),
    (errors.StoreTooNew("s.db", version=3, known=2), {"version": 3, "known": 2}),
    (errors.ImportRefused(7, "seq", -1, "Give 1."), {"line": 7, "field": "seq", "value": -1}),
]


class TestEveryError:
    @pytest.mark.seed("2.32")
    def test_has_a_code_of_its_own(self) -> None:
        codes = [each.code for each in every_error()]

        assert sorted(codes) == sorted(set(codes))

    def test_has_a_line_in_the_table_of_statuses(self) -> None:
        missing = [each.__name__ for each in every_error() if each.code not in STATUSES]

        assert missing == []

    def test_has_a_line_only_if_it_exists(self) -> None:
        assert set(STATUSES) == {each.code for each in every_error()}

    def test_ends_a_command_with_a_code_that_is_explained(self) -> None:
        assert {status.exit_code for status in STATUSES.values()} <= set(EXIT_CODES)

    def test_ends_a_command_with_come_again_only_if_the_very_same_may_succeed_then(self) -> None:
        told = {each for each in every_error() if STATUSES[each.code].exit_code == EX_TEMPFAIL}

        assert [each.__name__ for each in told if not each.is_retryable] == []
        assert errors.MaxSessionsReached in told

    def test_of_a_change_that_came_too_late_does_not_say_come_again(self) -> None:
        assert not errors.VersionConflict.is_retryable
        assert STATUSES["version_conflict"].exit_code == EX_DATAERR

    def test_says_what_to_do_in_a_sentence(self) -> None:
        assert [each for each in every_error() if not each.remedy.endswith((".", "]"))] == []


@pytest.mark.seed("2.32")
@pytest.mark.parametrize(
    ("error", "data"), EXAMPLES, ids=[type(error).__name__ for error, _ in EXAMPLES]
)
def test_an_error_carries_its_data(error: CallboardError, data: dict[str, object]) -> None:
    assert {name: getattr(error, name) for name in data} == data
    assert error.remedy


@pytest.mark.parametrize(
    "error",
    [errors.SessionRestarting, errors.SessionQuarantined, errors.SessionCrashed],
)
def test_a_message_that_got_no_answer_names_the_address(error: type[DeliveryError]) -> None:
    assert error("nobody", address="sessions/s1").address == "sessions/s1"


class TestRetrying:
    def test_what_was_not_delivered_has_had_no_effect(self) -> None:
        assert errors.SessionRestarting.is_outcome_known
        assert errors.SessionQuarantined.is_outcome_known

    def test_what_a_crash_interrupted_may_have_had_one(self) -> None:
        assert not errors.SessionCrashed.is_outcome_known
        assert not errors.StoreOutcomeUnknown.is_outcome_known

    def test_waiting_helps_against_a_restart_but_not_against_quarantine(self) -> None:
        assert errors.SessionRestarting.is_retryable
        assert not errors.SessionQuarantined.is_retryable


class TestShownValues:
    def test_are_bounded(self) -> None:
        assert len(str(errors.InvalidField("content", "x" * 10_000_000, "Less."))) < 200
        assert len(str(errors.InvalidField("metadata", list(range(10_000)), "Less."))) < 200

    def test_are_escaped(self) -> None:
        assert "\x1b" not in str(errors.SessionNotFound("\x1b[2J"))


class TestStatusOf:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (errors.SessionNotFound("s1"), Status(404, 66)),
            (errors.InvalidUserId("user_id", "", "x"), Status(422, 65)),
            (errors.MessageTooLarge("content", 9, bytes_max=8), Status(413, 65)),
            (errors.SessionCrashed("x"), Status(500, 70)),
            (RuntimeError("x"), Status(500, 70)),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_is_the_line_of_its_code(self, error: BaseException, status: Status) -> None:
        assert status_of(error) == status

    def test_of_a_users_own_refusal_is_its_bases(self) -> None:
        class OutOfTea(Refusal):
            code = "out_of_tea"

        assert status_of(OutOfTea()) == STATUSES["refused"]

    def test_of_a_handlers_own_exception_is_that_of_a_crash(self) -> None:
        assert status_of(ValueError()) == status_of(errors.SessionCrashed("x"))
