"""What was acknowledged is there after kill -9 under load, as often as that comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem
from tests.house import ROOT
from tests.sessions.appending import check

IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"
KILLS = 10 if IS_SHORT else 200
SESSIONS = 60
ACKNOWLEDGED_MAX = 600
"""A process is killed after at most so many acknowledgements; or before it is ready."""

EARLY = 10
"""One process of so many kills itself while it starts, or soon after."""

CALLS_OF_A_START = 60_000
"""Calls and returns of functions until a process is ready, about; 14,000 on an empty store."""


def killed(store: Path, acknowledged: dict[str, int], random: Random, how: str = "") -> int:
    """Run a process until it is killed; note what it acknowledged, and return how much that was."""
    is_early = not how and random.randrange(EARLY) == 0
    if is_early:
        how = str(random.randrange(1, CALLS_OF_A_START))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.sessions.appending", str(store), how],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(acknowledged))
        process.stdin.close()
        seen = 0
        if not is_early:
            assert process.stdout.readline() == "ready\n", "what was acknowledged is not there"
            for _ in range(random.randrange(ACKNOWLEDGED_MAX)):
                seen += note(process.stdout.readline(), acknowledged)
            process.kill()
        for line in process.stdout:  # what it had said by then
            seen += note(line, acknowledged)
    assert process.returncode == -signal.SIGKILL, "it ended by itself: see its traceback"
    return seen


def note(line: str, acknowledged: dict[str, int]) -> int:
    name, _, number = line.strip().partition(" ")
    if not number:
        assert name == "ready", "it ended by itself: see its traceback"
        return 0
    assert int(number) == acknowledged[name] + 1, f"{line} after {acknowledged[name]}"
    acknowledged[name] += 1
    return 1


@pytest.mark.parametrize(
    ("acknowledged", "said"),
    [
        ({"ada": 3}, "3 were acknowledged, 2 are there"),
        ({"ada": 0}, "0 were acknowledged, 2 are there"),
        ({"bob": 1}, "bob is gone"),
        ({"eve": 2}, r"eve: \[\(1, '1', '1'\), \(2, '1x', '1'\)\]"),
    ],
    ids=["lost", "doubled", "gone", "out of order"],
)
def test_what_is_wrong_is_seen(acknowledged: dict[str, int], said: str) -> None:
    with SessionSystem(on_event=lambda _: None) as sessions:
        for name, keys in {"ada": ("1", "2"), "eve": ("1", "1x")}.items():
            sessions.ask(CreateSession(session_id=name))
            for key in keys:
                sessions.ask(AppendMessage(name, Role.USER, key[0], client_msg_id=key))

        with pytest.raises(AssertionError, match=said):
            check(sessions, acknowledged)


@pytest.mark.stress
@pytest.mark.timeout(300)
def test_a_store_that_answers_before_it_has_kept_is_found_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    acknowledged = {f"s{number}": 0 for number in range(SESSIONS)}

    def kill_again_and_again() -> None:
        for number in range(10):
            killed(tmp_path / "sessions.db", acknowledged, Random(number), how="hasty")

    with pytest.raises(AssertionError, match="is not there"):
        kill_again_and_again()


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_nothing_that_was_acknowledged_is_lost_doubled_or_out_of_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.chmod(0o700)
    store, random = tmp_path / "sessions.db", Random(6)
    acknowledged = {f"s{number}": 0 for number in range(SESSIONS)}
    rounds = Counter[str]()

    for _ in range(KILLS):
        seen = killed(store, acknowledged, random)
        rounds["under load" if seen else "before the first acknowledgement"] += 1

    with SessionSystem(store=store, on_event=lambda _: None) as sessions:
        check(sessions, acknowledged, looked_at=None)
    messages = sum(acknowledged.values())
    with capsys.disabled():
        print(f"\n{KILLS} kills ({dict(rounds)}), {messages:,} acknowledged")  # noqa: T201 -- figures
    assert rounds["under load"] > KILLS / 2
