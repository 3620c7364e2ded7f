"""Dynamic supervisors: how many children, and their arguments."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.supervision.model.child import Child
from callboard.supervision.model.dynamic import DynamicLimits, plan_start_dynamic_child
from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.plan import IfFails, Put, Refuse, Start
from callboard.supervision.model.refusals import MaxChildrenReached, SpecRefused
from callboard.supervision.model.specs import ChildSpec, RestartType, SupervisorFlags
from callboard.supervision.model.state import SupervisorState

SPEC = ChildSpec(id="s", start=dict, args=("spec",))


def child(key: int, *args: object) -> Child[str]:
    return Child(key=key, spec=SPEC, args=args)


def supervisor(*children: Child[str]) -> SupervisorState[str]:
    return SupervisorState(
        name="root",
        flags=SupervisorFlags(),
        children={each.key: each for each in children},
        is_dynamic=True,
    )


def test_children_may_have_an_id_in_common() -> None:
    state = supervisor(child(0).started("s#1", now_s=0))

    plan = plan_start_dynamic_child(state, DynamicLimits(), child(1))

    assert plan == (Put(child(1)), Start((1,), IfFails.FORGET))


@pytest.mark.parametrize(
    ("present", "max_children", "refused"),
    [
        pytest.param([], 0, True, id="0: none at all"),
        pytest.param([child(0).started("s#1", now_s=0)], 2, False, id="a place is left"),
        pytest.param([child(0).started("s#1", now_s=0)], 1, True, id="full"),
        pytest.param([child(0).waiting("s#1")], 1, True, id="a restarting one has a place"),
        pytest.param([child(0).starting("s#1")], 1, True, id="one that starts has a place"),
        pytest.param([child(0), child(1)], None, False, id="no limit"),
    ],
)
def test_max_children(
    present: list[Child[str]], max_children: int | None, *, refused: bool
) -> None:
    limits = DynamicLimits(max_children=max_children)

    first, *_ = plan_start_dynamic_child(supervisor(*present), limits, child(9))

    assert isinstance(first, Refuse) is refused
    if isinstance(first, Refuse):
        assert isinstance(first.error, MaxChildrenReached)
        assert first.error.max_children == max_children


def test_extra_arguments_come_first_then_the_specs_then_the_childs_own() -> None:
    limits = DynamicLimits(extra_args=("extra",))

    assert limits.arguments_of(child(0, "own")) == ("extra", "spec", "own")


def test_a_spec_that_does_not_fit_is_refused() -> None:
    spec = ChildSpec(id="x", start=dict, restart=RestartType.TEMPORARY, significant=True)

    (refuse,) = plan_start_dynamic_child(supervisor(), DynamicLimits(), Child(key=0, spec=spec))

    assert isinstance(refuse, Refuse)
    assert isinstance(refuse.error, SpecRefused)
    assert (refuse.error.field, refuse.error.value) == ("significant", True)
    assert "auto_shutdown" in refuse.error.remedy


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"max_children": -1}, "Give a whole number, 0 or more, or None."),
        ({"max_children": 1.5}, "Give a whole number, 0 or more, or None."),
        ({"max_children": True}, "Give a whole number, 0 or more, or None."),
        ({"extra_args": "x"}, "Give a tuple, as in extra_args=(1,)."),
        ({"concurrent_starts": 1}, "Give True or False."),
    ],
    ids=str,
)
def test_limits_that_cannot_be_are_refused(fields: dict[str, Any], remedy: str) -> None:
    (field, value), *_ = fields.items()

    with pytest.raises(InvalidSpec) as refused:
        DynamicLimits(**fields)

    assert (refused.value.field, refused.value.value) == (field, value)
    assert refused.value.remedy == remedy
