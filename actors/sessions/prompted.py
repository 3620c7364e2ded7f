"""Which prompts were repeated, and what was the first one told? A session's incarnation remembers.

A prompt whose `client_msg_id` stands in the log was given before: the agent must not
do it twice. The repetition waits for the reply of the first; when that is not known
any more, it is refused with the place in the log behind which the answer stands.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any, Final

from callboard.supervision import DeliveryError, Future

PROMPTS_MAX: Final = 128
"""Prompts whose replies one incarnation remembers, the last ones that had a key."""


class Prompted:
    """The replies to the last prompts that had a key. The session's own thread alone."""

    def __init__(self) -> None:
        self._replies: OrderedDict[str, Future[Any]] = OrderedDict()
        self._current: Future[Any] | None = None

    def begin(self, key: str | None, first: Future[Any]) -> None:
        """Remember what this prompt's first asker will be told.

        Args:
            key: the prompt's own; None: it has none, and cannot be repeated.
            first: what he waits for. That his own time has run out is his own affair.
        """
        self._current = None
        if key is None:
            return
        reply = self._current = self._replies[key] = Future(blocker=first.blocker)
        if len(self._replies) > PROMPTS_MAX:
            self._replies.popitem(last=False)
        pass_on(first, reply)

    def find(self, key: str) -> Future[Any] | None:
        """Return what the asker of a prompt is or will be told, if that is remembered."""
        return self._replies.get(key)

    @property
    def current(self) -> Future[Any] | None:
        """What is told of the last prompt, if it had a key."""
        return self._current


def pass_on(source: Future[Any], target: Future[Any]) -> None:
    """Have one future end as another does, unless its asker hears only that nobody has answered."""
    if not source.add_waiter(partial(_copy, source, target)):
        _copy(source, target)


def _copy(source: Future[Any], target: Future[Any]) -> None:
    error = source.error
    if error is None:
        target.offer(source.get())
    elif not isinstance(error, DeliveryError):
        target.offer_exception(error)
