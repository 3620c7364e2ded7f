"""What was written to a store, what it has acknowledged, and what must be there afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

SESSIONS = ("ada", "bob", "eve")


class Part(NamedTuple):
    """What one transaction adds to one session.

    Args:
        messages: how many.
        size: bytes of each.
    """

    messages: int
    size: int


def parts(number: int) -> Mapping[str, Part]:
    """Return what transaction `number` adds to each session; the same every time."""
    return {
        session: Part(1 + (number + place) % 3, 100 + 700 * ((number * 5 + place) % 3))
        for place, session in enumerate(SESSIONS)
    }


def body(number: int, size: int) -> bytes:
    """Return a message of a transaction: text that says which."""
    return b'"%d %s"' % (number, b"x" * size)


def number_in(text: bytes) -> int:
    """Return which transaction a message is of."""
    return int(text.strip(b'"').split()[0])


class Keeper(Protocol):
    """A store under test."""

    def write(self, number: int) -> None:
        """Keep transaction `number`; what it raises says that it was not acknowledged."""
        ...

    def found(self) -> dict[str, list[int]]:
        """Return for each session the transaction of each message, in order.

        Raises:
            AssertionError: the database is not sound, or it contradicts itself.
        """
        ...


class Ledger:
    """Which transactions were tried, and which were acknowledged."""

    def __init__(self) -> None:
        self.tried = 0
        self.acknowledged: set[int] = set()
        self.refused: set[int] = set()
        """Those of which the store has said that nothing was kept."""

    def write(self, keeper: Keeper, transactions: int) -> None:
        """Have so many transactions kept, one after the other."""
        for _ in range(transactions):
            number = self.next_number()
            keeper.write(number)
            self.acknowledged.add(number)

    def next_number(self) -> int:
        """Return the number of a transaction that is to be tried now."""
        self.tried += 1
        return self.tried

    def broken(self, keeper: Keeper) -> str | None:
        """Return what is wrong with what a store has; None: nothing."""
        try:
            found = keeper.found()
        except AssertionError as error:
            return str(error)
        numbers = sorted({each for inside in found.values() for each in inside})
        lost = sorted(self.acknowledged.difference(numbers))
        if lost:
            return f"acknowledged and not there: {lost} of {self.tried}"
        if self.refused.intersection(numbers):
            return f"refused and there: {sorted(self.refused.intersection(numbers))}"
        for number in numbers:
            for session, part in parts(number).items():
                inside = found.get(session, [])
                if inside.count(number) != part.messages:
                    return f"transaction {number} is not there as a whole: {session} has {inside}"
        for session, inside in found.items():
            if inside != sorted(inside):
                return f"{session} is out of order: {inside}"
        return None
