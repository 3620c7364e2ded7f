"""Runs the chaos of tests/chaos on threads for a given time, and tells what it has come to."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import psutil

from callboard.actors.allocator import keep_little
from tests.chaos.run import CLIENTS_ON_THREADS, SABOTAGES, Run, play_for
from tests.chaos.worlds import ThreadedWorld

MIB = 1_048_576

SETTLED = 0.25
"""The part of the samples that is left out of the slope: what a process takes once for good."""

FLAT_FROM_S = 600.0
"""How long a run must be to say whether its memory is flat: the allocator takes 1 MiB at a time."""

EX_BROKEN = 1
"""Exit code when a law was broken, on purpose or not, or memory grew."""

EX_UNNOTICED = 3
"""Exit code when a law was broken on purpose and no check named it: the checks are blind."""

GROWTH_MAX = 0.1 * MIB
"""Bytes a minute of which a flat run's memory grows by less: 1 MiB in ten minutes."""


class Sample(msgspec.Struct, frozen=True):
    """What the process weighs at one moment at which it has no session.

    Args:
        seconds: when, from the start on.
        bytes: its resident memory.
        blocks: what Python has handed out of it and not got back, whoever keeps the room.
    """

    seconds: float
    bytes: int
    blocks: int = 0


class Report(msgspec.Struct, frozen=True):
    """What a run has come to.

    Args:
        seed: of the run.
        seconds: it took all in all.
        waves: of strikes; after each all came to rest and all laws were checked.
        strikes: how many crashes were caused on purpose, blows at single steps not counted.
        asks: how many messages clients have asked.
        rss_bytes: resident memory at the end.
        rss_bytes_per_minute: how fast it grew, once it had settled, by what it came back to: see
            `slope`; None: too few samples.
        seen: how often what happened.
        counts: what the actor system counted.
        census: what it held when all sessions had ended.
        verdict: `kept`, or `broken`.
        violation: the law that was broken, as a sentence; None: none was.
        is_noticed: whether the violation is what was broken on purpose; None: nothing was to be.
        samples: what it weighed after each wave.
    """

    seed: int
    seconds: float
    waves: int
    strikes: int
    asks: int
    rss_bytes: int
    rss_bytes_per_minute: float | None
    seen: dict[str, int]
    counts: dict[str, int]
    census: dict[str, int]
    verdict: str
    violation: str | None = None
    is_noticed: bool | None = None
    samples: tuple[Sample, ...] = ()

    @property
    def is_flat(self) -> bool | None:
        """Whether memory grew by less than `GROWTH_MAX`; None: too short a run to say."""
        growth = self.rss_bytes_per_minute
        if growth is None or self.seconds < FLAT_FROM_S:
            return None
        return growth < GROWTH_MAX

    @property
    def is_good(self) -> bool:
        """Whether no law was broken, and nothing has grown as far as can be said."""
        return self.violation is None and self.is_flat is not False

    @property
    def exit_code(self) -> int:
        """What the program says to who started it."""
        if self.is_noticed is False:
            return EX_UNNOTICED
        return 0 if self.is_good else EX_BROKEN


def floor(samples: Sequence[Sample]) -> list[Sample]:
    """Return what memory came back to after each sample: the least of it and of all later ones.

    What was taken for one busy wave, and given back minutes later, has not grown.

    >>> [each.bytes for each in floor([Sample(0, 1), Sample(1, 9), Sample(2, 4), Sample(3, 5)])]
    [1, 4, 4, 5]
    """
    least: list[Sample] = []
    for each in reversed(samples):
        taken = min(each.bytes, least[-1].bytes) if least else each.bytes
        least.append(Sample(each.seconds, taken, each.blocks))
    return least[::-1]


def slope(samples: Sequence[Sample]) -> float | None:
    """Return bytes per minute, by least squares over the floor of the samples that count.

    >>> slope([Sample(0, 9), Sample(0, 0), Sample(60, 5), Sample(120, 10), Sample(180, 15)])
    5.0
    """
    counted = floor(samples[max(1, int(len(samples) * SETTLED)) :])
    if len(counted) < 3:  # noqa: PLR2004 -- through two points goes every line
        return None
    mean_s = sum(each.seconds for each in counted) / len(counted)
    mean_bytes = sum(each.bytes for each in counted) / len(counted)
    spread = sum((each.seconds - mean_s) ** 2 for each in counted)
    slant = sum((each.seconds - mean_s) * (each.bytes - mean_bytes) for each in counted)
    return 60 * slant / spread if spread else None


def strike(seconds: float, seed: int, *, sabotage: str | None = None) -> Report:
    """Run for a time; return what it has come to."""
    run = Run(ThreadedWorld(), seed, clients=CLIENTS_ON_THREADS, sabotage=sabotage, pause_s=0.2)
    process, began_s = psutil.Process(), time.monotonic()
    samples: list[Sample] = []
    census: dict[str, int] = {}

    def weigh() -> None:
        census.update(run.census())
        taken = process.memory_info().rss
        samples.append(Sample(time.monotonic() - began_s, taken, sys.getallocatedblocks()))

    violation: str | None = None
    try:
        play_for(run, seconds, weigh)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 -- whatever no client may be told is one, too
        violation = f"{type(error).__name__}: {error}"
        run.sessions.stop()
    return Report(
        seed=seed,
        seconds=time.monotonic() - began_s,
        waves=run.waves,
        strikes=run.crashes,
        asks=run.notes.asked,
        rss_bytes=process.memory_info().rss,
        rss_bytes_per_minute=slope(samples),
        seen=dict(sorted(run.seen.items())),
        counts=dict(sorted(run.system.counts.items())),
        census=census,
        verdict="kept" if violation is None else "broken",
        violation=violation,
        is_noticed=None if sabotage is None else SABOTAGES[sabotage].named_as in (violation or ""),
        samples=tuple(samples),
    )


def show(report: Report) -> None:
    """Print a report for people."""
    for title, counts in (
        ("what happened", report.seen),
        ("what the actor system counted", report.counts),
        ("what was held when all sessions had ended", report.census),
    ):
        print(f"\n{title}:")
        for what, number in counts.items():
            print(f"  {number:7,}  {what}")
    growth = report.rss_bytes_per_minute
    grew = "too few waves for a slope" if growth is None else f"{growth / MIB:+.2f} MiB a minute"
    said = {None: "too short a run to call it flat", True: "flat", False: "NOT FLAT"}
    print(f"\nmemory: {report.rss_bytes / MIB:.1f} MiB resident, {grew}: {said[report.is_flat]}")
    done = (
        counted(report.waves, "wave"),
        counted(report.strikes, "strike"),
        counted(report.asks, "ask"),
    )
    print(f"{', '.join(done)} in {report.seconds:.1f} s, seed {report.seed}")
    if report.violation is None:
        print("verdict: every law was kept, every ask has ended, nothing was left")
    else:
        print(f"verdict: BROKEN: {report.violation}")
    if report.is_noticed is not None:
        print(f"the sabotage was {'noticed' if report.is_noticed else 'NOT NOTICED'}")


def counted(number: int, what: str) -> str:
    """Say how many of something there are.

    >>> counted(1, "wave"), counted(1_200, "wave")
    ('1 wave', '1,200 waves')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sabotage", nargs="?", const="message", choices=SABOTAGES)
    given: Any = parser.parse_args()
    if not 0 < given.seconds < float("inf"):
        parser.error("--seconds wants a number above 0")
    keep_little()
    try:
        report = strike(given.seconds, given.seed, sabotage=given.sabotage)
    except KeyboardInterrupt:
        return 130
    if given.json:
        print(json.dumps({**msgspec.to_builtins(report), "is_flat": report.is_flat}))
    else:
        show(report)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
