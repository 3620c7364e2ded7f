"""Part 1: trees of supervisors, driven as OTP's were when they were recorded.

Built on the public doors alone. What a recording calls a process is one incarnation of an actor
here; it is known by its name and the number of its start attempt, `name#n`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from callboard.supervision import (
    BRUTAL_KILL,
    RESTARTING,
    ActorDeadError,
    ActorRef,
    AlreadyPresent,
    AlreadyStarted,
    ChildCounts,
    ChildInfo,
    ChildIsRestarting,
    ChildIsRunning,
    ChildNotFound,
    ChildrenHaveNoIds,
    ChildSpec,
    ChildStartFailed,
    CountChildren,
    DeleteChild,
    Future,
    GetChildSpec,
    Request,
    RestartChild,
    SpecRefused,
    StartAnother,
    StartChild,
    StartFailed,
    TerminateChild,
    WhichChildren,
)
from scripts.tracing.cast import (
    Leave,
    Raise,
    RefusedSpec,
    Script,
    Stranger,
    is_simple,
    refusal_of,
    spec_of,
    supervisor_class,
)
from scripts.tracing.stage import Process, Stage
from scripts.tracing.vocabulary import UnknownWord, reason_of, term_of
from scripts.tracing.worlds import SimulatedWorld, World

Answer = Callable[[], Any]
"""Says what an action came to, once all is quiet again."""

_ACTIONS = frozenset(
    (
        *("crash", "exit", "kill", "signal", "stop", "parent_exit", "sleep", "batch"),
        *("start_child", "terminate_child", "restart_child", "delete_child"),
        *("which_children", "count_children", "get_childspec"),
    )
)


def run(scenario: Mapping[str, Any], world: World | None = None) -> dict[str, Any]:
    """Run one scenario and return `start`, `steps`, `final` and `teardown`, as recorded.

    Args:
        scenario: the file without its `expect`.
        world: where; a simulation of its own unless given. It is closed in the end.

    Raises:
        UnknownWord: the scenario says something that is not understood.
    """
    world = SimulatedWorld() if world is None else world
    try:
        return _Play(Stage(world)).play(scenario)
    finally:
        world.close()


class _Play:
    """One scenario on its stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._root: Process | None = None

    def play(self, scenario: Mapping[str, Any]) -> dict[str, Any]:
        """Start the tree, do what is to be done, look at what is left, and stop it."""
        start = self._start(scenario["root"], scenario["supervisor"])
        steps = [self._step(action) for action in scenario["actions"]]
        final = self._final()
        if self._root is not None:
            self._root.ref.exit()  # as its parent does
        self._stage.settle()
        return {"start": start, "steps": steps, "final": final, "teardown": self._stage.take()}

    def _start(self, name: str, node: Script) -> dict[str, Any]:
        script = {"id": name, "supervisor": node}
        ref: ActorRef[Any] = self._stage.world.system.spawn(
            supervisor_class(node), self._stage, None, script
        )
        self._stage.settle()
        result: dict[str, Any]
        try:
            ref.wait_started(timeout=0)
        except StartFailed as failed:
            reason: Any = failed.reason
            result = {"error": term_of(reason)}
        else:
            self._root = self._stage.newest(name)
            result = {"ok": self._stage.who(ref)}
        return {"result": result, **self._stage.take()}

    def _step(self, action: Script) -> dict[str, Any]:
        answer = self._act(action)
        self._stage.settle()
        return {"action": action, "result": answer(), **self._stage.take()}

    def _final(self) -> dict[str, Any]:
        if self._root is None:
            return {"alive": False, "exit_reason": "not_started"}
        if self._root.reason is not None:
            return {"alive": False, "exit_reason": term_of(self._root.reason)}
        return {
            "alive": True,
            "supervisors": {each.name: self._state_of(each) for each in self._stage.supervisors()},
        }

    def _state_of(self, supervisor: Process) -> dict[str, Any]:
        which = self._call(supervisor, WhichChildren())
        count = self._call(supervisor, CountChildren())
        self._stage.settle()
        return {"which_children": which()["ok"], "count_children": count()["ok"]}

    # -- what is done ------------------------------------------------------

    def _act(self, action: Script) -> Answer:
        if action["do"] not in _ACTIONS:  # also where there is nobody to do it to
            msg = f"there is no action {action['do']!r} here"
            raise UnknownWord(msg)
        match action["do"]:
            case "batch":
                return self._batch(action)
            case "sleep":
                self._stage.world.advance(action["ms"] / 1000)
                return _ok
            case "parent_exit":
                return self._parent_exit(action)
            case "crash" | "exit" | "kill" | "signal":
                process = self._stage.alive(action["target"])
                return _not_alive if process is None else self._strike(process, action)
            case _:
                process = self._stage.alive(action["sup"])
                return _no_process if process is None else self._ask(process, action)

    def _batch(self, action: Script) -> Answer:
        """Hold the supervisor while calls and exits queue up with it, then let it go."""
        held = self._stage.alive(action["sup"])
        if held is None:
            return _not_alive
        held.ref.suspend()
        self._stage.settle()
        answers: list[Answer] = []
        for each in action["actions"]:
            answers.append(self._act(each))
            self._stage.settle()
        held.ref.resume()
        return lambda: {"batch": [answer() for answer in answers]}

    def _parent_exit(self, action: Script) -> Answer:
        if self._root is None or self._root.reason is not None:
            return _not_alive
        self._root.ref.exit(reason_of(action["reason"]))
        return _ok

    def _strike(self, process: Process, action: Script) -> Answer:
        reason = action.get("reason")
        match action["do"]:
            case "kill":
                process.ref.kill()
            case "signal" if reason == "kill":
                process.ref.kill()
            case "signal":
                process.ref.exit_from(None, reason_of(reason))
            case did if not process.is_worker:
                msg = f"{process.name} is a supervisor: nothing makes it {did} by itself"
                raise UnknownWord(msg)
            case "crash":
                process.ref.tell(Raise(str(reason)))
            case _:
                process.ref.tell(Leave(reason_of(reason)))
        return _ok

    def _ask(self, process: Process, action: Script) -> Answer:
        match action["do"]:
            case "stop":
                return self._stop(process, action)
            case "start_child":
                return self._start_child(process, action)
            case "restart_child":
                return self._call(process, RestartChild(action["id"]))
            case "delete_child":
                return self._call(process, DeleteChild(action["id"]))
            case "terminate_child":
                return self._call(process, TerminateChild(self._child(action)))
            case "get_childspec":
                return self._call(process, GetChildSpec(self._child(action)))
            case "which_children":
                return self._call(process, WhichChildren())
            case _:
                return self._call(process, CountChildren())

    def _stop(self, process: Process, action: Script) -> Answer:
        reason = reason_of(action["reason"])
        process.ref.exit(reason)

        def answer() -> Any:
            assert process.reason is not None, f"{process.who} does not stop"
            return "ok" if process.reason == reason else {"exit": term_of(process.reason)}

        return answer

    def _start_child(self, process: Process, action: Script) -> Answer:
        if "args" in action:
            return self._call(process, StartAnother((action["args"],)))
        script: Script = action["spec"]
        try:
            spec = spec_of(self._stage, process.name, script, process.flags)
        except RefusedSpec as refused:
            error = {"error": refused.term}
            return lambda: error
        return self._call(process, StartChild(spec))

    def _child(self, action: Script) -> Any:
        """Return what names the child: its id, or a ref."""
        if "child" not in action:
            return action["id"]
        found = self._stage.newest(action["child"])
        return self._stage.world.system.spawn(Stranger) if found is None else found.ref

    # -- calls -------------------------------------------------------------

    def _call(self, process: Process, request: Request[Any]) -> Answer:
        # Not blocking: the answer may need time to pass, and it is this thread that lets it.
        future: Future[Any] = process.ref.ask(request, block=False, timeout=math.inf)

        def answer() -> Any:
            try:
                reply = future.get(timeout=0)
            except ActorDeadError:
                assert process.reason is not None
                return {"exit": term_of(process.reason)}
            except Exception as refusal:  # noqa: BLE001 -- what is no refusal is raised again
                return {"error": self._error(refusal, process)}
            return self._shown(reply, request, process)

        return answer

    def _error(self, refusal: Exception, process: Process) -> Any:
        match refusal:
            case ChildNotFound():
                return "not_found"
            case ChildIsRunning():
                return "running"
            case ChildIsRestarting():
                return "restarting"
            case AlreadyPresent():
                return "already_present"
            case AlreadyStarted():
                return {"already_started": self._stage.who(refusal.ref)}
            case ChildrenHaveNoIds():
                return "simple_one_for_one"
            case ChildStartFailed():
                return {"start_failed": term_of(refusal.reason)}
            case SpecRefused():
                return refusal_of(refusal, {}, process.flags)
            case _:
                raise refusal

    def _shown(self, reply: Any, request: Request[Any], process: Process) -> Any:
        match request:
            case TerminateChild() | DeleteChild():
                return "ok"
            case WhichChildren():
                return {"ok": [self._row(each, process) for each in reply]}
            case CountChildren():
                return {"ok": _counts(reply)}
            case GetChildSpec():
                return {"ok": _spec(reply)}
            case _:
                return {"ok": self._stage.who(reply)}

    def _row(self, child: ChildInfo, process: Process) -> dict[str, Any]:
        assert child.kind is not None
        return {
            "id": None if is_simple(process.flags) else child.id,
            "child": "restarting" if child.ref is RESTARTING else self._stage.who(child.ref),
            "type": child.kind.value,
        }


def _ok() -> str:
    return "ok"


def _not_alive() -> dict[str, str]:
    return {"error": "not_alive"}


def _no_process() -> dict[str, str]:
    return {"exit": "noproc"}


def _counts(counts: ChildCounts) -> dict[str, int]:
    return {
        "specs": counts.specs,
        "active": counts.active,
        "supervisors": counts.supervisors,
        "workers": counts.workers,
    }


def _spec(spec: ChildSpec) -> dict[str, Any]:
    assert spec.kind is not None
    return {
        "id": spec.id,
        "restart": spec.restart.value,
        "shutdown": _shutdown(spec.shutdown_time),
        "significant": spec.significant,
        "type": spec.kind.value,
    }


def _shutdown(time: Any) -> Any:
    if time is BRUTAL_KILL:
        return "brutal_kill"
    return "infinity" if time == math.inf else round(time * 1000)
