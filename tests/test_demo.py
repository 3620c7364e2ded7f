"""The demonstration: what it plans, what its comparison sees, how it ends."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence

import pytest

from scripts.demonstration.client import Replayed
from scripts.demonstration.comparing import compare, role_of
from scripts.demonstration.corpus import Conversation, read_corpus
from scripts.demonstration.door import Message
from scripts.demonstration.plan import (
    PARTITIONS,
    RESTARTS_OF_SESSION,
    RESTARTS_OF_SUPERVISOR,
    Outline,
    PlanOverdrawnError,
    make_plan,
)
from scripts.demonstration.watching import Event, judged
from tests.house import ROOT

OUTLINE = Outline(
    partitions=tuple(f"sessions/{number}" for number in range(PARTITIONS)),
    manager="front/manager",
    others=("sessions", "front", "front/janitor"),
)
LENGTHS = [2, 3, 5, 1] * 2_000
TALK = Conversation(name="english/talk.yml#1", messages=("hello", "good day", "how are you?"))


def logged(*indices: int) -> list[Message]:
    """Return a log that holds these messages of the talk, numbered from 1."""
    return [
        Message(
            seq=place,
            role=role_of(index),
            content=TALK.messages[index],
            client_msg_id=TALK.key(index),
        )
        for place, index in enumerate(indices, start=1)
    ]


def run_demo(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.demonstration", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


class TestCorpus:
    def test_it_is_the_whole_package(self) -> None:
        corpus = read_corpus()

        assert len(corpus) == 7_636
        assert sum(len(each.messages) for each in corpus) == 19_589
        assert len({each.name for each in corpus}) == len(corpus)


class TestPlan:
    @pytest.mark.parametrize("seed", range(20))
    def test_no_supervisor_and_no_session_is_asked_for_more_than_it_bears(self, seed: int) -> None:
        plan = make_plan(seed=seed, lengths=LENGTHS, outline=OUTLINE)

        assert dict(plan.spent()) == {"root": 2, "sessions": 8, "front": 9}
        assert max(plan.spent().values()) <= RESTARTS_OF_SUPERVISOR
        assert max(map(len, plan.sessions.values())) < RESTARTS_OF_SESSION

    @pytest.mark.parametrize("seed", range(5))
    def test_half_of_the_sessions_crash_by_exception_and_half_by_kill(self, seed: int) -> None:
        plan = make_plan(seed=seed, lengths=LENGTHS, outline=OUTLINE)

        first = [strikes[0].how for strikes in plan.sessions.values()]
        assert len(first) >= 300
        assert first.count("exception") == first.count("kill")

    @pytest.mark.parametrize("seed", range(5))
    def test_some_more_are_quarantined_and_those_crash_for_nothing_else(self, seed: int) -> None:
        plan = make_plan(seed=seed, lengths=LENGTHS, outline=OUTLINE)

        assert len(plan.quarantined) == 16
        assert not plan.quarantined.keys() & plan.sessions.keys()
        assert all(0 <= index < LENGTHS[place] for place, index in plan.quarantined.items())

    def test_the_same_seed_gives_the_same_plan_and_another_one_another(self) -> None:
        plans = [make_plan(seed=seed, lengths=LENGTHS, outline=OUTLINE) for seed in (1, 1, 2)]

        assert plans[0] == plans[1] != plans[2]

    @pytest.mark.parametrize("seed", range(5))
    def test_the_daemon_is_killed_once_in_each_part_of_the_run(self, seed: int) -> None:
        plan = make_plan(seed=seed, lengths=LENGTHS, outline=OUTLINE, deaths=4)

        assert [int(4 * death.at) for death in plan.deaths] == [0, 1, 2, 3]
        assert [blow.at for blow in plan.blows] == sorted(blow.at for blow in plan.blows)
        assert len(plan.blows) == len(plan.parts) + 4

    def test_a_plan_that_would_spend_a_budget_is_refused(self) -> None:
        outline = Outline(
            partitions=tuple(f"sessions/{number}" for number in range(11)),
            manager="front/manager",
            others=(),
        )

        with pytest.raises(PlanOverdrawnError, match="sessions would count 11 restarts"):
            make_plan(seed=1, lengths=LENGTHS, outline=outline)


class TestComparison:
    def test_what_is_there_once_and_in_order_is_right(self) -> None:
        assert compare(TALK, (1, 2, 3), logged(0, 1, 2)) == []

    @pytest.mark.parametrize(
        ("acknowledged", "log", "said"),
        [
            pytest.param((1, 2, 3), logged(0, 1), "message 3 of 3, .* is missing", id="missing"),
            pytest.param((1, 2, 3), logged(0, 1, 1, 2), "is there 2 times", id="doubled"),
            pytest.param((1, 3, 2), logged(0, 2, 1), "out of order", id="out of order"),
            pytest.param((1, 2, 4), logged(0, 1, 2), "as number 4 and is 3", id="other number"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, acknowledged: tuple[int, ...], log: Sequence[Message], said: str
    ) -> None:
        wrong = compare(TALK, acknowledged, log)

        assert any(re.search(said, each) for each in wrong)
        assert all(each.startswith(TALK.name) for each in wrong)


def told(*events: tuple[int, str, int | None]) -> list[Event]:
    """Return events: of each its number, its kind and the number of the message it tells of."""
    return [
        Event("s", kind, seq, {} if message_seq is None else {"message_seq": message_seq})
        for seq, kind, message_seq in events
    ]


class TestWatching:
    REPLAYED = Replayed(conversation=TALK, session_id="s", acknowledged=(1, 2, 3))
    SEEN = ((1, "created", None), (2, "message", 1), (3, "message", 2), (4, "message", 3))
    LAST = (5, "terminated", None)

    def test_what_comes_once_and_in_order_is_right(self) -> None:
        assert judged(self.REPLAYED, [told(*self.SEEN, self.LAST)]) == []

    @pytest.mark.parametrize(
        ("events", "said"),
        [
            pytest.param((*SEEN[:2], *SEEN[3:], LAST), "place of its event 3 came", id="hole"),
            pytest.param((*SEEN[:2], *SEEN[1:], LAST), "place of its event 3 came", id="doubled"),
            pytest.param((*SEEN[:3], (4, *LAST[1:])), r"events told of \[1, 2\]", id="message"),
            pytest.param(SEEN, "no event told of its end", id="end"),
            pytest.param((), "no event told of its end", id="nothing"),
        ],
    )
    def test_what_is_wrong_is_named(
        self, events: tuple[tuple[int, str, int | None], ...], said: str
    ) -> None:
        wrong = judged(self.REPLAYED, [told(*events)])

        assert any(re.search(said, each) for each in wrong)
        assert all(each.startswith(TALK.name) for each in wrong)

    def test_what_was_kept_in_the_moment_of_a_death_may_be_unseen(self) -> None:
        lives = [told(*self.SEEN[:2]), told((1, "message", 3), (2, "terminated", None))]

        assert judged(self.REPLAYED, lives, deaths=1) == []

    def test_a_life_may_have_begun_before_whoever_reads_along_was_back(self) -> None:
        lives = [told(*self.SEEN[:2]), told((3, "message", 3), (4, "terminated", None))]

        assert judged(self.REPLAYED, lives, deaths=1) == []
        assert judged(self.REPLAYED, [told(*self.SEEN[1:], self.LAST)]) != []

    @pytest.mark.parametrize(
        ("lives", "deaths"),
        [
            pytest.param([told(*SEEN[:2]), told((1, *LAST[1:]))], 0, id="nobody died"),
            pytest.param([[], told((1, "message", 1), (2, "message", 3))], 1, id="within a life"),
            pytest.param([told((1, "message", 1)), told((1, "message", 1))], 1, id="doubled"),
            pytest.param([told((2, "message", 1), (4, "message", 3), LAST)], 1, id="a hole"),
            pytest.param([told((1, "message", 2)), told((1, "message", 1))], 1, id="out of order"),
        ],
    )
    def test_nothing_else_may(self, lives: list[list[Event]], deaths: int) -> None:
        wrong = judged(self.REPLAYED, lives, deaths=deaths)

        assert any("its events told of" in each for each in wrong)


@pytest.mark.slow
@pytest.mark.timeout(180)
class TestRun:
    def test_a_tenth_of_the_corpus_survives_the_crashes_and_a_stranger_sees_that(self) -> None:
        run = run_demo("--quick")

        said = run.stdout
        assert run.returncode == 0, said + run.stderr
        headings = [block.splitlines()[0] for block in said.split("\n\n")]
        assert [heading.partition(",")[0].partition(":")[0] for heading in headings] == [
            "A daemon hosts real conversations",
            "To crash on purpose",
            "What came of it",
            "To give up on purpose",
            "Verdict",
        ]
        assert "PyPI's chatterbot-corpus" in said
        # What is done on purpose is told as such. A code such as spawn_error is a name: it
        # stands among what was asked again.
        assert not re.search(r"\b(fail|wrong|error)", said, re.IGNORECASE)
        verdict = said.splitlines()[-1]
        assert verdict.startswith("all is well: of 1,990 acknowledged messages none is missing")
        assert "exit code 70" in said
        assert re.search(r"quarantined +(\w+), revived \1$", said, re.MULTILINE)
        assert re.search(r"asleep +\d+ times, woken \d+ times", said)
        assert re.search(r"kept +764 folders, 153 prompts", said)
        assert re.search(r"watched +[\d,]+ events, each session's without a hole", said)
        assert re.search(r"killed +the whole daemon 3 times with -9; it served again", said)
        assert re.search(r"back +started again, with all 764 conversations, 1,990 messages", said)

    def test_with_sessions_in_memory_alone_the_daemon_lives_to_the_end(self) -> None:
        run = run_demo("--quick", "--store", "memory")

        assert run.returncode == 0, run.stdout + run.stderr
        assert "killed" not in run.stdout

    def test_one_lost_message_is_found_and_named(self) -> None:
        run = run_demo("--quick", "--sabotage")

        assert run.returncode == 1, run.stdout + run.stderr
        assert re.search(r"\.yml#\d+: message \d+ of \d+, .* was acknowledged and is", run.stdout)
