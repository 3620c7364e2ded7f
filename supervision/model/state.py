"""One supervisor at one moment: everything a decision looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic

import msgspec

from callboard.supervision.model.child import Child, RefT
from callboard.supervision.model.intensity import RestartWindow
from callboard.supervision.model.specs import ChildId, SupervisorFlags


class SupervisorState(msgspec.Struct, Generic[RefT], frozen=True, kw_only=True):
    """One supervisor at one moment.

    Args:
        name: the supervisor's path, as events show it.
        flags: its strategy, its limit, its automatic shutdown.
        children: key -> child, in start order. A decision only reads it, so it may be the
            supervisor's own table.
        window: the restarts counted so far; None without a limit.
        is_dynamic: whether children have no lasting place: each is forgotten when it ends and
            is not restarted, and all are asked to stop at once. OTP's `simple_one_for_one`
            and Elixir's `DynamicSupervisor` are such.
        is_watched: whether anybody hears its reports; no report is made for nobody, but the one
            of a child that is given up, which the supervisor itself may be made to act on.
        hears_routine: whether whoever hears them wants those, too, of what goes as it should.

    Source: OTP supervisor.erl, record `state`.
    """

    name: str
    flags: SupervisorFlags
    children: Mapping[ChildId, Child[RefT]]
    window: RestartWindow | None = None
    is_dynamic: bool = False
    is_watched: bool = True
    hears_routine: bool = True

    def forgets(self, child: Child[RefT]) -> bool:
        """Say whether nothing is left of this child when it has ended for good."""
        return self.is_dynamic or child.is_temporary
