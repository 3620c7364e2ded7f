"""Did the session's own class answer what the message declares? Its author may have slipped."""

from __future__ import annotations

import logging
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from callboard.actors.daemon.errors import WrongReply
from callboard.actors.errors import SessionNotFound
from callboard.actors.messages import SessionMessage
from callboard.actors.system import SessionSystem
from callboard.supervision.model.requests import Request, handlers_of

R = TypeVar("R")

logger = logging.getLogger("callboard.daemon")


def checked(sessions: SessionSystem, message: Request[R], reply: R) -> R:
    """Return a reply if its type is the one that the message to a session declares.

    A handler that a subclass of `SessionActor` overrides may return anything,
    and nobody but a type checker would say so before a client reads nonsense.

    Raises:
        WrongReply: it is another one; the handler is named.
    """
    if not isinstance(message, SessionMessage):
        return reply  # the manager's, which is ours
    declared = _declared_by(type(message))
    if declared is object or type(reply) in _types(declared):
        return reply
    wrong = WrongReply(
        _handler_of(sessions, message),
        message=type(message).__name__,
        declared=_named(declared),
        given=type(reply).__name__,
    )
    logger.error("reply.wrong: %s", wrong)
    raise wrong


@lru_cache(maxsize=64)
def _declared_by(message: type[SessionMessage[Any]]) -> Any:
    """Return the reply type of one of our messages: its one type argument."""
    bases: tuple[Any, ...] = vars(message)["__orig_bases__"]
    return get_args(bases[0])[0]


@lru_cache(maxsize=64)
def _types(declared: Any) -> frozenset[type]:
    """Return what a reply must be exactly, so that True is no number."""
    if get_origin(declared) in (Union, UnionType):
        return frozenset(each for part in get_args(declared) for each in _types(part))
    if declared is None:
        return frozenset({NoneType})
    # A whole number is a number all the same.
    return frozenset({float, int} if declared is float else {get_origin(declared) or declared})


def _named(declared: Any) -> str:
    return " | ".join(sorted(each.__name__ for each in _types(declared)))


def _handler_of(sessions: SessionSystem, message: SessionMessage[Any]) -> str:
    kind = type(message)
    try:
        behaviour = sessions.behaviour(sessions.get(message.session_id).kind)
    except SessionNotFound:  # it has ended meanwhile
        return f"the handler of {kind.__name__}"
    return f"{behaviour.__qualname__}.{handlers_of(behaviour)[kind]}"
