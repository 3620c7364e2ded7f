"""What is replayed? The conversations of the PyPI package chatterbot-corpus, file by file."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import yaml

# The compiled loader is twenty times faster; an interpreter without libyaml has only the other.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation.

    Args:
        name: its file and its number there, from 1: `french/food.yml#3`.
        messages: what was said, in order.
    """

    name: str
    messages: tuple[str, ...]

    @property
    def language(self) -> str:
        """The language it is in, as its file's folder says."""
        return self.name.partition("/")[0]

    def key(self, index: int) -> str:
        """Return the sender's own key of a message: what makes a repeated append harmless."""
        return f"{self.name}:{index + 1}"


def read_corpus(*, every: int = 1) -> tuple[Conversation, ...]:
    """Return the conversations, in order.

    Eight entries of the corpus are a lone text where a list of messages should
    be (an answer that its author forgot to indent); they are no conversations.

    Args:
        every: 10 returns each tenth of them.
    """
    return tuple(_conversations())[::every]


def _conversations() -> Iterator[Conversation]:
    data = Path(str(files("chatterbot_corpus"))) / "data"
    for path in sorted(data.glob("*/*.yml")):
        content: dict[str, Any] = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506 -- both are safe
        for number, messages in enumerate(content["conversations"], start=1):
            if isinstance(messages, list):
                name = f"{path.parent.name}/{path.name}#{number}"
                yield Conversation(name=name, messages=tuple(messages))  # pyright: ignore[reportUnknownArgumentType]
