"""Is what a host's own generator makes fit to be the id of a session? Checked before it is used."""

from __future__ import annotations

from callboard.actors.checks import check
from callboard.actors.errors import SpawnError
from callboard.actors.limits import SessionLimits
from callboard.actors.messages import GetSessionRef
from callboard.supervision import IdGenerator


class CheckedIds:
    """The ids of another generator, none of which can harm whoever asks for one.

    Args:
        ids: makes them.
        limits: the bounds of an id.
    """

    def __init__(self, ids: IdGenerator, limits: SessionLimits) -> None:
        self._ids = ids
        self._limits = limits

    def new_id(self) -> str:
        """Return a new id.

        Raises:
            SpawnError: the generator failed.
            InvalidField: what it made is no id.
        """
        try:
            made = self._ids.new_id()
        except Exception as error:  # a port's foreign code, translated
            msg = f"the id generator failed: {type(error).__name__}: {error}"
            raise SpawnError(msg) from error
        check(GetSessionRef(made), self._limits)
        return made
