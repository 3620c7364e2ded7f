"""Runs scenarios, each in a world of its own, and says how they compare."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from scripts.tracing import processes, supervisors
from scripts.tracing.comparing import Difference, Level, differences, levels_of
from scripts.tracing.oracle import mended
from scripts.tracing.scenario import Part, Scenario
from scripts.tracing.vocabulary import UnknownWord
from scripts.tracing.worlds import SimulatedWorld, World


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one scenario.

    Args:
        name: which.
        levels: what its recording speaks about, as far as it was asked for.
        differences: where callboard does otherwise.
        skipped: why it was not run; None if it was.
        broke: what was raised in the middle of it; a difference on every level.
        notes: what in the recording was not compared, and why.
    """

    name: str
    levels: tuple[Level, ...] = ()
    differences: tuple[Difference, ...] = ()
    skipped: str | None = None
    broke: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether it ran and did on every level what was recorded."""
        return self.skipped is None and self.broke is None and not self.differences

    def agrees_on(self, level: Level) -> bool:
        """Say whether it ran and did what was recorded."""
        differs = any(each.level is level for each in self.differences)
        return level in self.levels and self.broke is None and not differs


def observe(given: Mapping[str, Any], part: Part, world: World) -> dict[str, Any]:
    """Run a scenario in a world and return what was observed, in the form of its recording."""
    match part:
        case Part.SUPERVISORS:
            return supervisors.run(given, world)
        case Part.PROCESSES:
            return processes.run(given, world)


def outcome_of(
    scenario: Scenario,
    *,
    new_world: Callable[[], World] = SimulatedWorld,
    levels: Collection[Level] = tuple(Level),
) -> Outcome:
    """Run one scenario in a new world and compare."""
    expected, notes = mended(scenario.given, scenario.expected)
    asked = tuple(each for each in levels_of(expected) if each in levels)
    try:
        observed = observe(scenario.given, scenario.part, new_world())
    except UnknownWord as unknown:
        return Outcome(name=scenario.name, skipped=str(unknown))
    except Exception:  # noqa: BLE001 -- whatever it is, it is what this scenario came to
        return Outcome(name=scenario.name, levels=asked, broke=traceback.format_exc())
    found = differences(scenario.given, expected, observed)
    ours = tuple(each for each in found if each.level in levels)
    return Outcome(name=scenario.name, levels=asked, differences=ours, notes=tuple(notes))
