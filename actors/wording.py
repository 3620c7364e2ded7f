"""What should have been given? What msgspec says of a wrong type, as a sentence for people.

One wording for a message that is made in process, sent over HTTP or read from a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Final, Literal, cast, get_args, get_origin, get_type_hints

import msgspec

from callboard.actors.errors import InvalidField
from callboard.supervision.model.showing import shown_path

_PLACE: Final = re.compile(
    r"^(?P<what>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>.*)`)?$", re.DOTALL
)
_UNKNOWN: Final = re.compile(
    r"^Object (?:contains unknown|missing required) field `(?P<name>.*)`$", re.DOTALL
)
_EXPECTED: Final = re.compile(r"^Expected `(?P<wanted>[^`]+)`, got `(?P<given>[^`]+)`")
_WORDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "an object",
    "array": "a list",
}
"""What JSON's types are called in a sentence; null is null."""


def said_of(wrong: Exception, shape: type) -> tuple[str, str]:
    """Return which field a decoder calls wrong, and what to give instead.

    Args:
        wrong: what it said.
        shape: what it was to decode.

    Returns:
        The path to the field, empty for all of it, and a sentence.
    """
    place = _PLACE.match(str(wrong))
    assert place is not None, "the pattern matches everything"
    what, path = place["what"], place["path"] or ""
    named = _UNKNOWN.match(what)
    if named is not None:
        path = f"{path}.{named['name']}" if path else named["name"]
    choices = _choices(shape, path)
    if choices:
        return path, f"Give one of {', '.join(choices)}."
    if named is None:
        return path, in_words(what)
    is_missing = what.startswith("Object missing")
    return path, "Give it: it is required." if is_missing else "Leave it out: it is not known here."


def invalid(
    wrong: msgspec.ValidationError, sent: object, shape: type, *, whole: str = "body"
) -> InvalidField:
    """Return what a decoder said as an error that names the field, its value and what to give.

    Args:
        wrong: what it said.
        sent: what it was given.
        shape: what that should have been.
        whole: what all of it is called.
    """
    path, remedy = said_of(wrong, shape)
    return InvalidField(path or whole, _value_at(sent, path), remedy)


def _value_at(sent: object, path: str) -> object:
    """Return what was sent at a path such as `patch.metadata` or `tags[0]`, as far as it leads."""
    value: Any = sent
    for step in re.findall(r"[^.\[\]]+", path):
        if isinstance(value, dict):
            value = cast("dict[str, object]", value).get(step)
        elif isinstance(value, list) and step.isdecimal():
            items = cast("list[object]", value)
            value = items[int(step)] if int(step) < len(items) else None
        else:
            break
    return cast("object", value)


def in_words(what: str) -> str:
    """Return what a decoder says of a wrong type as a sentence that says what to give.

    >>> in_words("Expected `int | null`, got `str`")
    'Give a whole number or null, not text.'
    """
    found = _EXPECTED.match(what)
    if found is None:
        place = _PLACE.match(what)
        said = what if place is None else place["what"]
        return f"Give what the description says: {shown_path(said)}."  # it may quote a key
    wanted, given = (
        " or ".join(_WORDS.get(each, each) for each in found[name].split(" | "))
        for name in ("wanted", "given")
    )
    return f"Give {wanted}, not {given}."


def _choices(shape: type, path: str) -> list[str]:
    """Return the words that a field may hold, if it is one of words."""
    found: list[object] = [shape]
    for step in path.split("."):
        name = step.partition("[")[0]
        found = [
            each
            for kind in found
            if isinstance(kind, type)
            for each in _parts(_hints(kind).get(name))
        ]
    return [word for each in found for word in _words(each)]


def _hints(kind: type) -> dict[str, Any]:
    try:
        return get_type_hints(kind)
    except NameError:  # it names types that only its own function knows
        return {}


def _parts(hint: object) -> Iterator[object]:
    """Return the types that a hint is put together of: of a union, of a list's items."""
    if get_origin(hint) is Literal or not get_args(hint):
        yield hint
        return
    for each in get_args(hint):
        yield from _parts(each)


def _words(kind: object) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [choice.value for choice in kind]
    return [str(each) for each in get_args(kind)] if get_origin(kind) is Literal else []
