"""What the manager makes of the end of an incarnation that it hears of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from callboard.actors.sessions.book import Book
from callboard.actors.sessions.data import Session
from callboard.actors.sessions.table import Row
from callboard.actors.sessions.verdict import Ended, News, PartitionLost
from callboard.actors.sessions.watching import Watcher
from callboard.supervision import Killed


class Desk:
    """Keeps the news."""

    def __init__(self) -> None:
        self.news: list[News] = []

    def learn(self, row: Row, news: News) -> None:
        del row
        self.news.append(news)


@pytest.mark.parametrize(
    ("is_alive", "is_parent", "has_supervisor"),
    [
        pytest.param(True, True, True, id="its partition restarts it"),
        pytest.param(True, False, False, id="there is another one by now"),
        pytest.param(False, True, False, id="a partition that was killed takes it along"),
    ],
)
def test_only_a_living_partition_of_its_own_restarts_a_session(
    *, is_alive: bool, is_parent: bool, has_supervisor: bool
) -> None:
    desk: Any = Desk()
    partition = SimpleNamespace(ref=object(), is_alive=lambda: is_alive)

    def lookup(name: str) -> object:
        return partition if name == "sessions/0" else None

    system = SimpleNamespace(lookup=lookup)
    services: Any = SimpleNamespace(system=system, book=Book())
    parent = partition.ref if is_parent else object()
    cell = SimpleNamespace(
        is_started=True, incarnation=1, reason=Killed(), failed_on=None, parent=parent
    )

    watcher, row = Watcher(desk, services), Row(Session(id="ada"), active_s=0.0)
    watcher.ended(row, cell)

    (news,) = desk.news
    assert news == Ended(
        incarnation=1, reason=Killed(), has_supervisor=has_supervisor, run_by=parent
    )
    assert watcher.as_of_now(row, news) == news


def test_what_a_store_has_kept_back_is_looked_at_once_more() -> None:
    desk: Any = Desk()
    first, second = object(), object()
    partition = SimpleNamespace(ref=second, is_alive=lambda: True)

    def lookup(_name: str) -> object:
        return partition

    services: Any = SimpleNamespace(system=SimpleNamespace(lookup=lookup), book=Book())
    watcher, row = Watcher(desk, services), Row(Session(id="ada"), active_s=0.0)
    told = Ended(incarnation=1, reason=Killed(), has_supervisor=True, run_by=first)

    assert watcher.as_of_now(row, told) == msgspec.structs.replace(told, has_supervisor=False)
    assert watcher.as_of_now(row, GONE) is GONE


GONE = PartitionLost(incarnation=1)
