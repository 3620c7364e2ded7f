"""A store that somebody else takes over, or that refuses for a while."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.actors import (
    CreateSession,
    Shutdown,
    StoreError,
    StoreFenced,
    StoreOutcomeUnknown,
    StoreTooNew,
)
from callboard.actors.sessions.storing import StoreRefuses, StoreTakenOver, StoreTakesAgain
from callboard.actors.testing.stores import StoreInMemory
from callboard.supervision.model.events import ChildCrashed
from tests.cast import Say
from tests.sessions.durable.kit import DISK_FULL, begin
from tests.sessions.stage import Stage


class Lent(StoreInMemory):
    """A store with a lease."""

    renew_every_s = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0
        self.renewed = 0
        self.is_taken = False
        self.says: Exception = StoreFenced("the store")

    def open(self) -> None:
        self.opened += 1

    def renew(self) -> None:
        self.renewed += 1
        if self.is_taken:
            raise self.says

    def write(self, writes: Any) -> Any:
        if self.is_taken:
            raise self.says
        return super().write(writes)


class TestAStoreWithALease:
    def test_is_opened_first_and_renewed_in_its_time(self, stage: Stage) -> None:
        store = Lent()
        begin(stage, store)
        stage.settle()
        before = store.renewed

        stage.advance(10.1)

        assert (store.opened, store.renewed - before) == (1, 5)

    def test_that_somebody_else_takes_over_is_told_and_refuses(self, stage: Stage) -> None:
        store, told = Lent(), list[object]()
        sessions = begin(stage, store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id
        store.is_taken = True

        stage.advance(2.1)
        with pytest.raises(StoreFenced):
            sessions.ask(Say(ada, text="too late"))

        assert len([each for each in told if isinstance(each, StoreTakenOver)]) == 1
        assert sessions.health().failing == ("writer", "store")
        assert sessions.get(ada).last_seq == 0

    def test_that_cannot_be_used_any_more_is_somebody_elses(self, stage: Stage) -> None:
        store, told = Lent(), list[object]()
        sessions = begin(stage, store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id
        store.is_taken, store.says = True, StoreTooNew("the store", version=2, known=1)

        with pytest.raises(StoreFenced, match="version 2") as caught:
            sessions.ask(Say(ada, text="too late"))
        stage.advance(60.0)

        assert not caught.value.is_retryable
        assert len([each for each in told if isinstance(each, StoreTakenOver)]) == 1
        assert not [each for each in told if isinstance(each, ChildCrashed)]
        assert sessions.get(ada).last_seq == 0

    def test_that_is_taken_over_while_a_commit_is_in_doubt_says_both(self, stage: Stage) -> None:
        store, told = Lent(), list[object]()
        sessions = begin(stage, store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id
        store.refuse(StoreOutcomeUnknown("lost"), StoreFenced("the store"))

        with pytest.raises(StoreOutcomeUnknown):
            sessions.ask(Say(ada, text="in doubt"))

        assert len([each for each in told if isinstance(each, StoreTakenOver)]) == 1
        refusal = sessions.health().store
        assert refusal is not None
        assert refusal.error is not None
        assert "taken" in refusal.error


class TestAStoreThatRefuses:
    def test_is_told_once_until_it_takes_something_again(
        self, stage: Stage, store: StoreInMemory
    ) -> None:
        told: list[object] = []
        sessions = begin(stage, store, on_event=told.append)
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL, DISK_FULL)

        for _ in range(2):
            with pytest.raises(StoreError, match="full"):
                sessions.ask(Say(ada, text="no"))
        sessions.ask(Say(ada, text="yes"))
        sessions.ask(Say(ada, text="yes"))

        said = [each for each in told if isinstance(each, (StoreRefuses, StoreTakesAgain))]
        assert said == [StoreRefuses("the disk is full", DISK_FULL.remedy), StoreTakesAgain()]

    def test_leaves_nothing_to_do(self, stage: Stage, store: StoreInMemory) -> None:
        sessions = begin(stage, store)
        ada = sessions.ask(CreateSession()).id
        store.refuse(DISK_FULL)
        with pytest.raises(StoreError, match="full"):
            sessions.ask(Say(ada, text="no"))

        assert sessions.ask(Shutdown(grace_s=60.0)) == ()
