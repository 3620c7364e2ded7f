"""How long a loop remembers whom it was to wake: no longer than somebody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from callboard.supervision import Future
from callboard.supervision.runtime.replies import _SWEPT_FROM, Group, Replies

LONG_S = 600.0
"""A deadline as that of a prompt."""

TIMERS_LEFT_MAX = 4 * _SWEPT_FROM
"""Those of the groups, and those that were called off: asyncio drops these at each doubling."""


class Loop(asyncio.SelectorEventLoop):
    """A loop whose time a test moves; it counts the timers it still has, called off or not."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    @property
    def armed(self) -> int:
        return len(vars(self)["_scheduled"])  # asyncio's own heap

    def turn(self) -> None:
        """Run what is due."""
        self.call_soon(self.stop)
        self.run_forever()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


class TestDeadlinesOfReplies:
    def test_that_have_come_are_forgotten_long_before_the_deadlines(self, loop: Loop) -> None:
        replies = Replies(loop)

        for _ in range(5_000):
            self.answered(replies, left_s=LONG_S)
            loop.now_s += 0.02
            loop.turn()

        assert len(replies._groups) <= _SWEPT_FROM
        assert loop.armed <= TIMERS_LEFT_MAX

    def test_that_come_are_met_however_many_others_were_forgotten(self, loop: Loop) -> None:
        replies = Replies(loop)
        late = Future[int]()
        waiting = loop.create_future()
        replies.watch(waiting, late, LONG_S)

        for _ in range(int(LONG_S) - 1):
            self.answered(replies, left_s=LONG_S)
            loop.now_s += 1.0
            loop.turn()
        assert not late.is_done
        loop.now_s += 1.0
        loop.turn()

        assert late.is_done
        assert waiting.done()

    def test_share_a_timer_which_goes_off_at_the_first(self, loop: Loop) -> None:
        replies = Replies(loop)
        later, sooner = Future[int](), Future[int]()
        loop.now_s = 1.0
        groups = [
            replies.watch(loop.create_future(), later, 0.008),
            replies.watch(loop.create_future(), sooner, 0.002),
        ]

        loop.now_s += 0.002
        loop.turn()
        met = sooner.is_done, later.is_done
        loop.now_s += 0.006
        loop.turn()

        assert groups[0] is groups[1]
        assert met == (True, False)
        assert later.is_done
        assert loop.armed == 0
        assert not replies._groups

    @staticmethod
    def answered(replies: Replies, *, left_s: float) -> Group:
        """Wait for a reply that comes at once."""
        waiting = replies.loop.create_future()
        group = replies.watch(waiting, Future[int](), left_s)
        group.members.pop(waiting)
        return group
