"""All decisions together: a supervisor made of them against a small model written apart.

The model says what SEMANTICS wants in the plainest way, with lists that it changes; it shares
nothing with the code but the words of the log. Both get the same deaths, failing starts and
requests, through mailboxes of their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from callboard.supervision.model.child import Child
from callboard.supervision.model.child_api import (
    plan_delete_child,
    plan_restart_child,
    plan_start_child,
    plan_terminate_child,
)
from callboard.supervision.model.events import (
    ChildCrashed,
    ChildFailedToStart,
    ChildFailedToStop,
    SupervisorGaveUp,
    TreeEvent,
)
from callboard.supervision.model.happenings import Exited
from callboard.supervision.model.plan import (
    End,
    Forget,
    Plan,
    Postpone,
    Put,
    Refuse,
    Remember,
    Report,
    Retry,
    Start,
    Stop,
)
from callboard.supervision.model.reasons import Crashed, ExitReason, Killed, Normal, Shutdown
from callboard.supervision.model.specs import (
    AutoShutdown,
    ChildId,
    ChildSpec,
    RestartType,
    Strategy,
    SupervisorFlags,
)
from callboard.supervision.model.starting import (
    Failed,
    Ignored,
    Started,
    StartResult,
    after_start,
    plan_first_start,
)
from callboard.supervision.model.state import SupervisorState
from callboard.supervision.model.stopping import after_stop, plan_stop
from callboard.supervision.model.strategy import decide
from tests import examples

REASONS: dict[str, ExitReason] = {
    "normal": Normal(),
    "shutdown": Shutdown(),
    "bye": Shutdown(detail="bye"),
    "boom": Crashed("boom"),
    "killed": Killed(),
}
WORDS = {reason: word for word, reason in REASONS.items()}
REQUESTS = ("start_child", "terminate_child", "restart_child", "delete_child")
Starts = dict[str, list[str]]
"""Child id -> how its next starts end, each `ok`, `ignore` or a reason; then always `ok`."""


class Simulated:
    """A supervisor that does what the plans say, at once; nothing in it decides anything."""

    def __init__(self, flags: SupervisorFlags, specs: list[ChildSpec], starts: Starts) -> None:
        self.flags, self.starts = flags, starts
        self.children: dict[ChildId, Child[str]] = {
            spec.id: Child(key=spec.id, spec=spec) for spec in specs
        }
        self.window = flags.new_window()
        self.numbers: dict[ChildId, int] = {}
        self.dead: dict[str, ExitReason] = {}
        self.mailbox = deque[Any]()
        self.log: list[str] = []
        self.now_s, self.is_alive = 0.0, True
        self.carry_out(plan_first_start(self.state()))

    def state(self) -> SupervisorState[str]:
        return SupervisorState(
            name="root", flags=self.flags, children=self.children, window=self.window
        )

    def die(self, child_id: str, why: str) -> None:
        child = self.children.get(child_id)
        if child and child.ref and child.is_running and child.ref not in self.dead:
            self.dead[child.ref] = REASONS[why]
            self.mailbox.append(Exited(child_id, child.ref, REASONS[why]))

    def handle(self) -> None:
        message = self.mailbox.popleft()
        if not isinstance(message, tuple):
            self.carry_out(decide(self.state(), message, now_s=self.now_s))
            return
        request, about = cast("tuple[str, Any]", message)
        plans: dict[str, Any] = {
            "start_child": plan_start_child,
            "terminate_child": plan_terminate_child,
            "restart_child": plan_restart_child,
            "delete_child": plan_delete_child,
        }
        if self.carry_out(plans[request](self.state(), about)):
            self.log.append("ok")

    def carry_out(self, plan: Plan[str]) -> bool:
        """Carry out all steps in order; say whether nothing failed or was refused."""
        for step in plan:
            match step:
                case Report(event=event):
                    self.log.extend(in_words(event))
                case Remember(window=window):
                    self.window = window
                case Put(child=child):
                    self.children[child.key] = child
                case Forget(keys=keys):
                    for key in keys:
                        del self.children[key]
                case Stop(keys=keys):
                    for key in keys:
                        self.stop(self.children[key])
                case Start(keys=keys):
                    for key in keys:
                        if not self.start(key, step):
                            return False
                case Retry(due=due) | Postpone(due=due):
                    self.mailbox.append(due)
                case Refuse(error=error):
                    self.log.append(type(error).__name__)
                    return False
                case End():
                    self.end()
        return True

    def start(self, key: ChildId, step: Start[str]) -> bool:
        child = self.children[key].attempted()
        result = self.begin(key)
        plan = after_start(self.state(), child, step, result)
        self.carry_out(plan)
        return not isinstance(result, Failed)

    def begin(self, key: ChildId) -> StartResult[str]:
        self.numbers[key] = self.numbers.get(key, 0) + 1
        ref = f"{key}#{self.numbers[key]}"
        planned = self.starts.get(str(key), [])
        how = planned.pop(0) if planned else "ok"
        self.log.append(f"start {ref}: {how}")
        if how == "ok":
            return Started(ref, self.now_s)
        return Ignored() if how == "ignore" else Failed(REASONS[how])

    def stop(self, child: Child[str]) -> None:
        if not child.is_running or child.ref is None:
            self.children[child.key] = child.stopped()
            return
        self.log.append(f"stop {child.ref}")
        reason = self.dead.setdefault(child.ref, Shutdown())
        self.carry_out(after_stop(self.state(), child, reason))

    def end(self) -> None:
        self.carry_out(plan_stop(self.state()))
        self.log.append("end")
        self.is_alive = False

    def table(self) -> list[tuple[ChildId, str]]:
        return [
            (key, "waits" if child.is_restarting else child.ref or "stopped")
            for key, child in self.children.items()
        ]


def in_words(event: TreeEvent) -> Iterator[str]:
    match event:
        case ChildCrashed(child_id=child_id, reason=reason):
            yield f"child_terminated {child_id}: {WORDS[reason]}"
        case ChildFailedToStart(child_id=child_id, reason=reason):
            yield f"start_error {child_id}: {WORDS[reason]}"
        case ChildFailedToStop(child_id=child_id, reason=reason):
            yield f"shutdown_error {child_id}: {WORDS[reason]}"
        case SupervisorGaveUp(child_id=child_id):
            yield f"gave up over {child_id}"
        case _:
            pass


class Model:
    """A supervisor in the plainest words."""

    def __init__(self, flags: SupervisorFlags, specs: list[ChildSpec], starts: Starts) -> None:
        self.flags, self.starts = flags, starts
        self.rows: list[dict[str, Any]] = []
        self.numbers: dict[str, int] = {}
        self.dead: dict[str, str] = {}
        self.mailbox: list[tuple[str, Any]] = []
        self.counted: list[float] = []
        self.log: list[str] = []
        self.now_s, self.is_alive = 0.0, True
        for spec in specs:
            self.rows.append(self.row(spec))
        for row in list(self.rows):
            failure = self.begin(row)
            if failure:
                self.log.append(f"start_error {row['id']}: {failure}")
                self.end()
                break

    def row(self, spec: ChildSpec) -> dict[str, Any]:
        return {
            "id": spec.id,
            "restart": spec.restart.value,
            "significant": spec.significant,
            "life": "stopped",
        }

    def find(self, child_id: str) -> dict[str, Any] | None:
        return next((row for row in self.rows if row["id"] == child_id), None)

    def die(self, child_id: str, why: str) -> None:
        row = self.find(child_id)
        if row and "#" in row["life"] and row["life"] not in self.dead:
            self.dead[row["life"]] = why
            self.mailbox.append(("died", (row["life"], why)))

    def handle(self) -> None:
        what, about = self.mailbox.pop(0)
        if what == "died":
            life, why = about
            row = next((row for row in self.rows if row["life"] == life), None)
            if row:
                self.died(row, why)
        elif what == "again":
            row, number = about
            # `is`: a child that was deleted and added again is another one.
            known = any(each is row for each in self.rows)
            if known and row["life"] == "waits" and self.numbers[row["id"]] == number:
                self.restart(row)
        else:
            self.log.append(self.answer(what, about))

    def died(self, row: dict[str, Any], why: str) -> None:
        is_orderly = why in {"normal", "shutdown", "bye"}
        if row["restart"] == "permanent" or not is_orderly:
            self.log.append(f"child_terminated {row['id']}: {why}")
        if row["restart"] == "permanent" or (row["restart"] == "transient" and not is_orderly):
            self.restart(row)
            return
        row["life"] = "stopped"
        if row["restart"] == "temporary":
            self.rows.remove(row)
        auto = self.flags.auto_shutdown.value
        left = [each for each in self.rows if each["significant"] and each["life"] != "stopped"]
        if row["significant"] and auto == "any_significant":
            self.end()
        if row["significant"] and auto == "all_significant" and not left:
            self.end()

    def restart(self, row: dict[str, Any]) -> None:
        self.counted.append(self.now_s)
        recent = [each for each in self.counted if self.now_s - each <= self.flags.period_s]
        assert self.flags.intensity is not None
        if len(recent) > self.flags.intensity:
            self.log.append(f"gave up over {row['id']}")
            row["life"] = "stopped"
            self.end()
            return
        place = self.rows.index(row)
        group = {
            "one_for_one": [row],
            "one_for_all": list(self.rows),
            "rest_for_one": self.rows[place:],
        }[self.flags.strategy.value]
        row["life"] = "stopped"
        for each in reversed(group):
            self.stop(each)
            if each["restart"] == "temporary":
                self.rows.remove(each)
        for each in group:
            failure = each["restart"] != "temporary" and self.begin(each)
            if failure:
                self.log.append(f"start_error {each['id']}: {failure}")
                each["life"] = "waits"
                self.mailbox.append(("again", (each, self.numbers[each["id"]])))
                return

    def begin(self, row: dict[str, Any]) -> str:
        number = self.numbers[row["id"]] = self.numbers.get(row["id"], 0) + 1
        how = (self.starts.get(row["id"]) or ["ok"])[0]
        self.starts[row["id"]] = self.starts.get(row["id"], [])[1:]
        self.log.append(f"start {row['id']}#{number}: {how}")
        if how == "ok":
            row["life"] = f"{row['id']}#{number}"
            return ""
        if how == "ignore":
            row["life"] = "stopped"
            if row["restart"] == "temporary":
                self.rows.remove(row)
            return ""
        return how

    def stop(self, row: dict[str, Any]) -> None:
        if "#" in row["life"]:
            self.log.append(f"stop {row['life']}")
            how = self.dead.setdefault(row["life"], "shutdown")
            if how in {"boom", "killed"} or (row["restart"] == "permanent" and how != "shutdown"):
                self.log.append(f"shutdown_error {row['id']}: {how}")
        row["life"] = "stopped"

    def answer(self, what: str, about: Any) -> str:
        if what == "start_child":
            return self.answer_start(about)
        row = self.find(about)
        if row is None:
            return "ChildNotFound"
        if what == "terminate_child":
            self.stop(row)
            if row["restart"] == "temporary":
                self.rows.remove(row)
            return "ok"
        if row["life"] == "waits":
            return "ChildIsRestarting"
        if row["life"] != "stopped":
            return "ChildIsRunning"
        if what == "delete_child":
            self.rows.remove(row)
            return "ok"
        return "StartFailed" if self.begin(row) else "ok"

    def answer_start(self, spec: ChildSpec) -> str:
        present = self.find(str(spec.id))
        if present:
            return "AlreadyStarted" if "#" in present["life"] else "AlreadyPresent"
        row = self.row(spec)
        self.rows.append(row)
        if self.begin(row):
            self.rows.remove(row)
            return "StartFailed"
        return "ok"

    def end(self) -> None:
        for row in reversed(self.rows):
            self.stop(row)
        self.log.append("end")
        self.is_alive = False

    def table(self) -> list[tuple[str, str]]:
        return [(row["id"], row["life"]) for row in self.rows]


RESTARTS = st.sampled_from([*RestartType, RestartType.PERMANENT])
IDS = st.sampled_from("abcde")
OUTCOMES = st.lists(st.sampled_from(["ok", "boom", "normal", "ignore"]), max_size=3)
FIRST_STATES = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(Strategy),
        "auto_shutdown": st.sampled_from(AutoShutdown),
        "intensity": st.sampled_from([5, 20, 2, 1, 0]),
        "restarts": st.lists(RESTARTS, min_size=3, max_size=4) | st.lists(RESTARTS, max_size=4),
        "starts": st.dictionaries(IDS, OUTCOMES, max_size=0) | st.dictionaries(IDS, OUTCOMES),
    }
)


class SupervisorAgainstModel(RuleBasedStateMachine):
    """Deaths, failing starts, requests and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.auto_shutdown = AutoShutdown.NEVER

    def lives(self) -> bool:
        return self.real.is_alive

    @initialize(drawn=FIRST_STATES)
    def begin(self, drawn: dict[str, Any]) -> None:
        self.start_over(**drawn)

    @precondition(lambda self: not self.lives())
    @rule(drawn=FIRST_STATES)
    def begin_again(self, drawn: dict[str, Any]) -> None:
        self.start_over(**drawn)

    def start_over(
        self,
        strategy: Strategy,
        auto_shutdown: AutoShutdown,
        intensity: int,
        restarts: list[RestartType],
        starts: Starts,
    ) -> None:
        self.auto_shutdown = auto_shutdown
        flags = SupervisorFlags(strategy=strategy, intensity=intensity, auto_shutdown=auto_shutdown)
        specs = [self.spec(*each) for each in zip("abcd", restarts, strict=False)]
        self.real = Simulated(flags, specs, {key: [*each] for key, each in starts.items()})
        self.model = Model(flags, specs, {key: [*each] for key, each in starts.items()})

    def spec(self, child_id: str, restart: RestartType) -> ChildSpec:
        may_be = self.auto_shutdown is not AutoShutdown.NEVER
        significant = may_be and restart is not RestartType.PERMANENT and child_id != "b"
        return ChildSpec(id=child_id, start=dict, restart=restart, significant=significant)

    @precondition(lives)
    @rule(place=st.integers(0, 3), why=st.sampled_from(sorted(REASONS)))
    def die(self, place: int, why: str) -> None:
        running = [str(key) for key, child in self.real.children.items() if child.is_running]
        if running:
            child_id = running[place % len(running)]
            self.real.die(child_id, why)
            self.model.die(child_id, why)

    @precondition(lives)
    @rule(place=st.integers(0, 3))
    def crash(self, place: int) -> None:
        self.die(place, "boom")
        self.handle_all()

    @precondition(lives)
    @rule(child_id=IDS, outcomes=OUTCOMES)
    def fail_starts(self, child_id: str, outcomes: list[str]) -> None:
        self.real.starts[child_id] = [*outcomes]
        self.model.starts[child_id] = [*outcomes]

    @precondition(lives)
    @rule(request=st.sampled_from(REQUESTS), child_id=IDS, restart=RESTARTS)
    def ask(self, request: str, child_id: str, restart: RestartType) -> None:
        about = self.spec(child_id, restart) if request == "start_child" else child_id
        self.real.mailbox.append((request, about))
        self.model.mailbox.append((request, about))

    @precondition(lives)
    @rule(seconds=st.sampled_from([0, 1, 3, 5, 6]))
    def wait(self, seconds: int) -> None:
        self.real.now_s += seconds
        self.model.now_s += seconds

    @precondition(lambda self: self.lives() and self.real.mailbox)
    @rule()
    def handle(self) -> None:
        self.real.handle()
        self.model.handle()

    @precondition(lives)
    @rule()
    def handle_all(self) -> None:
        while self.real.is_alive and self.real.mailbox:
            self.handle()

    @invariant()
    def they_did_the_same(self) -> None:
        assert self.real.log == self.model.log
        assert self.real.is_alive == self.model.is_alive
        assert len(self.real.mailbox) == len(self.model.mailbox)
        if self.real.is_alive:
            assert self.real.table() == self.model.table()

    @invariant()
    def nothing_counts_more_than_it_may(self) -> None:
        window = self.real.window
        assert window is not None
        assert len(window.restarts) <= window.intensity


TestSupervisorAgainstModel = SupervisorAgainstModel.TestCase
TestSupervisorAgainstModel.settings = settings(
    max_examples=examples.of(200), stateful_step_count=50
)
