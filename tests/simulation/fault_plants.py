"""Bugs, planted in the real library, that show only when something else goes wrong.

    python -m tests.simulation.fault_plants

prints in how many of 300 schedules of the mixed world each of them is found, and by which law.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from callboard.actors import StoreError
from callboard.actors.sessions.committing import CommittingActor
from callboard.actors.sessions.log import Log
from callboard.supervision import Address, MailboxFull
from callboard.supervision.runtime.ending import EndingCell
from callboard.supervision.testing import LawBroken, Simulation
from tests.simulation.mixed import PLAN, mixed
from tests.simulation.plants import (
    forget_that_a_wait_was_cancelled,
    let_timers_outlive_their_actor,
)

SCHEDULES = 300

Plant = Callable[[pytest.MonkeyPatch], None]


def lose_the_down_of_a_bad_cleanup(patch: pytest.MonkeyPatch) -> None:
    """A crash in `terminate`: nobody but the supervisor hears of the end."""
    cell: Any = EndingCell
    right = cell._cleaned

    def cleaned(self: Any, reason: Any, result: Any, error: Any) -> None:
        if error is not None:
            self.bonds = None
        right(self, reason, result, error)

    patch.setattr(EndingCell, "_cleaned", cleaned)


def confirm_what_is_refused(patch: pytest.MonkeyPatch) -> None:
    """A store that refuses: whoever asked hears nothing of it."""
    actor: Any = CommittingActor
    right = actor._keep

    def keep(self: Any, draft: Any) -> None:
        with suppress(StoreError):
            right(self, draft)

    patch.setattr(CommittingActor, "_keep", keep)


def append_again_what_is_sent_again(patch: pytest.MonkeyPatch) -> None:
    """A kill after the commit, or a store that dies: the next try does not find the first."""

    def find(self: Any, key: str) -> None:
        del self, key

    patch.setattr(Log, "find", find)


def drop_what_is_told_to_a_full_mailbox(patch: pytest.MonkeyPatch) -> None:
    """A full mailbox: who tells is not told, nor is there a dead letter."""
    address: Any = Address
    right = address.tell

    def tell(self: Any, message: Any) -> None:
        with suppress(MailboxFull):
            right(self, message)

    patch.setattr(Address, "tell", tell)


PLANTS: dict[str, Plant] = {
    "crash in terminate loses the Down": lose_the_down_of_a_bad_cleanup,
    "a refused commit is confirmed": confirm_what_is_refused,
    "what is sent again is appended again": append_again_what_is_sent_again,
    "a timer that fires twice starts a child twice": forget_that_a_wait_was_cancelled,
    "timer of a dead incarnation": let_timers_outlive_their_actor,
    "a full mailbox swallows": drop_what_is_told_to_a_full_mailbox,
}


def failures_of(seeds: range, *, has_faults: bool = True) -> Iterator[str]:
    """Yield what breaks, of every schedule in which something does."""
    for seed in seeds:
        try:
            with Simulation(seed, faults=PLAN if has_faults else None) as sim:
                mixed(sim)
        except LawBroken as error:
            yield str(error).partition(": ")[2].partition(":")[0]
        except AssertionError:
            yield "an assertion"


def main() -> None:
    """Print how often each is found."""
    logging.disable(logging.CRITICAL)
    for name, plant in PLANTS.items():
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            found = Counter(failures_of(range(SCHEDULES)))
            without = sum(1 for _ in failures_of(range(SCHEDULES), has_faults=False))
        laws = ", ".join(f"{law}: {times}" for law, times in found.most_common())
        sys.stdout.write(f"{name}\t{found.total()}\t{laws}\twithout faults: {without}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
