"""Whoever looks after the store of a running system: one at a time, and one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callboard.actors import SessionSystem
from callboard.actors.sessions.operating import StoreOperator
from callboard.actors.sessions.store_writer import WorkOver
from callboard.supervision import Address
from tests.laws import services_of


def test_a_work_that_is_done_keeps_nobody_from_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the writer has yet to hear that nobody waits for it any more."""
    told: list[Any] = []
    notify: Callable[[Address[Any], Any], object] = Address[Any].notify

    def held_up(to: Address[Any], message: Any) -> None:
        if isinstance(message, WorkOver):
            told.append(message)
        else:
            notify(to, message)

    with SessionSystem(store=str(tmp_path / "sessions.db")) as sessions:
        services = services_of(sessions)
        operator, storing = StoreOperator(services), services.storing
        assert storing is not None

        async def twice() -> list[int]:
            return [(await operator.compact(ended_longer_than_s=0.0)).purged for _ in range(2)]

        monkeypatch.setattr(Address, "notify", held_up)
        assert asyncio.run(twice()) == [0, 0]
        for each in told:  # and when it hears of it, it harms no later one
            notify(storing.writer, each)
        assert asyncio.run(twice()) == [0, 0]
