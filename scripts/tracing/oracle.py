"""What OTP 25 itself gets wrong, taken out of a recording before anything is compared with it.

A child of a `simple_one_for_one` supervisor whose restart says `ignore` should be forgotten. OTP 25
keeps a row for it, without a process, that is counted as active; and when the supervisor stops, it
crashes on that row (`function_clause` in `terminate_dynamic_children/1`), so that its children are
not stopped at all. Nobody should do likewise: the row is left out, and what comes from the crash on
is not compared. Whoever compares says so for each recording that shows it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scripts.tracing.families import events_of, simple_supervisors
from scripts.tracing.vocabulary import is_object

Item = dict[str, Any]

GHOST = "OTP 25 keeps a row for a dynamic child whose restart said ignore; compared without it"
CRASH = "OTP 25 crashes when it stops a supervisor with such a row; not compared from there on"


def mended(given: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[Item, list[str]]:
    """Return a recording without OTP's own defect, and what was done to it.

    Args:
        given: the scenario.
        expected: its recording.
    """
    simple = frozenset(simple_supervisors(given))
    if not simple:
        return dict(expected), []
    ghosts: set[str] = set()
    notes: list[str] = []
    steps: list[Item] = []
    for step in expected["steps"]:
        if _shows_the_crash(step):
            return {"start": expected["start"], "steps": steps}, [*notes, CRASH]
        result = _result(step["action"], step["result"], simple, ghosts)
        steps.append(step | {"result": result})
        _follow(step, simple, ghosts)
        if ghosts and GHOST not in notes:
            notes.append(GHOST)
    whole: Item = {**expected, "steps": steps, "final": _final(expected["final"], simple)}
    if _shows_the_crash(whole["teardown"]):
        del whole["teardown"]
        notes.append(CRASH)
    return whole, notes


def _shows_the_crash(step: Mapping[str, Any]) -> bool:
    return any(
        is_object(each.get("reason"))
        and "terminate_dynamic_children" in json.dumps(each["reason"].get("function_clause"))
        for each in events_of(step.get("events", []))
    )


def _started(action: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the dynamic children that an action starts: those may say ignore."""
    if "args" in action:
        yield action["args"].get("name", "")
    for each in action.get("actions", ()):
        yield from _started(each)


def _follow(step: Mapping[str, Any], simple: frozenset[str], ghosts: set[str]) -> None:
    """Note which supervisors have such a row after a step."""
    asked_for = set(_started(step["action"]))
    for event in events_of(step.get("events", [])):
        name = event["who"].partition("#")[0]
        if event["ev"] == "ignore" and event["sup"] in simple and name not in asked_for:
            ghosts.add(event["sup"])
        elif event["ev"] in {"start", "stop"}:
            ghosts.discard(name)
    action = step["action"]
    is_of_process = action["do"] == "terminate_child" and "child" in action
    if is_of_process and step["result"] == "ok" and not _stopped(step):
        # To OTP a process that is dead already is the row without a process, and so it goes.
        ghosts.discard(action["sup"])


def _stopped(step: Mapping[str, Any]) -> bool:
    return any(event["ev"] == "stop" for event in events_of(step.get("events", [])))


def _result(
    action: Mapping[str, Any], result: Any, simple: frozenset[str], ghosts: set[str]
) -> Any:
    if action["do"] == "batch" and is_object(result) and "batch" in result:
        pairs = zip(action["actions"], result["batch"], strict=True)
        return {"batch": [_result(each, row, simple, ghosts) for each, row in pairs]}
    sup = action.get("sup")
    if sup not in simple or not is_object(result) or "ok" not in result:
        return result
    if action["do"] == "which_children":
        rows = _rows(result["ok"])
        # Now it is certain: in the middle of a batch no event told of it.
        (ghosts.discard if rows == result["ok"] else ghosts.add)(sup)
        return {"ok": rows}
    is_count = action["do"] == "count_children" and sup in ghosts
    return {"ok": _counts(result["ok"])} if is_count else result


def _rows(rows: Sequence[Item]) -> list[Item]:
    return [each for each in rows if each["child"] is not None]


def _counts(counts: Item) -> Item:
    kind = "workers" if counts["workers"] else "supervisors"
    return counts | {"active": counts["active"] - 1, kind: counts[kind] - 1}


def _final(final: Item, simple: frozenset[str]) -> Item:
    supervisors: dict[str, Item] = final.get("supervisors", {})
    if not simple & supervisors.keys():
        return final
    return final | {
        "supervisors": {
            name: _without_row(state) if name in simple else state
            for name, state in supervisors.items()
        }
    }


def _without_row(state: Item) -> Item:
    rows = _rows(state["which_children"])
    if rows == state["which_children"]:
        return state
    return {"which_children": rows, "count_children": _counts(state["count_children"])}
