"""What do the parts of the manager do by its hand? It is the one actor and the one writer."""

from __future__ import annotations

from typing import Any, Protocol

from callboard.actors.sessions.table import Row
from callboard.actors.sessions.verdict import News
from callboard.supervision import Future


class Desk(Protocol):
    """The manager, as its parts see it: they are called by it alone, one at a time."""

    def learn(self, row: Row, news: News) -> None:
        """Put news of a session before the verdict, and carry that out."""
        ...

    def remove(self, row: Row) -> None:
        """Take a row out of the table, and tell everybody who waits for that."""
        ...

    def send_after(self, delay_s: float, message: Any) -> object:
        """Get a message later; it dies with this manager."""
        ...

    def send_on(self, message: Any) -> None:
        """Get a message after those that wait now; it dies with this manager."""
        ...

    def reply_later(self) -> Future[Any]:
        """Return the future of the message in hand."""
        ...
