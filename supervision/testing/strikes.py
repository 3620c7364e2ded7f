"""Does a fault of the plan strike here? Each answer is a decision of the schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar

from callboard.supervision.testing.faults import ANY, HOOKS, Fault, FaultPlan
from callboard.supervision.testing.trace import name_in_line

if TYPE_CHECKING:
    from callboard.supervision.runtime.chance import Stream
    from callboard.supervision.runtime.incarnation import Incarnation
    from callboard.supervision.testing.explore import Explorer

F = TypeVar("F", bound=Fault)


class Rule:
    """One fault of a plan in one schedule: how likely it is there, and how often it struck.

    Args:
        fault: what the plan says.
        label: what tells it from the others of the plan.
        rate: what this seed has drawn for it.
    """

    __slots__ = ("_turns", "fault", "label", "rate", "struck")

    def __init__(self, fault: Fault, label: str, rate: float) -> None:
        self.fault = fault
        self.label = label
        self.rate = rate
        self.struck = 0
        self._turns: Counter[str] = Counter()

    def is_on(self, on: str) -> bool:
        """Say whether it strikes in the middle of this. A hook is meant by its own name only."""
        return self.fault.on == on if on in HOOKS else fnmatchcase(on, self.fault.on)

    def next_probability(self, whom: str) -> float:
        """Return how likely it strikes now; each call is one time that it could."""
        fault = self.fault
        self._turns[whom] += 1
        if self.struck >= fault.most:
            return 0.0
        if fault.nth is None:
            return self.rate
        return float(self._turns[whom] == fault.nth)


class Strikes:
    """The faults of a plan in one schedule.

    Args:
        plan: what may go wrong.
        order: decides.
        note: adds to the trace.
        stream: where the rates are drawn from, by purpose.
    """

    def __init__(
        self,
        plan: FaultPlan,
        order: Explorer,
        note: Callable[[tuple[str | float, ...]], object],
        stream: Callable[[str], Stream],
    ) -> None:
        self._order = order
        self._note = note
        self.is_over = False
        """Whether nothing strikes any more."""
        self._undo: list[Callable[[], object]] = []
        seen: Counter[str] = Counter()
        self.rules: list[Rule] = []
        for fault in plan.faults:
            seen[fault.name] += 1
            number = seen[fault.name]
            label = fault.name if number == 1 else f"{fault.name} {number}"
            rates = fault.rates if fault.rate is None else fault.rate
            if isinstance(rates, tuple):
                rates = rates[int(stream(f"rate of {label}").random() * len(rates))]
            self.rules.append(Rule(fault, label, rates))

    def against(self, kind: type[Fault], cell: Incarnation[Any]) -> list[Rule]:
        """Return what of a kind may strike this actor."""
        rules = [each for each in self.rules if isinstance(each.fault, kind)]
        return [each for each in rules if _is_meant(each.fault.of, cell)] if rules else []

    def falls(self, rule: Rule, who: str, on: str, *, whom: str | None = None) -> bool:
        """Decide whether a fault strikes now; note it if it does.

        Args:
            rule: the fault.
            who: the name of whoever it would strike, of this incarnation.
            on: in the middle of what.
            whom: the name that all his incarnations have; the same unless given.
        """
        if self.is_over:
            return False
        probability = rule.next_probability(who if whom is None else whom)
        label = rule.label if on in HOOKS else f"{rule.label} ({on})"
        if not self._order.happens(label, who, probability):
            return False
        rule.struck += 1
        self._note(("fault", rule.fault.name, who, rule.fault.tells(who, on)))
        return True

    def first(self, rules: Sequence[Rule], cell: Incarnation[Any], on: str) -> Fault | None:
        """Return the first of these that strikes an actor now."""
        for rule in rules:
            if rule.is_on(on) and self.falls(rule, name_in_line(cell), on, whom=cell.name):
                return rule.fault
        return None

    def at_port(self, kind: type[F], of: str, on: str) -> F | None:
        """Return the first fault of a kind that strikes a port's work for somebody now."""
        for rule in self.rules:
            fault = rule.fault
            if (
                isinstance(fault, kind)
                and fnmatchcase(of, fault.of)
                and rule.is_on(on)
                and self.falls(rule, of, on)
            ):
                return fault
        return None

    @contextmanager
    def kept_off(self) -> Generator[None]:
        """Let nothing strike meanwhile."""
        before, self.is_over = self.is_over, True
        try:
            yield
        finally:
            self.is_over = before

    def at_end(self, undo: Callable[[], object]) -> None:
        """Have `undo()` called when the faults are over; twice does no harm."""
        self._undo.append(undo)

    def end(self) -> None:
        """Let nothing strike any more, and what hangs go on."""
        self.is_over = True
        while self._undo:
            self._undo.pop()()


def _is_meant(of: str, cell: Incarnation[Any]) -> bool:
    """Say whether a pattern means this actor."""
    actor: Any = cell.actor
    kind: Any = cell.actor_class if actor is None else actor.__class__
    if of == ANY:
        return not (kind.is_system or getattr(kind, "is_spared", False))
    names = [cell.name, cell.path, *(each.__name__ for each in kind.__mro__)]
    return any(fnmatchcase(each, of) for each in names)
