"""pykka's proxy, made in a microsecond: it looks only at the attribute that is used."""

from __future__ import annotations

import inspect
from typing import Any, cast

from callboard.supervision.runtime.errors import ActorDeadError
from callboard.supervision.runtime.seam import ActorProxy, AttrInfo, pykka_logger


class Proxy(ActorProxy[Any]):
    """A proxy for an actor's attributes and methods, by messages to it.

    pykka's examines every attribute of the actor in the thread of whoever makes
    a proxy, each time. This one examines a name when it is first used, without
    running any of the actor's code.

    Args:
        actor_ref: the actor.
        attr_path: where to begin below the actor, for traversable attributes.

    Raises:
        ActorDeadError: the actor has ended.
    """

    def __init__(self, *, actor_ref: Any, attr_path: tuple[str, ...] | None = None) -> None:
        actor = actor_ref._actor_weakref() if actor_ref.is_alive() else None
        if actor is None:
            msg = f"{actor_ref} not found"
            raise ActorDeadError(msg, address=str(actor_ref))
        self.actor_ref = actor_ref
        self._actor = actor
        self._attr_path = attr_path or ()
        self._known_attrs = {}
        self._actor_proxies = {}
        self._callable_proxies = {}

    def __dir__(self) -> list[str]:
        self._examine_all()
        return super().__dir__()

    def __getattr__(self, name: str) -> Any:
        """Return the attribute's future, its callable, or a proxy to what is below it."""
        path = (*self._attr_path, name)
        if path not in self._known_attrs and not name.startswith("_"):
            info = self._examine(name)
            if info is None:
                msg = f"{self} has no attribute {name!r}"
                raise AttributeError(msg)
            if info.traversable:
                return self._below(path)
            self._known_attrs[path] = info
        return super().__getattr__(name)

    def _below(self, path: tuple[str, ...]) -> Proxy:
        if path not in self._actor_proxies:
            self._actor_proxies[path] = Proxy(actor_ref=self.actor_ref, attr_path=path)
        return cast("Proxy", self._actor_proxies[path])  # only ours are put there

    def _parent(self) -> Any:
        parent: Any = self._actor
        for name in self._attr_path:
            parent = getattr(parent, name)
        return parent

    def _examine(self, name: str) -> AttrInfo | None:
        try:
            attribute = inspect.getattr_static(self._parent(), name)
        except AttributeError:
            return None
        if self == attribute:  # ours first: the attribute's own __eq__ may be anything
            pykka_logger.warning(
                "%s attribute %r is a proxy to itself. Consider making it private by"
                " renaming it to %r.",
                self._actor,
                ".".join((*self._attr_path, name)),
                f"_{name}",
            )
            return None
        return AttrInfo(
            callable=callable(attribute),
            traversable=(
                getattr(attribute, "_pykka_traversable", False) is True
                or getattr(attribute, "pykka_traversable", False) is True
            ),
        )

    def _examine_all(self) -> None:
        for name in dir(self._parent()):
            path = (*self._attr_path, name)
            if not name.startswith("_") and path not in self._known_attrs:
                info = self._examine(name)
                if info is not None:
                    self._known_attrs[path] = info
