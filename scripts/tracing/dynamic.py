"""What a scenario does with dynamic and partition supervisors."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from callboard.supervision import (
    RESTARTING,
    ChildKind,
    ChildNotFound,
    ChildSpec,
    ChildStartFailed,
    CountChildren,
    Crashed,
    DeliveryError,
    DynamicSupervisor,
    InvalidSpec,
    MaxChildrenReached,
    PartitionSupervisor,
    RestartType,
    StartChild,
    StartFailed,
    TerminateChild,
    WhichChildren,
    partition_of,
)
from scripts.tracing.cast import refusal_of, shutdown_of
from scripts.tracing.company import DRIVER, RAISES, Action, Company, key_of
from scripts.tracing.players import Child, TrappingChild
from scripts.tracing.vocabulary import is_list, is_object, reason_of, term_of


class DynamicSupervisors:
    """Dynamic supervisors.

    Args:
        company: who is who.
    """

    def __init__(self, company: Company) -> None:
        self._company = company

    def _do_dynsup_start(self, action: Action) -> Any:
        options = {
            ours: action[theirs] for theirs, (ours, _) in _DYNAMIC.items() if theirs in action
        }
        extra = options.get("extra_args")
        if is_list(extra):
            options["extra_args"] = tuple(extra)
        ref = self._company.system.spawn(DynamicSupervisor, **options)
        try:
            ref.wait_started()
        except StartFailed as failed:
            return {"error": {"supervisor_data": _bad_option(failed.reason, action)}}
        self._company.enter(action["sup"], ref)
        return "ok"

    def _do_dyn_start_child(self, action: Action) -> Any:
        child = action["child"]
        self._company.wanted.add(child["name"])
        try:
            spec = spec_of(self._company, child)
            answer = self._company.ref(action["sup"]).ask(StartChild(spec))
        except InvalidSpec as error:
            return {"error": refusal_of(error, child, {})}
        except MaxChildrenReached:
            return {"error": "max_children"}
        except ChildStartFailed as failed:
            return {"error": term_of(failed.reason)}
        except DeliveryError:
            return {"exit": "noproc"}
        return "ignore" if answer is None else {"ok": self._company.name_of(answer)}

    def _do_dyn_terminate_child(self, action: Action) -> Any:
        known = self._company.knows(action["child"])
        child = self._company.ref(action["child"] if known else DRIVER)  # somebody who is no child
        try:
            self._company.ref(action["sup"]).ask(TerminateChild(child))
        except ChildNotFound:
            return {"error": "not_found"}
        except DeliveryError:
            return {"exit": "noproc"}
        return "ok"

    def _do_dyn_which(self, action: Action) -> Any:
        return which(self._company, action, lambda _: None)

    def _do_dyn_count(self, action: Action) -> Any:
        return counts(self._company, action)

    def _do_dyn_stop(self, action: Action) -> Any:
        ref = self._company.ref(action["sup"])
        if not ref.is_alive():
            return {"exit": "noproc"}
        ref.exit(reason_of(action.get("reason", "normal")))
        self._company.world.settle()
        if ref.is_alive():  # a child takes its time
            self._company.world.pass_time_until(lambda: not ref.is_alive())
        return "ok"


class PartitionSupervisors:
    """Partition supervisors.

    Args:
        company: who is who.
    """

    def __init__(self, company: Company) -> None:
        self._company = company
        self._partitions: dict[str, int] = {}

    def _do_part_start(self, action: Action) -> Any:
        name, child = action["sup"], action["child"]
        config = {"name": child} if isinstance(child, str) else child
        ref = self._company.system.spawn(
            PartitionSupervisor,
            spec_of(self._company, config),
            partitions=action["partitions"],
            with_arguments=_numbered,
        )
        try:
            ref.wait_started()
        except StartFailed:
            return RAISES
        self._company.enter(name, ref)
        self._partitions[name] = action["partitions"]
        return "ok"

    def _do_part_count(self, action: Action) -> Any:
        return len(self._company.ref(action["sup"]).ask(WhichChildren()))

    def _do_part_which(self, action: Action) -> Any:
        return which(self._company, action, lambda number: number)

    def _do_part_count_children(self, action: Action) -> Any:
        return counts(self._company, action)

    def _do_part_route(self, action: Action) -> Any:
        number = partition_of(key_of(action), self._partitions[action["sup"]])
        for each in self._company.ref(action["sup"]).ask(WhichChildren()):
            if each.id == number:
                return self._company.name_of(each.ref)
        return None

    def _do_part_same(self, action: Action) -> Any:
        return self._do_part_route(action) == self._do_part_route(action)


def spec_of(company: Company, child: Mapping[str, Any]) -> ChildSpec:
    """Return the spec of a child that a scenario describes.

    Raises:
        InvalidSpec: it describes none that can be.
    """
    return ChildSpec(
        id=child["name"],
        start=TrappingChild if child.get("trap_exit") else Child,
        args=(company, child),
        restart=_member(RestartType, child.get("restart", "permanent")),
        shutdown_s=shutdown_of(child["shutdown"]) if "shutdown" in child else None,
        kind=_member(ChildKind, child.get("type", "worker")),
    )


def which(company: Company, action: Action, shown_id: Callable[[Any], Any]) -> Any:
    """List a supervisor's children, as a recording does."""
    try:
        children: Any = company.ref(action["sup"]).ask(WhichChildren())
    except DeliveryError:
        return {"exit": "noproc"}
    return [
        {
            "child": "restarting" if each.ref is RESTARTING else company.name_of(each.ref),
            "id": shown_id(each.id),
            "type": each.kind.value,
        }
        for each in children
    ]


def counts(company: Company, action: Action) -> Any:
    """Count a supervisor's children, as a recording does."""
    try:
        return msgspec.to_builtins(company.ref(action["sup"]).ask(CountChildren()))
    except DeliveryError:
        return {"exit": "noproc"}


_DYNAMIC = {
    "max_restarts": ("intensity", "invalid_intensity"),
    "max_seconds": ("period_s", "invalid_period"),
    "max_children": ("max_children", "invalid_max_children"),
    "extra_arguments": ("extra_args", "invalid_extra_arguments"),
}
"""An option of DynamicSupervisor: what we call it, what Elixir calls a bad one."""


def _numbered(args: tuple[object, ...], number: int) -> tuple[object, ...]:
    """Call a partition's process after its number."""
    company, child = args
    assert is_object(child)
    return (company, child | {"name": f"{child['name']}{number}"})


def _member(kind: type[enum.Enum], value: Any) -> Any:
    """Return the member of this value; what is none goes on to be refused."""
    return next((each for each in kind if each.value == value), value)


def _bad_option(reason: object, action: Action) -> dict[str, Any]:
    """Say which option of a dynamic supervisor kept it from starting."""
    message = reason.message if isinstance(reason, Crashed) else ""
    for theirs, (ours, bad) in _DYNAMIC.items():
        if message.startswith(f"{ours}="):
            return {bad: action[theirs]}
    return {"reason": message}
