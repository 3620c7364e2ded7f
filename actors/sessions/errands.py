"""How is a step of a spawn done without holding up anybody? In an actor of its own, for a while.

    session --- Errand("workspace")     blocks a worker, or awaits on the loop; bounded; killed
       or                               when its time is over, or with whoever sent it
    Undertaker --- Errand(...)          when there is no session's actor to undo its steps

Source: Elixir, Task.async with Task.shutdown(task, :brutal_kill).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from callboard.actors.secrets import Secrets, Vault
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.events import EventKind
from callboard.actors.sessions.spawn import Changes, Step, cause_of
from callboard.supervision import LATER, ActorRef, Request, SupervisedActor, handles

QUEUED_S: Final = 60.0
"""How long the undoing of a step may wait for a worker, in seconds."""

LEAVE_S: Final = 2.0
"""Seconds that a killed errand gets to leave the code it was in, before its step is undone.

Longer than the grace of a kill: what is at work after that is abandoned, not just kept waiting
on a busy machine.
"""

_LEAVE_CHECK_S = 0.001
"""How often is looked whether it has."""


class Teller(Protocol):
    """To whom it is told how a step went."""

    def tell(self, session: Session, kind: EventKind, /, **details: object) -> None:
        """Emit an event of a session."""
        ...


class Go(Request[Any], frozen=True):
    """To an errand: do it."""


class Come(Request[None], frozen=True):
    """To an errand: say so when a worker has taken you up, then do it and keep the outcome."""


class Fetch(Request[Any], frozen=True):
    """To an errand that has come: give the outcome."""


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
        self._outcome: Any = None

    @handles(Go)
    def on_go(self, message: Go) -> Any:
        """Call it; reply what it returns."""
        del message
        self.stop()  # after this message
        return self._called(lambda outcome: outcome)

    @handles(Come)
    def on_come(self, message: Come) -> Any:
        """Answer first, then call it: its time is counted from here, not from when it was sent."""
        del message
        self.reply_later().offer(None)
        return self._called(self._keep)

    @handles(Fetch)
    def on_fetch(self, message: Fetch) -> Any:
        """Reply what it has returned."""
        del message
        self.stop()
        return self._outcome

    def _keep(self, outcome: Any) -> Any:
        self._outcome = outcome
        return LATER

    def _called(self, reply: Callable[[Any], Any]) -> Any:
        if inspect.iscoroutinefunction(self._act):
            # Made where it is awaited: an errand that is killed before leaves none behind.
            return self._awaited(self._act, reply)
        try:
            result = self._act()
        except Exception as error:  # noqa: BLE001 -- named edge: a step is foreign code
            return reply(_Failed(error))
        return (
            self._awaited(lambda: result, reply) if inspect.iscoroutine(result) else reply(result)
        )

    async def _awaited(
        self, begin: Callable[[], Awaitable[Any]], reply: Callable[[Any], Any]
    ) -> Any:
        try:
            outcome = await begin()
        except Exception as error:  # noqa: BLE001 -- named edge: a step is foreign code
            outcome = _Failed(error)
        return reply(outcome)


async def send(
    sender: SupervisedActor,
    act: Callable[[], Any],
    *,
    within_s: float,
    queued_s: float | None = None,
    sent: Callable[[ActorRef[Any]], object] | None = None,
) -> Any:
    """Have `act()` called by an actor of its own, and await what it returns.

    The errand does not outlive its sender, nor its time: then it is killed.

    Args:
        sender: who awaits it, in a handler of its own.
        act: what to call; it may block, or return a coroutine.
        within_s: how long it may take.
        queued_s: how long it may wait for a worker before that; None: that is part of `within_s`.
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
        if queued_s is None:
            result = await errand.ask_async(Go(), timeout=within_s)
        else:
            await errand.ask_async(Come(), timeout=queued_s)
            result = await errand.ask_async(Fetch(), timeout=within_s)
    except BaseException:  # cancelled too: it is not left at work
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
    sender: SupervisedActor,
    steps: Iterable[Step],
    session: Session,
    teller: Teller,
    *,
    after: ActorRef[Any] | None = None,
) -> None:
    """Undo steps in this order, each within its time; tell how each went.

    One that fails is told, and the rest is done all the same.

    Args:
        sender: who awaits it, in a handler of its own.
        steps: what to undo.
        session: the last snapshot.
        teller: hears how each step went.
        after: who did a step: what it has not begun it does no more, and what it is still in the
            middle of would otherwise be made when it has been undone: it gets `LEAVE_S` to leave.
    """
    clock = sender.system.clock
    until_s = clock.now_s() + LEAVE_S
    if after is not None:
        # Its session is dead, but whoever ends that pays one promise after the other: the manager
        # may know before the errand is killed, and that would yet begin what is being undone.
        after.kill()
    while after is not None and after.is_at_work and clock.now_s() < until_s:  # noqa: ASYNC110 -- nobody tells when it has left
        await asyncio.sleep(_LEAVE_CHECK_S)
    for step in steps:
        assert step.undo is not None
        begun_s, is_done = clock.now_s(), True
        try:
            act = partial(step.undo, session)
            # Where very many end at once, most wait for a worker: that is no failure of theirs.
            await send(sender, act, within_s=step.undo_s, queued_s=QUEUED_S)
        except Exception:  # noqa: BLE001 -- named edge: a cleanup step
            is_done = False
        seconds = clock.now_s() - begun_s
        teller.tell(session, EventKind.CLEANUP_STEP, name=step.name, ok=is_done, seconds=seconds)


class UndoAll(msgspec.Struct, frozen=True):
    """To an undertaker itself: undo what there is."""


class Undertaker(SupervisedActor):
    """Undoes what a session has spawned when its own actor cannot: it is dead, or never was.

    It is a root of the system, spawned by the manager, who hears of its end.

    Args:
        session: the last snapshot.
        steps: what to undo, in order.
        teller: hears how each step went.
        after: who did a step, and may be at it still.
    """

    def __init__(
        self,
        session: Session,
        steps: tuple[Step, ...],
        teller: Teller,
        after: ActorRef[Any] | None = None,
    ) -> None:
        super().__init__()
        self._after = after
        self._session = session
        self._steps = steps
        self._teller = teller

    def on_start(self) -> None:
        """Begin."""
        self.continue_with(UndoAll())

    @handles(UndoAll)
    async def on_undo_all(self, message: UndoAll) -> None:
        """Undo all of it, and end."""
        del message
        await undo(self, self._steps, self._session, self._teller, after=self._after)
        self.stop()
