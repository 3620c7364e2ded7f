"""How does a secret get to what needs it, and nowhere else? Specs carry names; a port knows more.

A `SecretRef` may be shown, kept and logged: it says which secret, not what it is.
What it is, a `Vault` asks the port for while a session is spawned, hands it to the
one step that needs it, and knows it again in a text that would betray it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar, Final, Protocol, TypeVar, cast

import msgspec

from callboard.actors.errors import SessionError
from callboard.supervision.model.showing import shown

E = TypeVar("E", bound=BaseException)
T = TypeVar("T")

HIDDEN: Final = "[secret]"
"""What stands in a text where a secret was."""


class SecretRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a secret, where its value is not to be.

    Args:
        name: what the port knows it by.
    """

    name: str


class SecretError(SessionError):
    """A secret is not known, or cannot be read.

    Args:
        name: which; never what it is.
    """

    code: ClassVar[str] = "secret_error"
    remedy: str = "Give the secret under this name where the daemon looks for it."

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no secret {shown(name)}")
        self.name = name


class Secrets(Protocol):
    """Knows the secrets. The port; called on a thread that may block."""

    def resolve(self, ref: SecretRef) -> str:
        """Return a secret.

        Raises:
            SecretError: it is not known. Any other exception means the same.
        """
        ...


class EnvironmentSecrets:
    """Secrets that are variables of the environment.

    Args:
        environ: where to look; None: the environment of this process, when it is asked.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = environ

    def resolve(self, ref: SecretRef) -> str:
        """Return the variable of this name.

        Raises:
            SecretError: there is none.
        """
        value = (os.environ if self._environ is None else self._environ).get(ref.name)
        if value is None:
            raise SecretError(ref.name)
        return value


class Vault:
    """The secrets of one step: what was resolved, and what therefore must not be said.

    One thread at a time. It dies with its step.

    Args:
        secrets: the port.
    """

    __slots__ = ("_known", "_secrets")

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._known: set[str] = set()

    def __repr__(self) -> str:
        return "<Vault>"

    def resolve(self, ref: SecretRef) -> str:
        """Return a secret, and know it again in `scrub`.

        Raises:
            SecretError: it is not known, or the port failed.
        """
        try:
            value = self._secrets.resolve(ref)
        except Exception as error:  # noqa: BLE001 -- a port's foreign code: its text may hold anything
            unknown = bare(error) if isinstance(error, SecretError) else SecretError(ref.name)
        else:
            if value:
                self._known.add(value)
            return value
        raise unknown  # out here: the chain would carry what led to it

    def fill(self, value: T) -> T:
        """Return a structure of mappings, tuples and lists with the secrets in their places."""
        if isinstance(value, SecretRef):
            return cast("T", self.resolve(value))
        if isinstance(value, Mapping):
            pairs = cast("Mapping[object, object]", value).items()
            return cast("T", {key: self.fill(each) for key, each in pairs})
        if isinstance(value, (tuple, list)):
            return cast("T", tuple(self.fill(each) for each in cast("tuple[object, ...]", value)))
        return value

    def scrub(self, text: str) -> str:
        """Return a text without the secrets that were resolved.

        >>> vault = Vault(EnvironmentSecrets({"KEY": "hush"}))
        >>> _ = vault.resolve(SecretRef("KEY"))
        >>> vault.scrub("401 for hush")
        '401 for [secret]'
        """
        for value in sorted(self._known, key=len, reverse=True):
            text = text.replace(value, HIDDEN)
        return text

    def said(self, what: object) -> str:
        """Return the text of a foreign object, without secrets."""
        return self.scrub(_text_of(what))

    def refusal(self, error: BaseException) -> SessionError | None:
        """Return a refusal that foreign code raised, if it may be passed on.

        Args:
            error: what was raised. It loses what led to it, in place.

        Returns:
            The same; None when it is no refusal, or holds a secret in its text or its fields.
        """
        if not isinstance(error, SessionError):
            return None
        texts = map(_text_of, (bare(error), error.remedy, *error.args, *vars(error).values()))
        return error if all(self.scrub(text) == text for text in texts) else None


def bare(error: E) -> E:
    """Take from an error all that led to it, and return it: it may hold what nobody is to read."""
    error.__cause__ = error.__context__ = error.__traceback__ = None
    with suppress(AttributeError):
        del error.__notes__
    return error


def _text_of(what: object) -> str:
    with suppress(Exception):  # foreign: it may raise when it is to say what it is
        return str(what).encode(errors="replace").decode()
    return type(what).__name__
