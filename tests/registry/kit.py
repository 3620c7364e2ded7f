"""What the tests of the registry share: actors that register, and entries without their type."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from callboard.supervision import ActorRef, ActorSystem, Registry, RegistryEntry
from tests.runtime.kit import Do, Puppet, Trapping

__all__ = ["Trapping", "actor", "entries", "join", "ways_to_end"]


def actor(system: ActorSystem, kind: type[Puppet] = Puppet, **options: Any) -> ActorRef[Any]:
    """Start an actor and wait until it is there."""
    return system.spawn(kind, **options).wait_started()


def join(ref: ActorRef[Any], registry: Registry[Any, Any], key: Any, value: Any = None) -> None:
    """Have an actor register itself; what is refused is raised here, and the actor lives."""

    def register(_actor: Any) -> Exception | None:
        try:
            registry.register(key, value)
        except Exception as error:  # noqa: BLE001 -- the test's own code looks at it
            return error
        return None

    refused = ref.ask(Do(register))
    if refused is not None:
        raise refused


def entries(found: Iterable[RegistryEntry[Any]]) -> list[tuple[Any, Any]]:
    """Return owner and value of each."""
    return [(each.owner, each.value) for each in found]


def _stop(ref: ActorRef[Any]) -> None:
    ref.stop()


def _kill(ref: ActorRef[Any]) -> None:
    ref.kill()


def _crash(ref: ActorRef[Any]) -> None:
    def boom(_actor: Any) -> None:
        raise RuntimeError

    ref.tell(Do(boom))


ways_to_end: dict[str, Callable[[ActorRef[Any]], None]] = {
    "stop": _stop,
    "kill": _kill,
    "crash": _crash,
}
"""How an actor may end: for `parametrize`."""
