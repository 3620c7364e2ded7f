"""Child specs and flags: the defaults, and what is refused before anything starts."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest

from callboard.supervision.model.errors import CallboardError, InvalidSpec
from callboard.supervision.model.specs import (
    BRUTAL_KILL,
    AutoShutdown,
    ChildKind,
    ChildSpec,
    RestartType,
    Strategy,
    SupervisorFlags,
    check_specs,
)


class Worker:
    pass


class Line:
    child_kind = ChildKind.SUPERVISOR


def spec(child_id: str | int = "a", **fields: Any) -> ChildSpec:
    given: dict[str, Any] = {"id": child_id, "start": Worker, **fields}
    return ChildSpec(**given)


class TestDefaults:
    def test_a_worker_is_permanent_insignificant_and_has_five_seconds_to_stop(self) -> None:
        worker = spec()

        assert worker.restart is RestartType.PERMANENT
        assert worker.shutdown_time == 5.0
        assert worker.kind is ChildKind.WORKER
        assert not worker.significant
        assert (worker.backoff, worker.budget, worker.name) == (None, None, None)

    def test_a_supervisor_has_all_the_time_it_needs(self) -> None:
        line = spec(start=Line)

        assert line.is_supervisor
        assert line.shutdown_time == math.inf

    def test_the_spec_overrules_what_the_class_says_it_is(self) -> None:
        assert spec(start=Line, kind=ChildKind.WORKER).shutdown_time == 5.0
        assert spec(start=Line, shutdown_s=1).shutdown_time == 1

    def test_flags_are_those_of_otp(self) -> None:
        flags = SupervisorFlags()

        assert flags.strategy is Strategy.ONE_FOR_ONE
        assert (flags.intensity, flags.period_s) == (1, 5.0)
        assert flags.auto_shutdown is AutoShutdown.NEVER

    def test_a_supervisor_without_a_limit_counts_nothing(self) -> None:
        assert SupervisorFlags(intensity=None).new_window() is None


async def make_later() -> object:
    return object()


@pytest.mark.parametrize("shutdown_s", [0, 0.5, 5, math.inf, BRUTAL_KILL])
def test_a_shutdown_time_may_be(shutdown_s: float) -> None:
    assert spec(shutdown_s=shutdown_s).shutdown_time == shutdown_s


@pytest.mark.parametrize(
    ("start_s", "limit_s"), [(None, None), (math.inf, None), (0.5, 0.5), (5, 5)]
)
def test_a_start_time_may_be(start_s: float | None, limit_s: float | None) -> None:
    assert spec(start_s=start_s).start_limit_s == limit_s


ID = "Give the child an id: text that is not empty, or a number."
NAME = "Give text that is not empty, or None."
FLAG = "Give True or False."
KWARGS = "Give a mapping from names to values."
SHUTDOWN = "Give seconds >= 0, math.inf or BRUTAL_KILL."
START = "Give seconds above zero, or None for as long as it takes."


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"id": ""}, ID),
        ({"id": None}, ID),
        ({"id": True}, ID),
        (
            {"start": "callboard.Worker"},
            "Give the actor's class, or a callable that returns the actor.",
        ),
        pytest.param(
            {"start": make_later},
            "Give a plain function: it makes the actor, whose on_start may be async.",
            id="an async function",
        ),
        ({"args": [1]}, "Give a tuple, as in args=(1,)."),
        ({"kwargs": [("a", 1)]}, KWARGS),
        ({"kwargs": {1: "a"}}, KWARGS),
        (
            {"restart": "sometimes"},
            "Give one of RestartType.PERMANENT, RestartType.TRANSIENT, RestartType.TEMPORARY.",
        ),
        ({"shutdown_s": -1}, SHUTDOWN),
        ({"shutdown_s": math.nan}, SHUTDOWN),
        ({"shutdown_s": "5"}, SHUTDOWN),
        ({"shutdown_s": True}, SHUTDOWN),
        ({"significant": 1}, FLAG),
        (
            {"significant": True},
            "Make the child TRANSIENT or TEMPORARY: a permanent one never ends for good.",
        ),
        ({"kind": "worker"}, "Give one of ChildKind.WORKER, ChildKind.SUPERVISOR."),
        ({"name": 5}, NAME),
        ({"name": ""}, NAME),
        ({"backoff": 1.0}, "Give a Backoff, or None."),
        ({"budget": 3}, "Give a RestartWindow, or None."),
        ({"keeps_mailbox": None}, FLAG),
        (
            {"keeps_mailbox": True},
            "Give the child a name: the mailbox that outlives an incarnation is its address's.",
        ),
        ({"start_s": 0}, START),
        ({"start_s": -1.0}, START),
        ({"start_s": math.nan}, START),
        ({"start_s": "5"}, START),
        ({"start_s": True}, START),
    ],
    ids=str,
)
def test_a_spec_that_cannot_be_is_refused_when_it_is_made(
    fields: dict[str, Any], remedy: str
) -> None:
    (field, value), *_ = fields.items()

    with pytest.raises(InvalidSpec) as refused:
        spec(**fields)

    assert (refused.value.field, refused.value.value) == (field, value)
    assert refused.value.remedy == remedy
    assert isinstance(refused.value, CallboardError)
    assert isinstance(refused.value, ValueError)


INTENSITY = "Give a whole number, 0 or more."
PERIOD = "Give a number of seconds above zero."


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        (
            {"strategy": "one_for_none"},
            "Give one of Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE.",
        ),
        ({"intensity": -1}, INTENSITY),
        ({"intensity": 1.5}, INTENSITY),
        ({"period_s": 0}, PERIOD),
        ({"period_s": -1}, PERIOD),
        ({"period_s": math.inf}, PERIOD),
        (
            {"auto_shutdown": "sometimes"},
            (
                "Give one of AutoShutdown.NEVER, AutoShutdown.ANY_SIGNIFICANT,"
                " AutoShutdown.ALL_SIGNIFICANT."
            ),
        ),
        ({"period_s": 0, "intensity": None}, PERIOD),
    ],
    ids=str,
)
def test_flags_that_cannot_be_are_refused(fields: dict[str, Any], remedy: str) -> None:
    (field, value), *_ = fields.items()

    with pytest.raises(InvalidSpec) as refused:
        SupervisorFlags(**fields)

    assert (refused.value.field, refused.value.value) == (field, value)
    assert refused.value.remedy == remedy


def test_arguments_by_name_may_be_given() -> None:
    assert spec(kwargs={"name": "ada"}).kwargs == {"name": "ada"}


def test_what_a_partial_makes_is_asked_what_it_is() -> None:
    assert spec(start=partial(partial(Line))).is_supervisor


class TestSpecsTogether:
    def test_an_id_may_be_given_once(self) -> None:
        with pytest.raises(InvalidSpec) as refused:
            check_specs([spec("a"), spec("b"), spec("a")], AutoShutdown.NEVER)

        assert (refused.value.field, refused.value.value) == ("id", "a")
        assert refused.value.remedy == "Give every child an id of its own."

    def test_two_children_of_one_name_are_refused(self) -> None:
        with pytest.raises(InvalidSpec) as refused:
            check_specs([spec("a", name="ada"), spec("b", name="ada")], AutoShutdown.NEVER)

        assert (refused.value.field, refused.value.value) == ("name", "ada")
        assert refused.value.remedy == "Give every child a name of its own, or None."

    def test_what_is_no_spec_is_refused(self) -> None:
        given: Any = ("a", Worker)

        with pytest.raises(InvalidSpec) as refused:
            check_specs([given], AutoShutdown.NEVER)

        assert (refused.value.field, refused.value.value) == ("child", given)
        assert refused.value.remedy == "Give a ChildSpec."

    def test_a_significant_child_needs_a_supervisor_that_ends_with_it(self) -> None:
        significant = spec(restart=RestartType.TRANSIENT, significant=True)

        with pytest.raises(InvalidSpec) as refused:
            check_specs([significant], AutoShutdown.NEVER)

        assert (refused.value.field, refused.value.value) == ("significant", True)
        remedy = "Give the supervisor of 'a' another auto_shutdown than NEVER."
        assert refused.value.remedy == remedy
        check_specs([significant], AutoShutdown.ANY_SIGNIFICANT)
        check_specs([significant], AutoShutdown.ALL_SIGNIFICANT)
