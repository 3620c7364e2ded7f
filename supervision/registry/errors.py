"""What a registry refuses."""

from __future__ import annotations

from typing import ClassVar

from callboard.supervision.model.errors import CallboardError


class RegistryError(CallboardError):
    """The base of what a registry refuses.

    Args:
        registry: the registry's name.
        message: what happened, in words.
    """

    code: ClassVar[str] = "registry_error"

    def __init__(self, registry: str, message: str) -> None:
        super().__init__(f"registry {registry!r}: {message}")
        self.registry = registry


class AlreadyRegistered(RegistryError):
    """The key of a unique registry is taken, perhaps by the very actor that asks.

    Args:
        registry: the registry's name.
        key: the key.
        holder: the ref of the actor that has it.

    Source: Elixir, `{:error, {:already_registered, pid}}`; of a via name OTP's
    `{:error, {:already_started, pid}}`.
    """

    code: ClassVar[str] = "already_registered"
    remedy: str = "Use the actor that has the key, or choose another key."

    def __init__(self, registry: str, key: object, holder: object) -> None:
        super().__init__(registry, f"{key!r} is taken by {holder}")
        self.key = key
        self.holder = holder


class NotRegistered(RegistryError):
    """The actor has no entry under the key.

    Args:
        registry: the registry's name.
        key: the key.

    Source: Elixir, the `:error` of Registry.update_value/3.
    """

    code: ClassVar[str] = "not_registered"
    remedy: str = "Register the key first; an actor changes its own entries only."

    def __init__(self, registry: str, key: object) -> None:
        super().__init__(registry, f"{key!r} is not registered by this actor")
        self.key = key


class KeysNotUnique(RegistryError, TypeError):
    """It makes sense for unique keys only, and this registry's may have many entries.

    Source: Elixir, the ArgumentError of Registry.update_value/3 and of via names.
    """

    code: ClassVar[str] = "keys_not_unique"
    remedy: str = "Make the registry with keys=Keys.UNIQUE, or use lookup and dispatch."

    def __init__(self, registry: str) -> None:
        super().__init__(registry, "its keys are not unique")


class RegistryNotRunning(RegistryError):
    """The registry's actor has not been started, has ended, or is about to be restarted.

    Source: Elixir, the ArgumentError `unknown registry`.
    """

    code: ClassVar[str] = "registry_not_running"
    remedy: str = "Start it before those who register, best as their supervisor's first child."
    is_retryable: ClassVar[bool] = True

    def __init__(self, registry: str) -> None:
        super().__init__(registry, "it is not running")


class NoOwner(RegistryError, TypeError):
    """It was called outside of every actor, so somebody has to be named."""

    code: ClassVar[str] = "no_owner"
    remedy: str = "Call it inside a handler, or name the actor with owner=."

    def __init__(self, registry: str) -> None:
        super().__init__(registry, "no actor is running here")
