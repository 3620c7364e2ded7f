"""What a scenario does with registries, and with the names in them."""

from __future__ import annotations

from typing import Any

from callboard.supervision import (
    ANY,
    AlreadyRegistered,
    CallboardError,
    DeliveryError,
    Keys,
    NotRegistered,
    Registry,
    StartFailed,
)
from scripts.tracing.company import RAISES, Action, Company, key_of, who_of
from scripts.tracing.players import Perform, Process, Trapping
from scripts.tracing.vocabulary import is_list, is_object, term_of

_ANYTHING = "_"
"""How a recording writes the hole of a match pattern."""

_ABSENT = object()


class Registries:
    """Registries: who registers, who asks.

    Args:
        company: who is who.
    """

    def __init__(self, company: Company) -> None:
        self._company = company
        self._registries: dict[str, Registry[Any, Any]] = {}

    def _do_registry_start(self, action: Action) -> Any:
        name = action["reg"]
        registry: Registry[Any, Any] = Registry(
            self._company.system,
            name,
            keys=Keys(action.get("keys", "unique")),
            listeners=tuple(map(self._listener, action.get("listeners", ()))),
        )
        try:
            self._company.enter(name, registry.start())
        except CallboardError:
            return {"error": {"already_started": name}}
        self._registries[name] = registry
        return "ok"

    def _listener(self, name: str) -> str:
        """Return the name that a listener has: its own, or that of the process, given now."""
        if self._company.system.lookup(name) is None and name in self._company.refs:
            self._company.system.register(name, self._company.refs[name])
        return name

    def _registry(self, action: Action) -> Registry[Any, Any]:
        return self._registries[action["reg"]]

    def _do_register(self, action: Action) -> Any:
        registry = self._registry(action)
        answer = self._company.have(
            action["in"], lambda _: registry.register(key_of(action), action.get("value"))
        )
        return self._registered(answer, "already_registered")

    def _registered(self, answer: Any, taken: str) -> Any:
        match answer:
            case AlreadyRegistered(holder=holder):
                return {"error": {taken: self._company.name_of(holder)}}
            case Exception():
                return RAISES
            case None:
                return "ok"
            case _:
                return answer

    def _do_unregister(self, action: Action) -> Any:
        registry = self._registry(action)
        return self._registered(
            self._company.have(action["in"], lambda _: registry.unregister(key_of(action))), ""
        )

    def _do_unregister_match(self, action: Action) -> Any:
        registry, pattern = self._registry(action), _pattern(action["pattern"])
        answer = self._company.have(
            action["in"], lambda _: registry.unregister_match(key_of(action), pattern)
        )
        return self._registered(answer, "")

    def _do_update_value(self, action: Action) -> Any:
        registry = self._registry(action)

        def update(_process: Any) -> Any:
            return registry.update_value(key_of(action), lambda value: value + action["add"])

        answer = self._company.have(action["in"], update)
        match answer:
            case NotRegistered():
                return "error"
            case Exception():
                return RAISES
            case (new, old):
                return [new, old]
            case _:
                return answer

    def _do_lookup(self, action: Action) -> Any:
        return self._listed(self._registry(action).lookup(key_of(action)))

    def _do_match(self, action: Action) -> Any:
        registry = self._registry(action)
        return self._listed(registry.match(key_of(action), _pattern(action["pattern"])))

    def _do_count_match(self, action: Action) -> Any:
        return self._registry(action).count_match(key_of(action), _pattern(action["pattern"]))

    def _do_dispatch(self, action: Action) -> Any:
        given: list[Any] = []
        self._registry(action).dispatch(key_of(action), given.extend)
        return self._listed(given)

    def _listed(self, entries: Any) -> list[Any]:
        return [[self._company.name_of(each.owner), each.value] for each in entries]

    def _do_keys(self, action: Action) -> Any:
        return [*map(_plain, self._registry(action).keys(self._company.ref(who_of(action))))]

    def _do_values(self, action: Action) -> Any:
        return [*self._registry(action).values(key_of(action), self._company.ref(who_of(action)))]

    def _do_count(self, action: Action) -> Any:
        return self._registry(action).count()

    def _do_meta(self, action: Action) -> Any:
        value = self._registry(action).meta(key_of(action), _ABSENT)
        return "error" if value is _ABSENT else {"ok": value}

    def _do_put_meta(self, action: Action) -> Any:
        self._registry(action).put_meta(key_of(action), action["value"])
        return "ok"

    # -- names in a registry -----------------------------------------------

    def _do_via_start(self, action: Action) -> Any:
        kind = Trapping if action.get("trap_exit") else Process
        name = action["proc"]
        try:
            via = self._registry(action).via(key_of(action), action.get("value"))
            ref = via.spawn(kind, name).wait_started()
        except AlreadyRegistered as taken:
            return self._registered(taken, "already_started")
        except StartFailed as failed:
            reason: Any = failed.reason
            return {"error": term_of(reason)}
        except CallboardError:
            return RAISES
        self._company.enter(name, ref)
        return "ok"

    def _do_via_call(self, action: Action) -> Any:
        message = action.get("msg")
        via = self._registry(action).via(key_of(action), None)
        try:
            return {"ok": via.ask(Perform(lambda _: message))}
        except DeliveryError:
            return {"exit": "noproc"}

    def _do_via_send(self, action: Action) -> Any:
        try:
            self._registry(action).via(key_of(action), None).tell(action["msg"])
        except CallboardError:
            return RAISES
        return "ok"

    def _do_via_whereis(self, action: Action) -> Any:
        ref = self._registry(action).whereis(key_of(action))
        return None if ref is None else self._company.name_of(ref)


def _plain(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    values: Any = value  # pyright: ignore[reportUnknownVariableType]  # of anything
    return [*map(_plain, values)]


def _pattern(pattern: Any) -> Any:
    if pattern == _ANYTHING:
        return ANY
    if is_list(pattern):
        return [*map(_pattern, pattern)]
    return {key: _pattern(each) for key, each in pattern.items()} if is_object(pattern) else pattern
