"""Part 2: registries, monitors, links, dynamic and partition supervisors.

Every process of a scenario is an actor that keeps what it gets, and does as itself what the
scenario has it do. It has no selective receive: what a recording finds in a mailbox is what the
actor was given and has kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from callboard.supervision import (
    ActorDeadError,
    CallboardError,
    Down,
    Exit,
    Registered,
    Unregistered,
)
from scripts.tracing.company import DRIVER, NOT_ALIVE, RAISES, Action, Company, Ref, who_of
from scripts.tracing.dynamic import DynamicSupervisors, PartitionSupervisors
from scripts.tracing.players import Perform, Process, Trapping
from scripts.tracing.registries import Registries
from scripts.tracing.vocabulary import ScriptedError, UnknownWord, reason_of, term_of
from scripts.tracing.worlds import SimulatedWorld, World


def run(scenario: Mapping[str, Any], world: World | None = None) -> dict[str, Any]:
    """Run one scenario and return `{"steps": [{"action", "result", "starts"?}, ...]}`.

    Args:
        scenario: the file without its `expect`.
        world: where; a simulation of its own unless given. It is closed in the end.

    Raises:
        UnknownWord: the scenario says something that is not understood.
    """
    world = SimulatedWorld() if world is None else world
    try:
        company = Company(world)
        actors = [
            group(company)
            for group in (Processes, Names, Registries, DynamicSupervisors, PartitionSupervisors)
        ]
        return {"steps": [_step(company, actors, action) for action in scenario["actions"]]}
    finally:
        world.close()


def _step(company: Company, actors: list[Any], action: Action) -> dict[str, Any]:
    """Do one action, wait until all is quiet, and say what happened."""
    do = f"_do_{action['do']}"
    act = next((getattr(each, do) for each in actors if hasattr(each, do)), None)
    if act is None:
        msg = f"there is no action {action['do']!r}"
        raise UnknownWord(msg)
    company.starts = []
    result = act(action)
    company.world.settle()
    if callable(result):  # it shows only when all is quiet
        result = result()
    seen = {"starts": company.starts} if company.starts else {}
    return {"action": action, "result": result, **seen}


class Processes:
    """Processes, messages, signals, monitors and links.

    Args:
        company: who is who.
    """

    def __init__(self, company: Company) -> None:
        self._company = company

    # -- processes ---------------------------------------------------------

    def _do_spawn(self, action: Action) -> str:
        kind = Trapping if action.get("trap_exit") else Process
        name = action["proc"]
        self._company.enter(name, self._company.system.spawn(kind, name).wait_started())
        return "ok"

    def _do_exit(self, action: Action) -> Any:
        reason = reason_of(action["reason"])
        return self._tell(action, lambda process: process.stop(reason))

    def _do_crash(self, action: Action) -> Any:
        def crash(_process: Any) -> None:
            raise ScriptedError(str(action["reason"]))

        return self._tell(action, crash)

    def _tell(self, action: Action, act: Callable[[Any], Any]) -> Any:
        if not self._lives(action):
            return NOT_ALIVE
        self._company.ref(action["proc"]).tell(Perform(act))
        return "ok"

    def _do_kill(self, action: Action) -> Any:
        if not self._lives(action):
            return NOT_ALIVE
        self._company.ref(action["proc"]).kill()
        return "ok"

    def _do_signal(self, action: Action) -> Any:
        target, sender = self._company.ref(action["proc"]), action.get("in", DRIVER)

        def send(process: Any) -> str:
            if action["reason"] == "kill":
                target.kill()
            else:
                target.exit_from(process.actor_ref, reason_of(action["reason"]))
            return "ok"

        if self._company.ref(sender) is not target:
            return self._company.have(sender, send)
        if not target.is_alive():
            return NOT_ALIVE
        target.tell(Perform(send))
        return lambda: "ok" if target.reason is None else {"exit": term_of(target.reason)}

    def _do_alive(self, action: Action) -> bool:
        return self._lives(action)

    def _lives(self, action: Action) -> bool:
        """Say whether there is such a process; a child may never have come up."""
        name = action["proc"]
        if name in self._company.wanted and not self._company.knows(name):
            return False
        return self._company.ref(name).is_alive()

    def _do_send(self, action: Action) -> Any:
        target = self._company.ref(action["proc"])

        def send(_process: Any) -> str:
            try:
                target.tell(action["msg"])
            except ActorDeadError:
                return "ok"  # Erlang drops it, and says nothing
            return "ok"

        return self._company.have(action.get("in", DRIVER), send)

    def _do_inbox(self, action: Action) -> Any:
        def take(process: Process) -> list[Any]:
            inbox, process.inbox = process.inbox, []
            refs = {number: ref for ref, number in process.monitors.items()}
            return [self._message(each, refs) for each in inbox]

        return self._company.have(action["proc"], take)

    def _message(self, message: object, monitors: Mapping[int, str]) -> dict[str, Any]:
        match message:
            case Down(monitor=monitor, who=who, reason=reason):
                ref = monitors.get(monitor)
                said = {"ref": ref, "who": self._company.name_of(who), "reason": term_of(reason)}
                return {"DOWN": said}
            case Exit(who=who, reason=reason):
                return {"EXIT": {"from": self._company.name_of(who), "reason": term_of(reason)}}
            case Registered(registry=registry, key=key, owner=owner, value=value):
                who = self._company.name_of(owner)
                return {"registered": {"reg": registry, "key": key, "who": who, "value": value}}
            case Unregistered(registry=registry, key=key, owner=owner):
                return {
                    "unregistered": {
                        "reg": registry,
                        "key": key,
                        "who": self._company.name_of(owner),
                    }
                }
            case _:
                return {"msg": message}

    def _do_sleep(self, action: Action) -> str:
        self._company.world.advance(action["ms"] / 1000)
        return "ok"

    # -- monitors and links ------------------------------------------------

    def _do_monitor(self, action: Action) -> Any:
        return self._monitor(action, self._company.ref(action["target"]))

    def _do_monitor_name(self, action: Action) -> Any:
        return self._monitor(action, action.get("name") or action["target"])

    def _monitor(self, action: Action, target: Ref | str) -> Any:
        def monitor(process: Process) -> str:
            process.monitors[action["as"]] = process.monitor(target)
            return "ok"

        return self._company.have(action["in"], monitor)

    def _do_demonitor(self, action: Action) -> Any:
        options = action.get("options", ())

        def demonitor(process: Process) -> bool:
            number = process.monitors[action["ref"]]
            was_active = process.demonitor(number, flush="flush" in options)
            if "flush" in options:
                process.flush(number)
            return was_active if "info" in options else True

        return self._company.have(action["in"], demonitor)

    def _do_link(self, action: Action) -> Any:
        return self._true(
            action["in"], lambda process: process.link(self._company.ref(action["to"]))
        )

    def _do_unlink(self, action: Action) -> Any:
        return self._true(
            action["in"], lambda process: process.unlink(self._company.ref(action["to"]))
        )

    def _true(self, name: str, act: Callable[[Any], object]) -> Any:
        answer = self._company.have(name, act)
        if isinstance(answer, Exception):
            return RAISES
        return True if answer is None else answer


class Names:
    """Plain names.

    Args:
        company: who is who.
    """

    def __init__(self, company: Company) -> None:
        self._company = company

    def _do_register_name(self, action: Action) -> Any:
        ref = self._company.ref(who_of(action))
        try:
            self._company.system.register(action["name"], ref)
        except CallboardError:
            return RAISES
        return True

    def _do_unregister_name(self, action: Action) -> Any:
        try:
            self._company.system.unregister(action["name"])
        except CallboardError:
            return RAISES
        return True

    def _do_whereis_name(self, action: Action) -> Any:
        address = self._company.system.lookup(action["name"])
        ref = None if address is None else address.ref
        return None if ref is None else self._company.name_of(ref)
