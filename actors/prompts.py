"""What is a session told to be, before anybody speaks? A port, and prompts put together."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from types import MappingProxyType
from typing import Final, Protocol

from callboard.actors.errors import PromptError

NONE: Final[Mapping[str, str]] = MappingProxyType({})
"""No prompts."""

BETWEEN: Final = "\n\n"
"""What stands between two prompts."""


class PromptComposer(Protocol):
    """Says which system prompt a new session works under. The port.

    Called once for each session that is spawned, on a thread that may block,
    for many sessions at once.
    """

    def compose(
        self, user_id: str | None, org_id: str | None, variables: Mapping[str, object]
    ) -> str:
        """Return the prompt.

        Args:
            user_id: whose session it is.
            org_id: the user's organisation.
            variables: what its creator gave for it.

        Raises:
            PromptError: it cannot be composed. Any other exception means the same.
        """
        ...


class ComposedPrompts:
    """One prompt of up to three: everybody's, the organisation's, the user's, in this order.

    `$name` and `${name}` stand for the creator's variables, `$$` for a dollar sign
    (`string.Template`); what a variable holds is not looked into again.

    Args:
        everybody: the prompt of every session; empty: none.
        orgs: organisation id -> prompt.
        users: user id -> prompt.
    """

    def __init__(
        self,
        everybody: str = "",
        *,
        orgs: Mapping[str, str] = NONE,
        users: Mapping[str, str] = NONE,
    ) -> None:
        self._everybody = everybody
        self._orgs = orgs
        self._users = users

    def compose(
        self, user_id: str | None, org_id: str | None, variables: Mapping[str, object]
    ) -> str:
        r"""Return the prompts that there are, filled in, with an empty line between them.

        >>> ComposedPrompts("Help $name.", users={"ada": "Be brief."}).compose(
        ...     "ada", None, {"name": "Ada"}
        ... )
        'Help Ada.\n\nBe brief.'

        Raises:
            PromptError: a prompt names a variable that was not given, or has a lone `$`.
        """
        parts = (
            self._everybody,
            "" if org_id is None else self._orgs.get(org_id, ""),
            "" if user_id is None else self._users.get(user_id, ""),
        )
        try:
            return BETWEEN.join(Template(part).substitute(variables) for part in parts if part)
        except KeyError as missing:
            msg = f"the prompt needs the variable {missing}"
            raise PromptError(msg) from missing
        except ValueError as wrong:
            msg = f"the prompt cannot be filled in: {wrong}"
            raise PromptError(msg) from wrong
