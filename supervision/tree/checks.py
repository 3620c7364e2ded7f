"""Can these children be started at all? What a spec alone does not show, before anything starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from callboard.supervision.model.errors import InvalidSpec
from callboard.supervision.model.refusals import SpecRefused
from callboard.supervision.model.specs import ChildSpec
from callboard.supervision.runtime.foreign import is_foreign
from callboard.supervision.runtime.seam import Actor

_TREE = __name__.rpartition(".")[0]


def check_starts(specs: Iterable[ChildSpec]) -> None:
    """Refuse children that cannot start whatever they run into, nested supervisors' included.

    A supervisor of ours is made once to see whether it could be: making one starts nothing.

    Args:
        specs: each checked in itself when it was made.

    Raises:
        InvalidSpec: a class that is no actor's, `Actor.start` in place of the class, a mailbox
            kept for an actor that cannot read it, arguments that a supervisor does not take.
    """
    for spec in specs:
        check_mailbox(spec)
        start, args, kwargs = _unwrapped(spec)
        if isinstance(start, type):
            if not issubclass(start, Actor):
                remedy = (
                    f"Give child {spec.id!r} an actor's class, or a function that returns an actor."
                )
                raise InvalidSpec("start", spec.start, remedy)
            if _is_ours(start):
                _try(start, args, kwargs)
        else:
            _refuse_start_of_a_class(spec, start)


def check_mailbox(spec: ChildSpec) -> None:
    """Refuse a kept mailbox for a plain pykka actor, whose loop reads an inbox of its own.

    Raises:
        SpecRefused: it is to have one.
    """
    # What is no spec at all is refused by the plan of its start.
    if getattr(spec, "keeps_mailbox", False):
        start, _, _ = _unwrapped(spec)
        if is_foreign(start):
            remedy = (
                f"Derive {start.__name__} from PooledActor or SupervisedActor, or leave it out."
            )
            raise SpecRefused("keeps_mailbox", spec.keeps_mailbox, remedy)


def _unwrapped(spec: ChildSpec) -> tuple[Any, tuple[object, ...], dict[str, object]]:
    start: Callable[..., object] = spec.start
    args, kwargs = spec.args, dict(spec.kwargs)
    while isinstance(start, partial):
        args, kwargs = (*start.args, *args), {**start.keywords, **kwargs}
        start = start.func
    return start, args, kwargs


def _is_ours(start: type[Any]) -> bool:
    """Say whether it is a supervisor that a user has given no `__init__` of his own."""
    return str(getattr(start.__init__, "__module__", "")).startswith(_TREE)


def _try(start: type[Any], args: tuple[object, ...], kwargs: dict[str, object]) -> None:
    try:
        start(*args, **kwargs)
    except TypeError as error:
        raise InvalidSpec("args", (*args, kwargs), f"{start.__name__}: {error}.") from error


def _refuse_start_of_a_class(spec: ChildSpec, start: Any) -> None:
    made_by = getattr(start, "__self__", None)
    if isinstance(made_by, type) and issubclass(made_by, Actor) and start.__name__ == "start":
        remedy = f"Give child {spec.id!r} the class itself: its supervisor starts it."
        raise InvalidSpec("start", start, remedy)
