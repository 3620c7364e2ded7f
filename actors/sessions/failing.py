"""What does the log say of a session that did not start, or is not run any more?

A crash of one that runs is told by its partition, as of any child. A start that somebody asked for
is answered, and of a `tell` nobody reads the answer.
"""

from __future__ import annotations

import logging
from typing import ClassVar

import msgspec


class StartFailed(msgspec.Struct, frozen=True):
    """An event of the system's hook: a session did not start.

    Args:
        session_id: which.
        cause: why it was started: for the first time, woken by a message, resumed or revived.
        reason: what failed.
    """

    log_level: ClassVar[int] = logging.WARNING
    log_event: ClassVar[str] = "session.start.failed"

    session_id: str
    cause: str
    reason: str


class Quarantined(msgspec.Struct, frozen=True):
    """An event of the system's hook: a session failed too often, and is not run.

    Args:
        session_id: which.
        restarts: how often it failed in all.
        reason: how it failed last.
    """

    log_level: ClassVar[int] = logging.ERROR
    log_event: ClassVar[str] = "session.quarantined"

    session_id: str
    restarts: int
    reason: str | None
