"""A test that takes too long is found out by one thread for all."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest

from tests.watch import Watch

WITHIN_S = 20.0


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch(every_s=0.001)
    yield watch
    watch.close()


class TestAWatch:
    def test_finds_out_a_test_that_is_overdue(self, watch: Watch) -> None:
        found = threading.Event()

        watch.begin(found.set, within_s=0.0)

        assert found.wait(WITHIN_S)

    def test_lets_one_go_that_has_ended_in_time(self, watch: Watch) -> None:
        late, next_one = threading.Event(), threading.Event()
        watch.begin(late.set, within_s=math.inf)

        watch.end()
        watch.begin(next_one.set, within_s=0.0)

        assert next_one.wait(WITHIN_S)
        assert not late.is_set()

    def test_is_one_thread_for_all(self, watch: Watch) -> None:
        before = threading.active_count()

        for _ in range(3):
            watch.begin(lambda: None, within_s=math.inf)

        assert threading.active_count() == before + 1


def test_every_test_is_watched(request: pytest.FixtureRequest) -> None:
    assert not hasattr(request.node, "cancel_timeout"), "pytest-timeout has started a thread"
    assert [each.name for each in threading.enumerate()].count("watch") == 1
