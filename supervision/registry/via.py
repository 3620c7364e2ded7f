"""An actor reached, and started, under its name in a registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from callboard.supervision.model.requests import Request
from callboard.supervision.registry.errors import AlreadyRegistered
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.errors import ActorDeadError
from callboard.supervision.runtime.futures import Future
from callboard.supervision.runtime.interrupts import passes
from callboard.supervision.runtime.seam import Actor

if TYPE_CHECKING:
    from callboard.supervision.registry.registry import Registry

A = TypeVar("A", bound=Actor)
R = TypeVar("R")


class Via:
    """A name in a unique registry. Made by `Registry.via`; safe from any thread.

    Whoever has the key at the moment of the call is reached; after a restart
    that is the next incarnation, which registers as the first thing of its start.

    Source: Elixir, `{:via, Registry, {registry, key, value}}`.
    """

    __slots__ = ("_key", "_registry", "_value")

    def __init__(self, registry: Registry[Any, Any], key: Any, value: Any) -> None:
        self._registry = registry
        self._key = key
        self._value = value

    def __repr__(self) -> str:
        return f"<Via {self.name}>"

    @property
    def name(self) -> str:
        """Registry and key, as text."""
        return f"{self._registry.name}/{self._key}"

    # -- who has the name --------------------------------------------------

    @property
    def ref(self) -> Cell[Any] | None:
        """The ref of whoever has the name now, or None. Takes no lock, sends no message.

        Source: Elixir, GenServer.whereis/1.
        """
        return self._registry.whereis(self._key)

    def is_alive(self) -> bool:
        """Whether somebody has the name."""
        return self.ref is not None

    def _current(self) -> Cell[Any]:
        ref = self.ref
        if ref is None:
            msg = f"nobody is at {self.name}"
            raise ActorDeadError(msg, address=self.name)
        return ref

    # -- sending -----------------------------------------------------------

    def tell(self, message: Any) -> None:
        """Send without expecting an answer.

        Raises:
            ActorDeadError: nobody has the name.
            DeliveryError: as `ActorRef.tell`.
        """
        self._current().tell(message)

    @overload
    def ask(
        self, message: Request[R], *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> R: ...
    @overload
    def ask(
        self, message: Request[R], *, block: Literal[False], timeout: float | None = ...
    ) -> Future[R]: ...
    @overload
    def ask(
        self, message: Any, *, block: Literal[False], timeout: float | None = ...
    ) -> Future[Any]: ...
    @overload
    def ask(
        self, message: Any, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> Any: ...
    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send and wait for the answer; otherwise like `ActorRef.ask`.

        Raises:
            ActorDeadError: nobody has the name.
        """
        return self._current().ask(message, block=block, timeout=timeout)

    async def ask_async(self, message: Request[R], *, timeout: float | None = None) -> R:
        """Send and await the answer; the running loop is not blocked."""
        return await self._current().ask_async(message, timeout=timeout)

    # -- starting ----------------------------------------------------------

    def spawn(self, actor: Callable[..., A], /, *args: Any, **kwargs: Any) -> Cell[A]:
        """Start an actor under this name that nobody supervises; return its ref at once.

        When two want the name at the same moment, one of them does not start:
        `wait_started` tells.

        Raises:
            AlreadyRegistered: somebody has the name.
            SystemStopped: the system has been stopped.

        Source: Elixir, GenServer.start/3 with a via name.
        """
        holder = self.ref
        if holder is not None:
            raise AlreadyRegistered(self._registry.name, self._key, holder)
        return self._registry.system.spawn(self.as_start(actor), *args, **kwargs)

    def as_start(self, actor: Callable[..., A]) -> NamedStart[A]:
        """Return what starts `actor` under this name: for `ChildSpec(start=...)` and `spawn`.

        Every incarnation registers before its `__init__`; if somebody else has
        the name, that start fails.
        """
        return NamedStart(actor, self._register)

    def _register(self) -> None:
        self._registry.register(self._key, self._value)


class NamedStart(Generic[A]):
    """Makes an actor that is registered before anything else. For one of callboard's classes.

    What is asked about the class (`child_kind`, `trap_exit` ...) the class itself answers.

    Args:
        actor: the class, or a function that makes one.
        register: called first, on the new actor's own thread.
    """

    def __init__(self, actor: Callable[..., A], register: Callable[[], None]) -> None:
        self._actor = actor
        while isinstance(actor, partial):  # so that the class can be asked what it is
            actor = actor.func
        self._asked = actor
        self._register = register

    @passes
    def __call__(self, *args: Any, **kwargs: Any) -> A:
        """Register the actor whose start this is, then make it."""
        self._register()
        return self._actor(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_asked":  # a copy under way: it has none yet
            raise AttributeError(name)
        return getattr(self._asked, name)
