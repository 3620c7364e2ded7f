"""The page of messages is true: every message and error on it is there, and none is missing."""

from __future__ import annotations

import re

import pytest

from callboard import actors
from callboard.supervision import CallboardError
from scripts.reference.messages import (
    PAGE,
    TEXT,
    answered_by,
    commands,
    commands_of,
    messages,
    page,
    routes_of,
    words_of,
)

NO_MESSAGES = {
    *("serve", "openapi", "tree", "metrics"),
    *("store check", "store export", "store import", "store compact"),
}
"""Commands that stand for no message."""


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run scripts/docs"


def test_every_message_is_on_it_once() -> None:
    places = re.findall(r"^\{\{(\w+)\}\}$", TEXT.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(set(places)) == sorted(places)
    assert messages().keys() <= set(places)


def test_every_command_belongs_to_a_message() -> None:
    told = {name for message in messages().values() for name in commands_of(message)}

    assert told == commands().keys() - NO_MESSAGES


@pytest.mark.parametrize(
    ("message", "who", "route", "command"),
    [
        (actors.GetSession, "the caller's thread", "/v1/sessions/{session_id}", "show"),
        (actors.AppendMessage, "the session's", "/v1/sessions/{session_id}/messages", "send"),
        (actors.ListTools, "the session's", "/mcp/{client_id}/tools", "mcp tools"),
        (actors.CreateSession, "the manager", "/v1/sessions", "create"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_it_says_who_answers_and_by_which_ways_it_comes(
    message: type[actors.SessionMessage[object]], who: str, route: str, command: str
) -> None:
    assert answered_by(message).startswith(who)
    assert [path for _, path in routes_of(message) if path.endswith(route)]
    assert commands_of(message) == [command]


@pytest.mark.parametrize("name", sorted(messages()))
def test_the_errors_that_a_message_declares_are_errors(name: str) -> None:
    for names, _ in words_of(messages()[name]).errors:
        for each in names.split(", "):
            assert issubclass(getattr(actors, each), CallboardError)


@pytest.mark.parametrize("name", sorted(messages()))
def test_every_field_of_a_message_has_its_meaning(name: str) -> None:
    message = messages()[name]

    assert tuple(words_of(message).arguments) == message.__struct_fields__
