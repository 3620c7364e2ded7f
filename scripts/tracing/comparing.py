"""Does what was observed agree with the recording? On four levels, each told apart.

OTP leaves some orders free. So the observed is first brought into the order of the recording, as
far as that order is free, and then both must be equal; what is left over is a readable diff.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import ndiff
from typing import Any, TypeAlias

import msgspec

from scripts.tracing.families import Families, events_of, only, sort_by_branch
from scripts.tracing.vocabulary import is_list, is_object

Item: TypeAlias = dict[str, Any]


class Level(enum.Enum):
    """What is compared by itself."""

    RESULTS = "results"
    """What the calls returned."""

    EVENTS = "events"
    """Which processes started and stopped, in which order, why."""

    FINAL = "final"
    """What is there after the last action."""

    REPORTS = "reports"
    """What the supervisors reported as errors."""


class Difference(msgspec.Struct, frozen=True):
    """One place where the observed is not what was recorded.

    Args:
        level: of what.
        where: the step.
        expected: the recorded lines.
        observed: ours.
    """

    level: Level
    where: str
    expected: tuple[str, ...]
    observed: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"    {line}" for line in ndiff(self.expected, self.observed) if line[0] != "?"]
        return "\n".join([f"  {self.level.value}, {self.where} (- recorded, + callboard)", *lines])


def levels_of(expected: Mapping[str, Any]) -> tuple[Level, ...]:
    """Return the levels a recording has something to say about; part 2 says less than part 1."""
    if "start" not in expected:
        return (Level.RESULTS, Level.EVENTS)
    return tuple(each for each in Level if each is not Level.FINAL or "final" in expected)


def differences(
    given: Mapping[str, Any], expected: Mapping[str, Any], observed: Mapping[str, Any]
) -> list[Difference]:
    """Return everything in which the observed differs from the recording, in its order.

    A recording that ends early says nothing about what comes then.

    Args:
        given: the scenario.
        expected: its recording.
        observed: what was seen here.
    """
    families = Families(given)
    found: list[Difference] = []
    if "start" in expected:
        found += _differences_of_step(families, "start", expected["start"], observed.get("start"))
    steps: list[Item] = observed.get("steps", [])
    for number, recorded in enumerate(expected["steps"], 1):
        here = steps[number - 1] if number <= len(steps) else None
        where = f"step {number} {_words(recorded['action'])}"
        found += _differences_of_step(families, where, recorded, here)
    is_whole = "start" not in expected or "final" in expected
    if is_whole:
        more = steps[len(expected["steps"]) :]
        found += _unequal(Level.RESULTS, "after the last step", [], more)
    if "final" in expected:
        ours = _final(observed.get("final"))
        found += _unequal(Level.FINAL, "at the end", _final(expected["final"]), ours)
    if "teardown" in expected:
        teardown = observed.get("teardown")
        found += _differences_of_step(families, "teardown", expected["teardown"], teardown)
    return found


def _differences_of_step(
    families: Families, where: str, expected: Item, observed: Item | None
) -> list[Difference]:
    if observed is None:
        return [Difference(Level.RESULTS, where, (_line(expected),), ("(did not come to it)",))]
    found: list[Difference] = []
    if "result" in expected:
        action: Item = expected.get("action", {})
        recorded = _result(action, expected["result"])
        ours = _result(action, observed.get("result"))
        found += _unequal(Level.RESULTS, where, [recorded], [ours])
    branches = families.branches(expected.get("events", []))
    rows = _by_branch(branches, _events(expected), _events(observed))
    found += _unequal(Level.EVENTS, where, *rows)
    reports: tuple[list[Item], ...] = (expected.get("reports", []), observed.get("reports", []))
    return found + _unequal(
        Level.REPORTS, where, *(_reports(sort_by_branch(branches, each)) for each in reports)
    )


def _by_branch(
    branches: Mapping[str, list[str]], recorded: list[Item], observed: list[Item]
) -> tuple[list[Item], list[Item]]:
    """Return both rows of events with what is free in its order brought into one order.

    First what is in no branch, then each branch by itself, its root's own end included.
    """
    below = {who for members in branches.values() for who in members}
    everybody = {each["who"] for each in (*events_of(recorded), *observed)}
    parts = [everybody - below, *({root, *branches[root]} for root in sorted(branches))]
    rows: tuple[list[Item], list[Item]] = ([], [])
    for who in parts:
        theirs = only(recorded, who)
        rows[0].extend(flattened(theirs))
        rows[1].extend(arranged(theirs, only(observed, who)))
    return rows


def _events(step: Item) -> list[Item]:
    """Return what a step says of processes that started or stopped; part 2 says only starts."""
    starts: list[Item] = step.get("starts", [])
    events: list[Item] = step.get("events", starts)
    return events


def _unequal(
    level: Level, where: str, expected: Iterable[object], observed: Iterable[object]
) -> list[Difference]:
    lines = tuple(_line(each) for each in expected)
    ours = tuple(_line(each) for each in observed)
    return [] if lines == ours else [Difference(level, where, lines, ours)]


# -- what is free in its order ---------------------------------------------


def flattened(recorded: Sequence[Item]) -> list[Item]:
    """Return the recorded events in one row, those that may come anywhere last."""
    rows: list[Item] = []
    orphans: list[Item] = []
    for each in recorded:
        if "unordered" not in each:
            rows.append(each)
        elif each.get("orphans"):
            orphans += each["unordered"]
        else:
            rows += each["unordered"]
    return rows + orphans


def arranged(recorded: Sequence[Item], observed: Sequence[Item]) -> list[Item]:
    """Return the observed events in the recorded order, as far as that order is free.

    A set takes as many of the observed as it has members, from where it stands.
    Orphans, who outlive their supervisor, are taken from wherever they are.
    """
    left = list(observed)
    orphans: list[Item] = []
    for group in recorded:
        if group.get("orphans"):
            orphans += [each for each in group["unordered"] if each in left]
    for each in orphans:
        left.remove(each)
    rows: list[Item] = []
    for each in recorded:
        if each.get("orphans"):
            continue
        size = len(each.get("unordered", (each,)))
        here, left = left[:size], left[size:]
        rows += _in_order_of(each["unordered"], here) if "unordered" in each else here
    return rows + left + orphans


def _in_order_of(recorded: list[Item], observed: list[Item]) -> list[Item]:
    return sorted(observed, key=lambda each: recorded.index(each) if each in recorded else -1)


_AS_MULTISET = frozenset(
    {"lookup", "match", "keys", "values", "dispatch", "dyn_which", "part_which"}
)
"""Actions whose result is a list of which the order says nothing."""


def _result(action: Mapping[str, Any], result: Any) -> Any:
    """Return a result with all that is free brought into one form."""
    if is_object(result):
        if "batch" in result:
            actions: list[Item] = action["actions"]
            rows: list[Any] = result["batch"]
            if len(rows) != len(actions):
                return result
            return {"batch": [_result(each, row) for each, row in zip(actions, rows, strict=True)]}
        if "raise" in result:
            return {"raise": "..."}  # that it raises is normative; which module does is not
        if "ok" in result:
            return result | {"ok": _children(result["ok"])}
        return result
    if not is_list(result):
        return result
    if action.get("do") in _AS_MULTISET:
        return sorted(result, key=_line)
    return _inbox(result) if action.get("do") == "inbox" else result


def _children(listed: Any) -> Any:
    """Return a list of children; those without an id have no order."""
    if is_list(listed) and all(is_object(each) and each.get("id", "") is None for each in listed):
        return sorted(listed, key=_line)
    return listed


def _inbox(messages: list[Any]) -> list[Any]:
    """Return messages in their order, but for several `DOWN`s of one process in a row."""
    rows: list[Any] = []
    run: list[Any] = []
    for message in map(_notice, messages):
        down = message.get("DOWN") if is_object(message) else None
        if run and (down is None or down["who"] != run[0]["DOWN"]["who"]):
            rows += sorted(run, key=_line)
            run = []
        if down is None:
            rows.append(message)
        else:
            run.append(message)
    return rows + sorted(run, key=_line)


def _notice(message: Any) -> Any:
    """Return a message; of a registry's notice only what it says: the format names no fields."""
    if not is_object(message):
        return message
    for kind in ("registered", "unregistered"):
        said = message.get(kind)
        if is_object(said):
            said = [value for field, value in said.items() if field not in {"reg", "registry"}]
        if is_list(said):
            return {kind: sorted(said, key=_line)}
    return message


def _final(final: Any) -> list[str]:
    """Return what is there in the end, a line for each supervisor."""
    if not is_object(final):
        return [_line(final)]
    supervisors: dict[str, Item] = final.get("supervisors", {})
    lines = [_line({key: value for key, value in final.items() if key != "supervisors"})]
    for name, state in sorted(supervisors.items()):
        children = _children(state.get("which_children"))
        lines.append(f"{name}: {_line(state | {'which_children': children})}")
    return lines


def _reports(reports: list[Item]) -> list[Item]:
    """Return the reports; what a supervisor says at once of many that it stopped has no order."""
    rows: list[Item] = []
    run: list[Item] = []
    for report in reports:
        is_of_many = report.get("context") == "shutdown_error" and report.get("child") is None
        if not is_of_many or (run and run[0].get("sup") != report.get("sup")):
            rows += sorted(run, key=_line)
            run = []
        if is_of_many:
            run.append(report)
        else:
            rows.append(report)
    return rows + sorted(run, key=_line)


# -- words -----------------------------------------------------------------


def _line(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _words(action: Mapping[str, Any]) -> str:
    said = [f"{key}={_line(value)}" for key, value in action.items() if key != "do"]
    return f"{action['do']} {' '.join(said)}".strip()
