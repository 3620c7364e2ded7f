"""How often may a session crash? Its budget, and how long it waits before each restart."""

from __future__ import annotations

from typing import Final

from callboard.supervision.model.backoff import Backoff
from callboard.supervision.model.intensity import RestartWindow

RESTARTS: Final = RestartWindow(intensity=3, period_s=60.0)
"""More restarts of one session in this time, and it is quarantined."""

DELAYS: Final = Backoff(delays_s=(0.0, 0.1, 1.0))
"""How long to wait before each of them."""
