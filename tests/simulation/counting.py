"""What has a campaign played? Counts of each world, gathered from all its tests and printed.

A plugin of pytest, which `scripts/campaign` asks for: a test hands its `Counts` on with its report,
since many processes play, and the one that leads the run adds them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
import pytest

from callboard.supervision.testing import Simulation

PROPERTY: Final = "campaign"
"""What the counts are called in a test's report."""

STEPS: Final = 100
"""Steps of the schedule that a rate is about: schedules differ in length."""

_ORDERLY: Final = frozenset({"Normal", "Shutdown"})
"""Ends of actors that are no deaths."""


class Counts(msgspec.Struct, kw_only=True):
    """What was played of one world.

    Args:
        world: which.
        schedules: how many.
        steps: of all of them.
        deaths: actors that ended otherwise than in order.
        violations: schedules in which a law was broken.
        processor_s: seconds of the processor that they took.
        faults: how often which fault struck.
        seen: how often happened what has to be seen.
    """

    world: str
    schedules: int = 0
    steps: int = 0
    deaths: int = 0
    violations: int = 0
    processor_s: float = 0.0
    faults: dict[str, int] = {}
    seen: dict[str, int] = {}

    def note(self, sim: Simulation, must_see: Iterable[str] = ()) -> None:
        """Count a schedule that has been played."""
        self.schedules += 1
        self.steps += sim.steps
        self.deaths += sum(
            entry[0] == "dead" and entry[2] not in _ORDERLY for entry in sim.trace.entries
        )
        for fault, times in sim.struck:
            _add(self.faults, {fault.name: times})
        kinds = sim.trace.kinds()
        _add(self.seen, {each: kinds[each] for each in must_see})

    def add(self, other: Counts) -> None:
        """Count what another process has played of the same world."""
        self.schedules += other.schedules
        self.steps += other.steps
        self.deaths += other.deaths
        self.violations += other.violations
        self.processor_s += other.processor_s
        _add(self.faults, other.faults)
        _add(self.seen, other.seen)

    @property
    def rate(self) -> float:
        """Schedules of `STEPS` steps in a second of the processor."""
        return self.steps / STEPS / self.processor_s if self.processor_s else 0.0

    def lines(self) -> Iterator[str]:
        """Say it to people."""
        yield (
            f"{self.world}: schedules {self.schedules:,}, steps {self.steps:,},"
            f" deaths {self.deaths:,}, violations {self.violations:,}; schedules of"
            f" {STEPS} steps per second of processor time: {self.rate:,.0f}"
        )
        for title, counts in (("faults", self.faults), ("seen", self.seen)):
            told = ", ".join(f"{what} {times:,}" for what, times in sorted(counts.items()))
            if told:
                yield f"    {title}: {told}"


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    for what, times in more.items():
        counts[what] = counts.get(what, 0) + times


class Counting:
    """Adds up what all processes have played, on the one that leads the run."""

    def __init__(self) -> None:
        self._worlds: dict[str, Counts] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the counts of a test, whether it has passed or not."""
        if report.when != "call":
            return
        for what, told in report.user_properties:
            if what == PROPERTY:
                counts = msgspec.convert(told, Counts)
                self._worlds.setdefault(counts.world, Counts(world=counts.world)).add(counts)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print them, a world after the other, and the whole."""
        if not self._worlds:
            return
        terminalreporter.section("what was played")
        whole = Counts(world="all worlds")
        for _, counts in sorted(self._worlds.items()):
            whole.add(counts)
            for line in counts.lines():
                terminalreporter.line(line)
        terminalreporter.line(next(whole.lines()))


def pytest_configure(config: pytest.Config) -> None:
    """Count on the process where all reports come together."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Counting())
