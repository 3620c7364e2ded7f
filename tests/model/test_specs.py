"""Child specs and flags: the defaults, and what is refused before anything starts."""

from __future__ import annotations

import math
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


@pytest.mark.parametrize(
    "fields",
    [
        {"id": ""},
        {"id": None},
        {"id": True},
        {"start": "callboard.Worker"},
        {"args": [1]},
        {"kwargs": [("a", 1)]},
        {"kwargs": {1: "a"}},
        pytest.param({"start": make_later}, id="an async function"),
        {"restart": "sometimes"},
        {"shutdown_s": -1},
        {"shutdown_s": math.nan},
        {"shutdown_s": "5"},
        {"shutdown_s": True},
        {"significant": 1},
        {"significant": True},
        {"kind": "worker"},
        {"name": 5},
        {"name": ""},
        {"backoff": 1.0},
        {"budget": 3},
        {"keeps_mailbox": None},
        {"keeps_mailbox": True},
        {"start_s": 0},
        {"start_s": -1.0},
        {"start_s": math.nan},
        {"start_s": "5"},
        {"start_s": True},
    ],
    ids=str,
)
def test_a_spec_that_cannot_be_is_refused_when_it_is_made(fields: dict[str, Any]) -> None:
    (field, value), *_ = fields.items()

    with pytest.raises(InvalidSpec) as refused:
        spec(**fields)

    assert (refused.value.field, refused.value.value) == (field, value)
    assert refused.value.remedy
    assert isinstance(refused.value, CallboardError)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize(
    "fields",
    [
        {"strategy": "one_for_none"},
        {"intensity": -1},
        {"intensity": 1.5},
        {"period_s": 0},
        {"period_s": -1},
        {"period_s": math.inf},
        {"auto_shutdown": "sometimes"},
        {"period_s": 0, "intensity": None},
    ],
    ids=str,
)
def test_flags_that_cannot_be_are_refused(fields: dict[str, Any]) -> None:
    (field, _), *_ = fields.items()

    with pytest.raises(InvalidSpec) as refused:
        SupervisorFlags(**fields)

    assert refused.value.field == field


class TestSpecsTogether:
    def test_an_id_may_be_given_once(self) -> None:
        with pytest.raises(InvalidSpec) as refused:
            check_specs([spec("a"), spec("b"), spec("a")], AutoShutdown.NEVER)

        assert (refused.value.field, refused.value.value) == ("id", "a")

    def test_two_children_of_one_name_are_refused(self) -> None:
        with pytest.raises(InvalidSpec) as refused:
            check_specs([spec("a", name="ada"), spec("b", name="ada")], AutoShutdown.NEVER)

        assert (refused.value.field, refused.value.value) == ("name", "ada")

    def test_what_is_no_spec_is_refused(self) -> None:
        given: Any = ("a", Worker)

        with pytest.raises(InvalidSpec) as refused:
            check_specs([given], AutoShutdown.NEVER)

        assert refused.value.field == "child"

    def test_a_significant_child_needs_a_supervisor_that_ends_with_it(self) -> None:
        significant = spec(restart=RestartType.TRANSIENT, significant=True)

        with pytest.raises(InvalidSpec) as refused:
            check_specs([significant], AutoShutdown.NEVER)

        assert refused.value.field == "significant"
        check_specs([significant], AutoShutdown.ANY_SIGNIFICANT)
        check_specs([significant], AutoShutdown.ALL_SIGNIFICANT)
