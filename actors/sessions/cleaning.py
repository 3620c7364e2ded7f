"""What else is to be done when a session ends? A port of the host's."""

from __future__ import annotations

from typing import Protocol

from callboard.actors.sessions.data import Session


class Cleaner(Protocol):
    """Removes what the host's own code has made for a session. The port.

    Called on every ending, whichever way it comes, before the workspace is
    removed: on a thread that may block, for many sessions at once. It may be
    called twice for one session, and may be ended when its time is over.
    """

    def clean(self, session: Session) -> None:
        """Clean up after a session.

        Args:
            session: its last snapshot, TERMINATING.

        Raises:
            Exception: it could not be done; that is reported, and the rest is done all the same.
        """
        ...


class NoCleaner:
    """Leaves everything as it is."""

    def clean(self, session: Session) -> None:
        """Do nothing."""
