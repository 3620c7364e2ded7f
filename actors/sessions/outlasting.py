"""When may an actor begin whose predecessor was killed? When that one has left its handler."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.operations import Until

_OUTLAST_CHECK_S = 0.001
"""How often it looks whether the killed one still works."""


def outlast(actor: SystemActor, predecessor: Any) -> Generator[Until, bool, None]:
    """Wait until a killed predecessor's handler is over: two must not write at once.

    Args:
        actor: who waits, in its `on_start`; no longer than the kill's grace.
        predecessor: the ref of the one before, or None.
    """
    clock = actor.system.clock
    until_s = clock.now_s() + actor.system.settings.kill_grace_s
    while predecessor is not None and predecessor.is_at_work:
        if clock.now_s() > until_s:
            break
        yield Until(lambda: False, _OUTLAST_CHECK_S)
