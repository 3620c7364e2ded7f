"""The system is stopped while what somebody waits for without an end hangs: he is answered."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from callboard.actors import CreateSession, Session, SessionSystem, TerminateSession
from callboard.actors.testing import FakeWorkspaces
from callboard.supervision import ActorKilled, Request

PATIENT_S = 30.0


class Stuck(FakeWorkspaces):
    """Folders of a disk that hangs where it is told to."""

    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where
        self.hangs = threading.Event()
        self.goes_on = threading.Event()

    def _reach(self, where: str) -> None:
        if where == self.where:
            self.hangs.set()
            self.goes_on.wait(PATIENT_S)

    def make(self, *args: Any, **options: Any) -> Any:
        self._reach("make")
        return super().make(*args, **options)

    def remove(self, *args: Any, **options: Any) -> Any:
        self._reach("remove")
        return super().remove(*args, **options)


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Stuck]:
    disk = Stuck(str(request.param))
    yield disk
    disk.goes_on.set()


CREATE = CreateSession(session_id="ada")


@pytest.mark.parametrize(
    ("disk", "asked"),
    [
        ("make", CREATE),
        ("remove", TerminateSession("ada", grace_s=0.05)),
        ("remove", TerminateSession("ada")),
    ],
    ids=["a create", "an end in the place of its actor", "an end"],
    indirect=["disk"],
)
def test_who_awaits_it_without_an_end_is_told(disk: Stuck, asked: Request[Any]) -> None:
    sessions = SessionSystem(workspace=disk, on_event=lambda _: None).start()

    async def stop_meanwhile() -> object:
        if asked is not CREATE:
            await sessions.ask_async(CREATE)
        waiting = asyncio.ensure_future(sessions.ask_async(asked, timeout=math.inf))
        await asyncio.to_thread(disk.hangs.wait, PATIENT_S)
        await asyncio.to_thread(sessions.stop, 0.5)
        await asyncio.wait([waiting], timeout=PATIENT_S / 10)
        if not waiting.done():
            waiting.cancel()
            return None
        return waiting.exception() or waiting.result()

    told = asyncio.run(stop_meanwhile())

    # The kill of what is stuck may have the end go on to its end in the last moment.
    assert isinstance(told, ActorKilled if asked is CREATE else (ActorKilled, Session))
    assert not getattr(told, "is_outcome_known", False)
