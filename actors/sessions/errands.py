"""How is a step of a spawn done without holding up anybody? In an actor of its own, for a while.

    session --- Errand("workspace")     blocks a worker, or awaits on the loop; bounded; killed
       or                               when its time is over, or with whoever sent it
    Undertaker --- Errand(...)          when there is no session's actor to undo its steps

Source: Elixir, Task.async with Task.shutdown(task, :brutal_kill).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Protocol

import msgspec

from callboard.actors.secrets import Secrets, Vault
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.spawn import Changes, Step, cause_of
from callboard.supervision import ActorRef, Request, SupervisedActor, handles


class Ledger(Protocol):
    """To whom it is told how a step went."""

    def tell(self, session: Session, kind: EventKind, /, **details: object) -> None:
        """Emit an event of a session."""
        ...


class Go(Request[Any], frozen=True):
    """To an errand: do it."""


class _Failed(msgspec.Struct, frozen=True):
    """The answer of an errand whose act raised: no crash, for the step's failure is expected."""

    error: Exception


class Errand(SupervisedActor):
    """Calls one function, once.

    Args:
        act: what to call; it may block, or return a coroutine.
    """

    def __init__(self, act: Callable[[], Any]) -> None:
        super().__init__()
        self._act = act

    @handles(Go)
    def on_go(self, message: Go) -> Any:
        """Call it; reply what it returns."""
        del message
        self.stop()  # after this message
        try:
            result = self._act()
        except Exception as error:  # noqa: BLE001 -- named edge: a step is foreign code
            return _Failed(error)
        if inspect.iscoroutine(result):
            return self._awaited(result)
        return result

    async def _awaited(self, result: Awaitable[Any]) -> Any:
        try:
            return await result
        except Exception as error:  # noqa: BLE001 -- named edge: a step is foreign code
            return _Failed(error)


async def send(
    sender: SupervisedActor,
    act: Callable[[], Any],
    *,
    within_s: float,
    sent: Callable[[ActorRef[Any]], object] | None = None,
) -> Any:
    """Have `act()` called by an actor of its own, and await what it returns.

    The errand does not outlive its sender, nor its time: then it is killed.

    Args:
        sender: who awaits it, in a handler of its own.
        act: what to call; it may block, or return a coroutine.
        within_s: how long it may take.
        sent: called with the errand's ref when that has begun.

    Raises:
        Exception: what `act` raised.
        DeliveryError: it took too long (`Timeout`), or was killed.
    """
    mine, errand = sender.actor_ref, sender.system.spawn(Errand, act)
    try:
        # Not a link: an orderly end of the sender ends it, too, and at once.
        if not mine.when_dead(errand, lambda _: errand.kill()):
            errand.kill()
        if sent is not None:
            sent(errand)
        result = await errand.ask_async(Go(), timeout=within_s)
    except BaseException:
        errand.kill()
        raise
    finally:
        mine.forget_bond(errand)
    if isinstance(result, _Failed):
        raise result.error
    return result


async def do(
    sender: SupervisedActor,
    step: Step,
    session: Session,
    secrets: Secrets,
    *,
    sent: Callable[[ActorRef[Any]], object],
) -> Changes:
    """Do a step; return what it changes.

    Raises:
        SessionError: it failed; the text holds no secret.
    """
    vault = Vault(secrets)
    assert step.do is not None
    try:
        act = partial(step.do, session, vault)
        return await send(sender, act, within_s=step.do_s, sent=sent) or {}
    except Exception as error:  # noqa: BLE001 -- named edge: a step is foreign code
        cause = cause_of(step, session, error, vault)
    # Out here, not from it: the chain would carry what the text must not hold.
    raise cause


async def undo(
    sender: SupervisedActor, steps: Iterable[Step], session: Session, ledger: Ledger
) -> None:
    """Undo steps in this order, each within its time; tell how each went.

    One that fails is told, and the rest is done all the same.
    """
    clock = sender.system.clock
    for step in steps:
        assert step.undo is not None
        begun_s, is_done = clock.now_s(), True
        try:
            await send(sender, partial(step.undo, session), within_s=step.undo_s)
        except Exception:  # noqa: BLE001 -- named edge: a cleanup step
            is_done = False
        seconds = clock.now_s() - begun_s
        ledger.tell(session, EventKind.CLEANUP_STEP, name=step.name, ok=is_done, seconds=seconds)


class Begin(msgspec.Struct, frozen=True):
    """To an undertaker itself: begin."""


class Undertaker(SupervisedActor):
    """Undoes what a session has spawned when its own actor cannot: it is dead, or never was.

    It is a root of the system, spawned by the manager, who hears of its end.

    Args:
        session: the last snapshot.
        steps: what to undo, in order.
        ledger: hears how each step went.
    """

    def __init__(self, session: Session, steps: tuple[Step, ...], ledger: Ledger) -> None:
        super().__init__()
        self._session = session
        self._steps = steps
        self._ledger = ledger

    def on_start(self) -> None:
        """Begin."""
        self.continue_with(Begin())

    @handles(Begin)
    async def on_begin(self, message: Begin) -> None:
        """Undo all of it, and end."""
        del message
        await undo(self, self._steps, self._session, self._ledger)
        self.stop()
