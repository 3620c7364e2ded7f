"""Which finished greenlets can be used again? A new one costs ten times as much as a switch."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from callboard.supervision.testing.fibres import Fibre

if TYPE_CHECKING:
    from callboard.supervision.testing.hub import Hub

_SPARE_FIBRES_MAX = 64
"""Finished greenlets that are kept from one simulation to the next."""


class Spares:
    """The fibres of one simulation that nobody uses just now.

    Args:
        hub: what they run for.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._idle: list[Fibre] = []

    def take(self) -> Fibre:
        """Return one that has nothing to do."""
        if self._idle:
            return self._idle.pop()
        fibre = _kept.fibres.pop() if _kept.fibres else Fibre()
        fibre.hub = self._hub
        return fibre

    def give_back(self, fibre: Fibre) -> None:
        """Take one back that has finished."""
        self._idle.append(fibre)

    def close(self) -> None:
        """Keep some for the next simulation of this thread, and end the others."""
        for fibre in self._idle:
            fibre.rest()
            if len(_kept.fibres) < _SPARE_FIBRES_MAX:
                _kept.fibres.append(fibre)
            else:
                fibre.end()
        self._idle.clear()


class _Kept(threading.local):
    """Finished greenlets of this thread, for its next simulation."""

    def __init__(self) -> None:
        self.fibres: list[Fibre] = []


_kept = _Kept()
