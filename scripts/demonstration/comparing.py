"""Does the daemon hold what it acknowledged? Each message, once, in its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from scripts.demonstration.corpus import Conversation
from scripts.demonstration.door import Message

SHOWN_CHARS_MAX: Final = 60
"""How much of a message is shown."""

ROLES: Final = ("user", "assistant")
"""Who speaks: by turns."""


def role_of(index: int) -> str:
    """Return who says a conversation's message, counted from 0."""
    return ROLES[index % 2]


def compare(
    conversation: Conversation, acknowledged: Sequence[int], log: Sequence[Message]
) -> list[str]:
    """Return what is wrong with a session, a sentence each; nothing when all is well.

    Args:
        conversation: what was sent.
        acknowledged: the numbers that the daemon gave its messages.
        log: what the daemon holds.
    """
    expected = {conversation.key(index): index for index in range(len(conversation.messages))}
    found = Counter(message.client_msg_id for message in log)
    wrong: list[str] = []
    for key, index in expected.items():
        if found[key] == 0:
            wrong.append(f"{_title(conversation, index)} was acknowledged and is missing")
        elif found[key] > 1:
            wrong.append(f"{_title(conversation, index)} is there {found[key]} times")
    wrong += [
        f"{conversation.name}: the log holds a message with the key {key!r}, never sent"
        for key in found
        if key is None or key not in expected
    ]
    places: list[int] = []
    for place, message in enumerate(log, start=1):
        if message.client_msg_id not in expected:
            continue
        index = expected[message.client_msg_id]
        places.append(index)
        title = _title(conversation, index)
        if (message.role, message.content) != (role_of(index), conversation.messages[index]):
            wrong.append(f"{title} reads {message.role}: {_short(message.content)}")
        if message.seq != place:
            wrong.append(f"{title} has the number {message.seq} in the place {place}")
        if acknowledged[index] != message.seq:
            wrong.append(
                f"{title} was acknowledged as number {acknowledged[index]} and is {message.seq}"
            )
    if places != sorted(places):
        wrong.append(f"{conversation.name}: the messages are out of order: {places}")
    return wrong


def _title(conversation: Conversation, index: int) -> str:
    count = len(conversation.messages)
    text = _short(conversation.messages[index])
    return f"{conversation.name}: message {index + 1} of {count}, {text},"


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…")
