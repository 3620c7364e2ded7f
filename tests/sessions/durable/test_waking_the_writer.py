"""The writer looks what waits whenever it may have been woken for that, or could not be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from callboard.actors import AppendMessage, CreateSession, Role
from callboard.actors.sessions.store_writer import Probe
from callboard.actors.sessions.storing import Storing
from callboard.actors.testing.stores import StoreInMemory
from tests.sessions.stage import Stage, later, services_of


def probes(storing: Storing) -> None:
    """Have a message other than that come, which may have been taken for it."""
    storing.writer.notify(Probe())


def leaves(storing: Storing) -> None:
    """Have somebody leave the store who was killed there: his own messages reach nobody."""
    storing.leave()


@pytest.mark.parametrize("happens", [probes, leaves])
def test_a_commit_is_written_though_nobody_was_woken_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Storing], None]
) -> None:
    opened = stage.open(store=StoreInMemory())
    storing = services_of(opened).storing
    assert storing is not None
    ada = opened.ask(CreateSession()).id
    stage.settle()
    monkeypatch.setattr(storing.journal, "_wake", lambda: None)
    asked = later(opened, AppendMessage(ada, Role.USER, "hello"))
    stage.settle()
    assert storing.journal.has_more
    assert not asked.is_done

    happens(storing)
    stage.settle()

    assert not storing.journal.has_more
    assert asked.error is None
