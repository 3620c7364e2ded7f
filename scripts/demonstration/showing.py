"""What does whoever watches see? One line that moves on a terminal; a sentence a step elsewhere."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from time import monotonic
from typing import Final

import msgspec

from scripts.demonstration.client import Done, Progress
from scripts.demonstration.daemon import AWAKE_MAX, Level
from scripts.demonstration.plan import Death
from scripts.demonstration.striking import Healed

DRAW_EVERY_S: Final = 0.1
"""How often the line is drawn again."""

WRONG_SHOWN_MAX: Final = 20
"""How many of the things that are wrong are shown."""


class Ticker:
    """The line that moves.

    Args:
        messages_max: how many messages there are.
    """

    def __init__(self, *, messages_max: int) -> None:
        self._messages_max = messages_max
        self._is_live = sys.stdout.isatty()
        self._drawn_s = 0.0
        self.healed: list[Healed] = []
        self.begin("")

    def begin(self, doing: str) -> None:
        """Begin a step."""
        self._doing = doing
        self._begun_s = monotonic()
        self.total = Progress()

    @property
    def fraction(self) -> float:
        """How much of the corpus this step has done, from 0 to 1."""
        return self.total.messages / self._messages_max

    def add(self, progress: Progress) -> None:
        """Take what a client says."""
        self.total.messages += progress.messages
        self.total.sessions += progress.sessions
        self.total.struck += progress.struck
        if self._is_live and monotonic() > self._drawn_s + DRAW_EVERY_S:
            self._drawn_s = monotonic()
            self._draw()

    def _draw(self) -> None:
        total = self.total
        rate = total.messages / max(0.001, monotonic() - self._begun_s)
        line = (
            f"{self._doing} {self.fraction:4.0%}  {total.sessions:,} sessions"
            f"  {total.messages:,} messages ({rate:,.0f}/s)"
        )
        if total.struck:
            deaths = sum(isinstance(each.blow, Death) for each in self.healed)
            line += f"  crashed {total.struck} sessions, {len(self.healed) - deaths} parts"
            line += f", killed {_times(deaths)}" * bool(deaths)
        columns = shutil.get_terminal_size().columns
        sys.stdout.write(f"\r{line[: columns - 1]}\x1b[K")
        sys.stdout.flush()

    def say(self, sentence: str) -> None:
        """Say something that stays."""
        if self._is_live:
            sys.stdout.write("\r\x1b[K")
        print(sentence, flush=True)


class Figures(msgspec.Struct, kw_only=True):
    """What came of a run, to be printed.

    Args:
        sessions: how many conversations were replayed.
        messages: how many messages were acknowledged.
        replay_s: seconds that took.
        compare_s: seconds the comparison took.
        done: what the clients reported of the replay.
        healed: the parts that crashed.
        refusals: what the daemon answered the crashes of parts instead.
        restarts: restarts of sessions that the daemon counted.
        events: events that whoever read along has seen, by their kind.
        unseen: messages of which no event told, since the daemon was killed.
        recovered: how many sessions each life of the daemon found in its store, and in how many
            seconds.
        folders: sessions that had a folder of their own.
        prompts: sessions that worked under a prompt.
        before: what the daemon held before.
        after: what it held afterwards.
    """

    sessions: int = 0
    messages: int = 0
    replay_s: float = 0.0
    compare_s: float = 0.0
    done: Sequence[Done] = ()
    healed: Sequence[Healed] = ()
    refusals: Counter[str] = msgspec.field(default_factory=Counter[str])
    restarts: int = 0
    events: Counter[str] = msgspec.field(default_factory=Counter[str])
    unseen: int = 0
    recovered: Sequence[tuple[int, float]] = ()
    folders: int = 0
    prompts: int = 0
    before: Level | None = None
    after: Level | None = None

    @property
    def struck(self) -> Counter[str]:
        """Crashes of sessions, by their way."""
        return sum((each.struck for each in self.done), Counter[str]())

    @property
    def struck_sessions(self) -> int:
        """How many sessions crashed."""
        return sum(each.struck_sessions for each in self.done)

    @property
    def uncertain(self) -> int:
        """Crashes of sessions that were ordered, and nobody knows whether they came."""
        return sum(each.uncertain for each in self.done)

    def lines(self) -> list[str]:
        """Return the figures, a line each; none when it did not come so far."""
        if not self.replay_s:
            return []
        refusals = sum((each.refusals for each in self.done), Counter(self.refusals))
        struck_parts = [each for each in self.healed if not isinstance(each.blow, Death)]
        parts = Counter(_kind_of(each) for each in struck_parts)
        heal_ms = [each.took_s * 1000 for each in struck_parts] or [0.0]
        ways = ", ".join(f"{count:,} by {how}" for how, count in sorted(self.struck.items()))
        struck = f"{self.struck_sessions:,} sessions ({ways})"
        if self.uncertain:
            struck += f", {self.uncertain} more ordered, outcome unknown"
        messages_per_s = self.messages / self.replay_s
        sessions_per_s = self.sessions / self.replay_s
        lines = [
            (
                f"sent           {self.messages:,} messages in {self.sessions:,} sessions, in"
                f" {self.replay_s:.1f} s: {messages_per_s:,.0f} messages/s,"
                f" {sessions_per_s:,.0f} sessions/s"
            ),
            f"crashed        on purpose: {struck}",
            f"               of the tree: {_listed(parts)}",
            (
                f"healed         sessions {_times(self.restarts)}: those of a crashed partition"
                " come back too"
            ),
            (
                f"               the tree's parts after {median(heal_ms):.0f} ms (median),"
                f" {max(heal_ms):.0f} ms at most"
            ),
            f"asked again    {_listed(refusals) or 'never: every request was answered'}",
            (
                f"asleep         {self.events['asleep']:,} times, woken {self.events['awake']:,}"
                f" times: {AWAKE_MAX} sessions may be awake at once"
            ),
            (
                f"quarantined    {_times(self.events['quarantined'])}, revived"
                f" {_times(sum(each.revived for each in self.done))}"
            ),
            f"kept           {self.folders:,} folders, {self.prompts:,} prompts",
            f"watched        {self.events.total():,} events, each session's without a hole"
            + self._unseen(),
            f"compared       {self.messages:,} messages with the corpus in {self.compare_s:.1f} s",
        ]
        lines[3:3] = self._deaths()
        if self.before is not None and self.after is not None:
            lines.append(f"held           {_levels(self.before, self.after)}")
        return lines

    def _deaths(self) -> list[str]:
        """Return how the daemon came back; nothing when it was not killed."""
        back_s = [each.took_s for each in self.healed if isinstance(each.blow, Death)]
        if not back_s:
            return []
        sessions, took_s = max(self.recovered)
        return [
            (
                f"killed         the whole daemon {_times(len(back_s))} with -9; it served again"
                f" after {median(back_s):.1f} s (median), {max(back_s):.1f} s at most"
            ),
            f"recovered      up to {sessions:,} sessions at a start, in {took_s * 1000:.0f} ms",
        ]

    def _unseen(self) -> str:
        return f"; {self.unseen:,} messages came while it was killed, unseen" * bool(self.unseen)


def _kind_of(healed: Healed) -> str:
    assert not isinstance(healed.blow, Death)
    part = healed.blow.part
    return "a partition" if part.startswith("sessions/") else part


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {_times(count)}" for name, count in sorted(counts.items()))


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def _levels(before: Level, after: Level) -> str:
    return (
        f"threads {before.threads} → {after.threads},"
        f" descriptors {before.descriptors} → {after.descriptors},"
        f" child processes {before.children} → {after.children},"
        f" memory {before.memory_mb:.0f} → {after.memory_mb:.0f} MB"
    )
