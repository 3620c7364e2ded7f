"""Typed messages, and the mark that tells which method handles which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from callboard.supervision.model.errors import InvalidSpec

R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "_callboard_handles"


class Request(msgspec.Struct, Generic[R_co], frozen=True):
    """A message that expects an answer of type `R_co`.

    Subclass it with the reply type and fields of your own; `ask` then returns
    that type, checked by the type checker:

        class Add(Request[int], frozen=True):
            left: int
            right: int

    Messages that expect no answer may be any object; frozen ones are best.
    """


def handles(*message_types: type[Any]) -> Callable[[F], F]:
    """Mark a method as the handler of these message types.

    A message is matched by its exact type first, then by its base classes in
    method resolution order. A subclass of an actor inherits its handlers and
    may replace them, by the method's name or by marking another method.

    Args:
        message_types: the classes whose messages the method takes.

    Raises:
        TypeError: when called without a type, or with something that is none.
        InvalidSpec: when the class is made: its body marks two methods for one type.
    """
    if not message_types or not all(isinstance(each, type) for each in message_types):
        msg = f"@handles takes message classes, as in @handles(Add), not {message_types!r}"
        raise TypeError(msg)

    def mark(method: F) -> F:
        setattr(method, _MARK, (*getattr(method, _MARK, ()), *message_types))
        return method

    return mark


def handlers_of(actor_class: type[Any]) -> dict[type[Any], str]:
    """Return message type -> method name for a class, its bases included.

    The method's name, not the function, so that an override in a subclass
    takes part without being marked again.

    Raises:
        InvalidSpec: one class body marks two methods for one type.
    """
    found: dict[type[Any], str] = {}
    for base in reversed(actor_class.__mro__):
        own: dict[type[Any], tuple[str, Any]] = {}
        for name, member in vars(base).items():
            for message_type in getattr(member, _MARK, ()):
                other, method = own.setdefault(message_type, (name, member))
                if method is not member:  # two names of one method are one handler
                    said, shown_type = f"{base.__qualname__}.{name}", message_type.__qualname__
                    remedy = f"Mark one method for {shown_type}: {other} is its handler already."
                    raise InvalidSpec("handles", said, remedy)
                found[message_type] = name
    return found
