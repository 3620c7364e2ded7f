"""Sessions that are talked to while they are struck tell all their clients one story."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from callboard.actors.sessions import reads
from callboard.actors.sessions.draft import Draft
from callboard.actors.sessions.keys import Creates, Key
from callboard.actors.sessions.log import Log
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.guarded import GuardedStore
from callboard.supervision.testing import Simulation, simulate
from tests.history.talking import DURABLE_FAULTS, FAULTS, talk

SCHEDULES = 150
IS_SHORT = os.environ.get("CALLBOARD_STRESS") == "short"
MANY_SCHEDULES = 200 if IS_SHORT else 3_000

FOUND_WITHIN = 40
"""Schedules within which a planted bug is found."""


def told_of(seed: int) -> list[str]:
    """Return what is wrong by what the clients were told in one schedule."""
    with Simulation(seed, steps_max=1_000_000) as sim:
        return talk(sim).broken()


class TestInASimulation:
    @pytest.mark.slow
    @simulate(schedules=SCHEDULES, must_see=(*FAULTS, "slow sessions", "slow store"))
    def test_all_clients_are_told_one_story(self, sim: Simulation) -> None:
        written = talk(sim)

        assert written.broken() == []

    @pytest.mark.chaos
    @pytest.mark.timeout(900)
    @simulate(schedules=MANY_SCHEDULES, first_seed=SCHEDULES)
    def test_all_clients_are_told_one_story_in_many_schedules(self, sim: Simulation) -> None:
        written = talk(sim)

        assert written.broken() == []

    @pytest.mark.slow
    @simulate(schedules=60, must_see=(*DURABLE_FAULTS, "slow sessions", "slow store"))
    def test_all_clients_of_a_durable_store_are_told_one_story(self, sim: Simulation) -> None:
        written = talk(sim, faults=DURABLE_FAULTS, is_durable=True)

        assert written.broken() == []

    @pytest.mark.chaos
    @pytest.mark.timeout(900)
    @simulate(schedules=MANY_SCHEDULES, first_seed=SCHEDULES)
    def test_all_clients_of_a_durable_store_are_told_one_story_for_long(
        self, sim: Simulation
    ) -> None:
        written = talk(sim, faults=DURABLE_FAULTS, is_durable=True)

        assert written.broken() == []

    @pytest.mark.slow
    def test_all_that_can_be_told_is_told(self) -> None:
        seen = Counter[str]()
        for seed in range(60):
            with Simulation(seed) as sim:
                for each in talk(sim).operations:
                    seen[each.outcome if each.error is None else each.error.__name__] += 1

        assert {
            "answered",
            "IdempotencyConflict",
            "SessionCrashed",
            "SessionNotFound",
            "SessionTerminating",
            "StoreError",
            "StoreOutcomeUnknown",
            "Timeout",
            "VersionConflict",
        } <= set(seen)


# -- planted ---------------------------------------------------------------


def lose_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say of every tenth commit that it is kept, and lose it."""
    calls = Counter[str]()
    right: Callable[[Any, Any], CommitOutcome] = GuardedStore[Any, Any].commit

    def commit(self: GuardedStore[Any, Any], entry: Any) -> CommitOutcome:
        calls["commit"] += 1
        if calls["commit"] % 10:
            return right(self, entry)
        entry.ledger.holder.rebase()
        return CommitOutcome.COMMITTED

    monkeypatch.setattr(GuardedStore, "commit", commit)


def forget_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find no message by its key."""

    def find(log: Log, client_msg_id: str) -> None:
        del log, client_msg_id

    monkeypatch.setattr(Log, "find", find)


def forget_creates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer a repeated create with the session as it is now."""

    def find(self: Creates, key: Key, *, now_s: float) -> Any:
        del now_s
        created = self._created.get(key)
        if created is not None:
            created.reply = None
        return created

    monkeypatch.setattr(Creates, "find", find)


def take_any_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not look at the version that an update is for."""
    right = Draft.expect

    def expect(self: Draft, version: int | None) -> None:
        del version
        right(self, None)

    monkeypatch.setattr(Draft, "expect", expect)


def read_what_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer a read of a session with what it was when it was read before."""
    right, before = reads._session, dict[str, Any]()

    def session(table: Any, read: Any, older: Any) -> Any:
        now = right(table, read, older)
        return before.pop(read.session_id, None) or before.setdefault(read.session_id, now)

    monkeypatch.setattr(reads, "_session", session)


def count_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give an update the version of the commit before."""
    right = Draft._change

    def change(self: Draft, **changes: Any) -> Any:
        right(self, **changes)
        version = self.session.version - 1
        self.session = msgspec.structs.replace(self.session, version=version)
        return self.session

    monkeypatch.setattr(Draft, "_change", change)


@pytest.mark.parametrize(
    "plant",
    [
        lose_commits,
        forget_keys,
        forget_creates,
        take_any_version,
        read_what_was,
        count_no_version,
    ],
)
def test_a_bug_in_the_library_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    assert any(told_of(seed) for seed in range(FOUND_WITHIN))
