"""Which branches of a tree end side by side, so that OTP leaves the order of their events free.

A supervisor does one thing after the other, and so do all below it, with two exceptions. The
children of a killed supervisor end each by itself; and a `simple_one_for_one` supervisor stops its
children at once. Where such a child is a supervisor itself, what happens below it has an order of
its own, and none with what happens beside it. Each such branch is compared by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.tracing.vocabulary import is_list, is_object

Item = dict[str, Any]


class Families:
    """Who is whose child, as a recording tells it step by step.

    Args:
        given: the scenario.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._simple = frozenset(simple_supervisors(given))
        self._current: dict[str, str] = {}
        self._parent: dict[str, str] = {}

    def branches(self, recorded: Sequence[Item]) -> dict[str, list[str]]:
        """Return the branches that end side by side in a step: their roots, and who is below each.

        Call it for every step in order: it learns who starts.
        """
        events = list(events_of(recorded))
        for event in events:
            if event["ev"] == "start":
                self._begin(event)
        stopped = [event["who"] for event in events if event["ev"] == "stop"]
        roots = {who for who in stopped if self._ends_beside_others(who, stopped)}
        below: dict[str, list[str]] = {}
        for event in events:
            root = self._innermost(event["who"], roots)
            if root is not None:
                below.setdefault(root, []).append(event["who"])
        return below

    def _begin(self, event: Item) -> None:
        who: str = event["who"]
        self._current[_name_of(who)] = who
        if event["sup"] in self._current:
            self._parent[who] = self._current[event["sup"]]

    def _ends_beside_others(self, who: str, stopped: list[str]) -> bool:
        parent = self._parent.get(who)
        if parent is None:
            return False
        if parent in stopped and stopped.index(parent) < stopped.index(who):
            return True
        siblings = [each for each in stopped if self._parent.get(each) == parent]
        return _name_of(parent) in self._simple and len(siblings) > 1

    def _innermost(self, who: str, roots: set[str]) -> str | None:
        """Return the nearest root above, or nobody."""
        above = self._parent.get(who)
        while above is not None and above not in roots:
            above = self._parent.get(above)
        return above


def only(recorded: Sequence[Item], who: set[str]) -> list[Item]:
    """Return the events of some, sets kept as sets."""
    rows: list[Item] = []
    for each in recorded:
        if "unordered" not in each:
            rows += [each] * (each["who"] in who)
            continue
        members = [event for event in each["unordered"] if event["who"] in who]
        if members:
            rows.append({**each, "unordered": members})
    return rows


def sort_by_branch(branches: Mapping[str, list[str]], reports: Sequence[Item]) -> list[Item]:
    """Return the reports branch by branch; those of one supervisor keep their order."""
    branch_of = {who: root for root, below in branches.items() for who in below}
    branch_of |= {root: root for root in branches}
    return sorted(reports, key=lambda report: branch_of.get(report.get("sup", ""), ""))


def events_of(recorded: Sequence[Item]) -> Iterator[Item]:
    """Yield the events of a step, those of sets one by one."""
    for each in recorded:
        yield from each.get("unordered", (each,))


def simple_supervisors(node: Any) -> Iterator[str]:
    """Yield the names of the supervisors with a template, wherever a scenario speaks of one."""
    if is_object(node):
        tree = node.get("supervisor")
        if is_object(tree) and tree.get("flags", {}).get("strategy") == "simple_one_for_one":
            yield node.get("root", node.get("id", ""))
        for each in node.values():
            yield from simple_supervisors(each)
    elif is_list(node):
        for each in node:
            yield from simple_supervisors(each)


def _name_of(who: str) -> str:
    return who.rpartition("#")[0]
