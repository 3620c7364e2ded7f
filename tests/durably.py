"""The tests of sessions once more, each with a durable store: `scripts/test-durably`.

A pytest plugin. Every `SessionSystem` that is given no store gets a `StoreInMemory`, and undoes at
its stop what its sessions have, as one in memory does: that is what the tests expect. What is true
in memory alone is marked `in_memory`, and why.
"""

from __future__ import annotations

import functools
from typing import Any

import pytest

from callboard.actors import SessionSystem
from callboard.actors.testing.stores import StoreInMemory
from tests.choosing import keep_only


def pytest_configure(config: pytest.Config) -> None:
    """Give every system a store."""
    del config
    system: Any = SessionSystem
    begin, leave = system.__init__, system._leave

    @functools.wraps(begin)
    def init(self: Any, *args: Any, store: Any = None, **options: Any) -> None:
        begin(self, *args, store=StoreInMemory() if store is None else store, **options)
        self.undoes_all = store is None

    def leave_nothing(self: Any, actors: Any, within_s: float) -> None:
        services = self._services
        if services is None or not self.undoes_all:
            leave(self, actors, within_s)
            return
        storing, services.storing = services.storing, None
        try:
            leave(self, actors, within_s)
        finally:
            services.storing = storing

    system.__init__, system._leave = init, leave_nothing


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is true in memory alone."""
    keep_only(items, lambda each: each.get_closest_marker("in_memory") is None, config)
