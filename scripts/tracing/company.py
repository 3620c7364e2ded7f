"""Who is who in a scenario of part 2, and how one of them is made to act."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from callboard.supervision import ActorRef, CallboardError
from scripts.tracing.players import Perform, Trapping
from scripts.tracing.vocabulary import UnknownWord, is_list
from scripts.tracing.worlds import World

Ref: TypeAlias = ActorRef[Any]
Action: TypeAlias = Mapping[str, Any]

DRIVER: Final = "driver"
"""Who does what nobody in the scenario does."""

NOT_ALIVE: Final = {"error": "not_alive"}
RAISES: Final = {"raise": "ArgumentError"}


class Company:
    """All that a scenario speaks of, by its names.

    Args:
        world: where it is played.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.system = world.system
        self._attempts: Counter[str] = Counter()
        self.refs: dict[str, Ref] = {}
        self._names: dict[Ref, str] = {}
        self._newest: dict[str, str] = {}
        """Of a child: its name with the number of its latest start."""
        self.wanted: set[str] = set()
        """The names of children that were to be started; not all came up."""
        self.starts: list[dict[str, Any]] = []
        """The start attempts of this step, in order."""
        self.enter(DRIVER, self.system.spawn(Trapping, DRIVER))
        world.settle()

    def attempt(self, child: Mapping[str, Any]) -> tuple[str, str]:
        """Count a start; return what becomes of it and what that process is called."""
        name: str = child["name"]
        self._attempts[name] += 1
        number = self._attempts[name]
        init = child.get("init", "ok")
        outcome = init[min(number, len(init)) - 1] if is_list(init) else init
        return outcome, f"{name}#{number}"

    def started(self, who: str, ref: Ref, said: dict[str, Any]) -> None:
        """Note a child that has started."""
        self.starts.append({"ev": "start", "who": who, **said})
        self.enter(who, ref)
        self._newest[who.partition("#")[0]] = who

    def knows(self, name: str) -> bool:
        """Whether somebody ever had the name."""
        return name in self.refs or name in self._newest

    # -- who is who --------------------------------------------------------

    def enter(self, name: str, ref: Ref) -> None:
        """Know somebody by a name from now on."""
        self.refs[name] = ref
        self._names[ref] = name

    def ref(self, name: str) -> Ref:
        """Return whoever has a name, dead or alive; of a child its newest start.

        Raises:
            UnknownWord: nobody ever had it.
        """
        ref = self.refs.get(self._newest.get(name, name))
        if ref is None:
            msg = f"there is no process {name!r}"
            raise UnknownWord(msg)
        return ref

    def name_of(self, who: object) -> Any:
        """Return the name of a ref; what is none stands for itself."""
        if not isinstance(who, ActorRef):
            return who
        ref: Ref = who  # pyright: ignore[reportUnknownVariableType]  # of any actor
        return self._names.get(ref, repr(ref))

    def have(self, name: str, act: Callable[[Any], Any]) -> Any:
        """Have a process do something; what it may not do is an answer, and it lives."""

        def act_and_live(process: Any) -> Any:
            try:
                return act(process)
            except (CallboardError, TypeError) as error:
                return error

        ref = self.ref(name)
        if not ref.is_alive():
            return NOT_ALIVE
        return ref.ask(Perform(act_and_live))


# -- words -----------------------------------------------------------------


def who_of(action: Action) -> str:
    """Return the process that an action is about, or that does it."""
    who: str = action.get("proc") or action["in"]
    return who


def key_of(action: Action) -> Any:
    """Return a key: lists of a file are tuples of ours."""
    return _frozen(action["key"])


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if is_list(value) else value
