"""One child as its supervisor sees it: its spec, its current life, and how often it came back."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.specs import ChildId, ChildSpec, RestartType

RefT = TypeVar("RefT")
"""What stands for one incarnation; the model never looks inside."""


class Child(msgspec.Struct, Generic[RefT], frozen=True, kw_only=True):
    """One child of a supervisor at one moment.

    It runs (a ref), or is stopped (no ref), or waits to be restarted: after a
    start that failed, or for the end of a delay. A child whose incarnation has
    died runs in this sense until its supervisor has handled the exit. Under a
    supervisor with concurrent starts it may also be starting.

    Args:
        key: its place among its siblings: the id, or a number of a dynamic supervisor's own.
        spec: how to start, restart and stop it.
        args: arguments of its own, behind those of the spec, which many dynamic children may
            share; a restart uses them again.
        ref: its current incarnation; while it waits, the one that ended, if it was not
            stopped meanwhile.
        is_restarting: whether it waits to be restarted.
        is_starting: whether its start is under way while its supervisor does other things: the
            ref is the incarnation that starts, None while its predecessor still cleans up.
            Beyond OTP, where a supervisor does nothing else meanwhile.
        incarnation: number of its latest start, failed ones included; 0 before the first.
        started_at_s: monotonic seconds of its latest start that succeeded; kept only for a
            spec with a backoff.
        window: the restarts counted against a budget of its own; None before the first.
        delays: restarts since it last lived long enough for its backoff to begin again.

    Source: OTP supervisor.erl, record `child`, whose `pid` is a process, `undefined` or
    `{restarting, OldPid}`.
    """

    key: ChildId
    spec: ChildSpec
    args: tuple[object, ...] = ()
    ref: RefT | None = None
    is_restarting: bool = False
    is_starting: bool = False
    incarnation: int = 0
    started_at_s: float = 0.0
    window: RestartWindow | None = None
    delays: int = 0

    @property
    def id(self) -> ChildId:
        """What it is called in reports and answers: by its key, unless that only numbers it."""
        return self.key if isinstance(self.key, str) else self.spec.id

    @property
    def is_running(self) -> bool:
        """Whether it has an incarnation of which no end was handled yet."""
        return self.ref is not None and not self.is_restarting

    @property
    def is_stopped(self) -> bool:
        """Whether there is only a spec: nothing runs, and nothing is about to."""
        return self.ref is None and not self.is_restarting and not self.is_starting

    @property
    def takes_chances(self) -> bool:
        """Whether chance has a say in when it is restarted."""
        backoff = self.spec.backoff
        return backoff is not None and backoff.jitter > 0

    @property
    def is_temporary(self) -> bool:
        """Whether its spec goes with it."""
        return self.spec.restart is RestartType.TEMPORARY

    def having_spent(self, window: RestartWindow, *, now_s: float) -> Child[RefT]:
        """Return it with restarts that it had in another place, counted on from there.

        Args:
            window: those restarts, in the window of its own budget.
            now_s: monotonic seconds; what lies too long back counts no more.
        """
        window = window.at(now_s)
        return msgspec.structs.replace(self, window=window, delays=len(window.restarts))

    def attempted(self) -> Child[RefT]:
        """Return it with the number of the start that begins now."""
        return msgspec.structs.replace(self, incarnation=self.incarnation + 1)

    def starting(self, ref: RefT | None) -> Child[RefT]:
        """Return it with an incarnation whose start is not complete."""
        return msgspec.structs.replace(self, ref=ref, is_restarting=False, is_starting=True)

    def started(self, ref: RefT, *, now_s: float) -> Child[RefT]:
        """Return it with its new incarnation."""
        started_at_s = 0.0 if self.spec.backoff is None else now_s
        return msgspec.structs.replace(
            self, ref=ref, is_restarting=False, started_at_s=started_at_s
        )

    def stopped(self) -> Child[RefT]:
        """Return it without an incarnation, its place and its history kept."""
        return msgspec.structs.replace(self, ref=None, is_restarting=False, is_starting=False)

    def waiting(self, ref: RefT | None) -> Child[RefT]:
        """Return it waiting to be restarted in place of `ref`."""
        return msgspec.structs.replace(self, ref=ref, is_restarting=True)
