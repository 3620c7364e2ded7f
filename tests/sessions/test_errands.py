"""How long a step may take is counted from when it is taken up, where it is only undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from callboard.actors.sessions.errands import send
from callboard.supervision import ActorRef, ActorSystem, Request, SupervisedActor, Timeout, handles
from callboard.supervision.testing import Simulation


class Send(Request[str], frozen=True):
    queued_s: float | None
    is_async: bool = False


class Sender(SupervisedActor):
    """Sends errands that nobody takes up until the test lets them."""

    def __init__(self, held: list[ActorRef[Any]]) -> None:
        super().__init__()
        self._held = held

    @handles(Send)
    async def on_send(self, message: Send) -> str:
        def sent(errand: ActorRef[Any]) -> None:
            errand.suspend()
            self._held.append(errand)

        async def done_later() -> str:
            return "done"

        act: Any = done_later if message.is_async else lambda: "done"
        result: str = await send(self, act, within_s=0.1, queued_s=message.queued_s, sent=sent)
        return result


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    simulation = Simulation(0)
    yield simulation
    simulation.close()


@pytest.mark.parametrize("is_async", [False, True], ids=["blocking", "async"])
@pytest.mark.parametrize("queued_s", [10.0, None, 0.5])
def test_what_waits_for_a_worker_takes_none_of_its_time(
    simulation: Simulation, queued_s: float | None, *, is_async: bool
) -> None:
    held: list[ActorRef[Any]] = []
    sender = ActorSystem("errands", runtime=simulation.runtime).spawn(Sender, held)

    answer = sender.ask(Send(queued_s, is_async), block=False, timeout=60.0)
    simulation.settle()
    simulation.advance(1.0)
    for errand in held:
        errand.resume()
    simulation.settle()

    if queued_s == 10.0:
        assert answer.get(timeout=0) == "done"
    else:
        with pytest.raises(Timeout):
            answer.get(timeout=0)
    assert [each.is_dead for each in held] == [True]
