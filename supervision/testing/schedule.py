"""One schedule as data: who ran when others could have, and what out of the ordinary happened.

Decisions are named by whom they are about, not by their position: what is left of a schedule
still says something when another decision is taken out, or when the code has changed a little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from callboard.supervision.runtime.chance import Stream
from callboard.supervision.testing.explore import Exploration, Explorer, Ready

TIMER = "(timer)"
"""The name by which a timer that is due is picked."""


class Deviation(msgspec.Struct, frozen=True, array_like=True):
    """Something that happened although it need not have."""

    kind: str
    """`point put`, `early timer`, `hand-off`, `fault crash` and the like."""

    who: str
    """The name of whoever it happened to."""

    nth: int
    """Which of the times it could have happened to this one, from 1."""

    def __str__(self) -> str:
        return f"{self.kind} of {self.who} #{self.nth}"


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """All the decisions that make a run; without any it is the dull one.

    The dull run: who became ready first goes first, nobody comes in between, no
    timer is early, nobody answers on an asker's stack, no fault strikes.
    """

    seed: int
    """What else chance decides: ids, and the streams that actors and tests draw from."""

    picks: tuple[str, ...] = ()
    """Who ran next, each time when there was a choice."""

    deviations: tuple[Deviation, ...] = ()

    def __len__(self) -> int:
        return len(self.picks) + len(self.deviations)

    def save(self, path: Path) -> None:
        """Write it as JSON, for `CALLBOARD_SCHEDULE`."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @staticmethod
    def load(path: Path) -> Schedule:
        """Read what `save` wrote.

        Raises:
            OSError: there is no such file.
            msgspec.ValidationError: it is no schedule.
        """
        return msgspec.json.decode(path.read_bytes(), type=Schedule)


def _names(ready: Sequence[Ready], due_timers: int) -> list[str]:
    """Return what to call each of them, so that no two have the same name."""
    names = [each.name for each in ready]
    if due_timers:
        names.append(TIMER)
    if len(set(names)) == len(names):
        return names
    # An actor that was killed while it waits has its last words beside a hint that came later.
    return [
        name if name not in names[:index] else f"{name}#{names[:index].count(name) + 1}"
        for index, name in enumerate(names)
    ]


class _Turns:
    """Counts how often each thing could have happened to each one."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def next(self, kind: str, who: str) -> Deviation:
        key = (kind, who)
        nth = self._counts[key] = self._counts.get(key, 0) + 1
        return Deviation(kind, who, nth)


class Recording:
    """Explores as another one does, and keeps the decisions of the latest schedule.

        recording = Recording(Walk())
        with Simulation(7, explore=recording) as sim:
            ...
        recording.schedule.save(path)

    Args:
        explored: what decides.
    """

    def __init__(self, explored: Exploration) -> None:
        self._explored = explored
        self._latest = _Recorder(0, None)

    def begin(self, seed: int, stream: Callable[[str], Stream]) -> Explorer:
        """Return the explorer of one schedule."""
        self._latest = _Recorder(seed, self._explored.begin(seed, stream))
        return self._latest

    @property
    def schedule(self) -> Schedule:
        """What was decided so far in the schedule that began last."""
        return self._latest.schedule()


class _Recorder:
    """Notes what another explorer decides."""

    def __init__(self, seed: int, explorer: Explorer | None) -> None:
        self._seed = seed
        self._explorer = explorer
        self._turns = _Turns()
        self._picks: list[str] = []
        self._deviations: list[Deviation] = []

    def schedule(self) -> Schedule:
        return Schedule(
            seed=self._seed, picks=tuple(self._picks), deviations=tuple(self._deviations)
        )

    def pick(self, ready: Sequence[Ready], due_timers: int) -> int:
        index = self._decides.pick(ready, due_timers)
        if len(ready) + due_timers > 1:
            self._picks.append(_names(ready, due_timers)[index])
        return index

    def preempts(self, point: str, who: str) -> bool:
        return self._noted(self._decides.preempts(point, who), f"point {point}", who)

    def is_early(self, timer: str) -> bool:
        return self._noted(self._decides.is_early(timer), EARLY_TIMER, timer)

    def hands_off(self, name: str) -> bool:
        return self._noted(self._decides.hands_off(name), HAND_OFF, name)

    def happens(self, fault: str, who: str, probability: float) -> bool:
        does = self._decides.happens(fault, who, probability)
        return self._noted(does, f"fault {fault}", who)

    @property
    def _decides(self) -> Explorer:
        assert self._explorer is not None, "no schedule has begun"
        return self._explorer

    def _noted(self, does: bool, kind: str, who: str) -> bool:  # noqa: FBT001 -- it is what is noted
        deviation = self._turns.next(kind, who)
        if does:
            self._deviations.append(deviation)
        return does


EARLY_TIMER = "early timer"
HAND_OFF = "hand-off"


class Replay:
    """Decides as a schedule says, and where it says nothing the dull way.

    A pick whose turn has come while he is not ready is left out.

    Args:
        schedule: what to decide.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._latest = _Replayer(schedule)

    def begin(self, seed: int, stream: Callable[[str], Stream]) -> Explorer:
        """Return the explorer of one schedule."""
        del seed, stream
        self._latest = _Replayer(self.schedule)
        return self._latest

    @property
    def used(self) -> Schedule:
        """What of the schedule had an effect in the run that began last."""
        return self._latest.used()


class _Replayer:
    """Looks up what a schedule says."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._picks = iter(schedule.picks)
        self._deviations = frozenset(schedule.deviations)
        self._turns = _Turns()
        self._picked: list[str] = []
        self._deviated: list[Deviation] = []

    def used(self) -> Schedule:
        return Schedule(
            seed=self._schedule.seed,
            picks=tuple(self._picked),
            deviations=tuple(self._deviated),
        )

    def pick(self, ready: Sequence[Ready], due_timers: int) -> int:
        if len(ready) + due_timers == 1:
            return 0
        names = _names(ready, due_timers)
        for name in self._picks:
            if name in names:
                self._picked.append(name)
                return names.index(name)
        return 0

    def preempts(self, point: str, who: str) -> bool:
        return self._deviates(f"point {point}", who)

    def is_early(self, timer: str) -> bool:
        return self._deviates(EARLY_TIMER, timer)

    def hands_off(self, name: str) -> bool:
        return self._deviates(HAND_OFF, name)

    def happens(self, fault: str, who: str, probability: float) -> bool:
        del probability
        return self._deviates(f"fault {fault}", who)

    def _deviates(self, kind: str, who: str) -> bool:
        deviation = self._turns.next(kind, who)
        if deviation not in self._deviations:
            return False
        self._deviated.append(deviation)
        return True
