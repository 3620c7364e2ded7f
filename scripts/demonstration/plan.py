"""What crashes when, and do the default budgets bear it? Decided before anything runs, by a seed.

Whether a crash comes in the first second or the last is left to the load, so
the plan trusts no clock: all crashes of one supervisor's children together stay
within the restarts that it may count in any one window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Final, Literal, TypeAlias

import msgspec

RESTARTS_OF_SUPERVISOR: Final = 10
"""Restarts of its children that a supervisor bears in 60 s, unless told otherwise."""

RESTARTS_OF_SESSION: Final = 3
"""Restarts of one session in 60 s before it is quarantined."""

PARTITIONS: Final = 8
"""Partitions of the demonstration's daemon; each crashes once."""

MANAGER_STRIKES: Final = 8
"""How often the manager crashes: with the janitor's once, `front` is left one to spare."""

DEATHS: Final = 5
"""How often the daemon as a whole is killed, where its store outlives it."""

DEATHS_QUICK: Final = 3
"""The same, in a quick run."""

SESSIONS_STRUCK_PER_MILLE: Final = 42
"""Of 1,000 sessions, how many crash: 320 of the whole corpus."""

STRUCK_AGAIN_PER_MILLE: Final = 3
"""Of 1,000 sessions, how many crash a second time."""

QUARANTINED_PER_MILLE: Final = 2
"""Of 1,000 sessions, how many crash until they are quarantined, and are revived."""

How: TypeAlias = Literal["exception", "kill"]
"""By an exception (an abnormal exit signal, where it is a supervisor) or by a kill."""

HOWS: Final[tuple[How, How]] = ("exception", "kill")


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the daemon's tree that can crash, by their paths below the root.

    Args:
        partitions: the supervisors that sessions stand under.
        manager: the session manager.
        others: every other part, the lines themselves included.
    """

    partitions: tuple[str, ...]
    manager: str
    others: tuple[str, ...]


class SessionStrike(msgspec.Struct, frozen=True, kw_only=True):
    """A crash of one session, while one of its messages is being sent.

    Args:
        index: which message, from 0; one more than there are: the session has nothing to do.
        how: in which way.
    """

    index: int
    how: How


class PartStrike(msgspec.Struct, frozen=True, kw_only=True):
    """A crash of a part of the tree.

    Args:
        at: when: after this part of all messages, from 0 to 1.
        part: its path.
        how: in which way.
    """

    at: float
    part: str
    how: How


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the whole daemon by SIGKILL; it is started again with the same store.

    Args:
        at: when: after this part of all messages, from 0 to 1.
    """

    at: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that will crash.

    Args:
        sessions: by the conversation's place in the corpus.
        quarantined: before which message, from 0, a session is brought into quarantine and
            revived; by the conversation's place in the corpus.
        parts: in the order of their time.
        deaths: of the whole daemon, in the order of their time.
    """

    sessions: Mapping[int, tuple[SessionStrike, ...]]
    quarantined: Mapping[int, int]
    parts: tuple[PartStrike, ...]
    deaths: tuple[Death, ...] = ()

    @property
    def blows(self) -> tuple[PartStrike | Death, ...]:
        """All that strikes the tree or the daemon, in the order of its time."""
        return tuple(sorted((*self.parts, *self.deaths), key=lambda blow: blow.at))

    def spent(self) -> Mapping[str, int]:
        """Return the restarts that each supervisor of the tree must count, by its path."""
        return Counter(strike.part.rpartition("/")[0] or "root" for strike in self.parts)


class PlanOverdrawnError(Exception):
    """The plan would spend a budget: the daemon would give up, and rightly so."""


def make_plan(*, seed: int, lengths: Sequence[int], outline: Outline, deaths: int = 0) -> Plan:
    """Return what crashes when, by a seed.

    Args:
        seed: the same seed gives the same plan.
        lengths: how many messages each conversation has.
        outline: what the tree consists of.
        deaths: how often the daemon is killed: once in each of so many equal parts of the run.

    Raises:
        PlanOverdrawnError: the default budgets would not bear it.
    """
    random = Random(seed)  # noqa: S311 -- it guards no secret
    struck = -(-len(lengths) * SESSIONS_STRUCK_PER_MILLE // 1000)
    again = -(-len(lengths) * STRUCK_AGAIN_PER_MILLE // 1000)
    lost = -(-len(lengths) * QUARANTINED_PER_MILLE // 1000)
    chosen = random.sample(range(len(lengths)), struck)
    sessions = {
        place: tuple(
            SessionStrike(index=index, how=HOWS[(number + nth) % 2])
            for nth, index in enumerate(
                sorted(random.randint(0, lengths[place]) for _ in range(1 + (number < again)))
            )
        )
        for number, place in enumerate(chosen)
    }
    parts = [PartStrike(at=random.random(), part=part, how=how) for part, how in _parts(outline)]
    # No session is in both: its budget would be spent before its time.
    others = random.sample(sorted(set(range(len(lengths))) - set(chosen)), lost)
    plan = Plan(
        sessions=sessions,
        quarantined={place: random.randrange(lengths[place]) for place in others},
        parts=tuple(sorted(parts, key=lambda strike: strike.at)),
        deaths=tuple(Death(at=(nth + random.random()) / deaths) for nth in range(deaths)),
    )
    _check(plan)
    return plan


def _parts(outline: Outline) -> Iterator[tuple[str, How]]:
    repeated = (*outline.partitions, *(outline.manager,) * MANAGER_STRIKES)
    for number, part in enumerate((*repeated, *outline.others)):
        yield part, HOWS[number % 2]


def _check(plan: Plan) -> None:
    for supervisor, restarts in plan.spent().items():
        if restarts > RESTARTS_OF_SUPERVISOR:
            msg = f"{supervisor} would count {restarts} restarts; it bears {RESTARTS_OF_SUPERVISOR}"
            raise PlanOverdrawnError(msg)
    # One is kept back for a strike whose answer is lost: it is repeated, and may strike twice.
    most = max(map(len, plan.sessions.values()), default=0)
    if most > RESTARTS_OF_SESSION - 1:
        msg = f"a session would be struck {most} times; it bears {RESTARTS_OF_SESSION}"
        raise PlanOverdrawnError(msg)
