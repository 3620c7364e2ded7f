"""Waiting in the name of an actor: the same for threads and for a simulation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from callboard.supervision.runtime.cycles import refuse_cycle
from callboard.supervision.runtime.interrupts import KillSignal

if TYPE_CHECKING:
    from callboard.supervision.runtime.current import Runner
    from callboard.supervision.runtime.futures import Future


def wait_as_actor(
    runner: Runner,
    future: Future[Any],
    until_s: float | None,
    wait: Callable[[Future[Any], float | None], None],
) -> None:
    """Wait in the name of the actor that runs here: cycles are refused, a kill wakes.

    Args:
        runner: what runs the actor.
        future: what it waits for.
        until_s: when to give up, in the dispatcher's seconds, or None.
        wait: waits, and may return early when the future was roused.

    Raises:
        AskCycle: the wait would never end.
        KillSignal: the actor was killed meanwhile.
    """
    cell = runner.cell
    assert cell is not None
    now_s = cell.system.dispatcher.now_s
    cell.waiting = future
    try:
        refuse_cycle(cell, future)
        # A kill of one who waits rouses all who wait for the same future: the others go on.
        while not (cell.is_dead or future.is_done or (until_s is not None and now_s() >= until_s)):
            wait(future, until_s)
    finally:
        cell.waiting = None
    if cell.is_dead:
        raise KillSignal
