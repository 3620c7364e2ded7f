"""What a registry holds, and what it tells its listeners."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

V = TypeVar("V")


class RegistryEntry(msgspec.Struct, Generic[V], frozen=True):
    """One registration.

    Args:
        key: under which it stands.
        owner: the ref of the actor it belongs to; the entry goes when that ends.
        value: what was given along.

    Source: Elixir, the `{pid, value}` of Registry.lookup/2.
    """

    key: Any
    owner: Any
    value: V


class Registered(msgspec.Struct, frozen=True):
    """To the listeners of a registry: an actor has registered.

    Args:
        registry: the registry's name.
        key: the key.
        owner: the actor's ref.
        value: what was given along.

    Source: Elixir, `{:register, registry, key, pid, value}`.
    """

    registry: str
    key: Any
    owner: Any
    value: Any


class Unregistered(msgspec.Struct, frozen=True):
    """To the listeners of a registry: an actor that lives on has nothing under a key any more.

    Sent when it gave the key up, and also if it had nothing there to give up. Not sent when the
    owner ended: monitor it to hear of that. All as in Elixir.

    Args:
        registry: the registry's name.
        key: the key.
        owner: the actor's ref.

    Source: Elixir, `{:unregister, registry, key, pid}`.
    """

    registry: str
    key: Any
    owner: Any
