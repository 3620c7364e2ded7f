"""What of an agent's words can a log hold? They are foreign: what it cannot is cut, with a mark.

Looked at where they are heard, before anybody else has them. Pure, and it never
raises: whatever an agent says, its prompt goes on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

from callboard.actors.connections.ports import AgentUpdate
from callboard.actors.errors import InvalidField, MessageTooLarge
from callboard.actors.limits import SessionLimits
from callboard.actors.sessions.data import Role
from callboard.actors.sessions.frozen import EMPTY, FrozenDict, freeze
from callboard.supervision.model.showing import shown

CUT: Final = "callboard_cut"
"""Where the metadata of a message says what of it was cut: a list of texts."""

CUTS_MAX: Final = 8
"""So many of them are named in a message; of the others it is said that there are more."""

UPDATE_CHARS_MAX: Final = 16_777_216
"""Characters of text that are heard of one update. It may become several messages."""

_SHARE_CHARS_MIN: Final = 64
"""Texts in the data of an update are not cut shorter than this while shortening others helps."""

_VALUE_CHARS: Final = 4
"""What a value costs beside its characters: about as many as JSON needs around it."""

_VALUE_CHARS_MIN: Final = 2
"""No value has less: a digit and a comma."""

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


def heard(update: object, limits: SessionLimits) -> AgentUpdate:
    """Return an update as a log can hold it: its data frozen, and all of it within bounds.

    Args:
        update: what the connector passed on, whatever that is.
        limits: how large a message's metadata may be, and how deep.
    """
    if not isinstance(update, AgentUpdate):
        return AgentUpdate(data=_fitted({}, [f"update: {_kind(update)}"], limits))
    cuts: list[str] = []
    role, text = _role(update.role, cuts), _text(update.text, cuts)
    data = _structure(update.data, cuts, limits)
    if role is update.role and text is update.text and data is update.data:
        return update
    return AgentUpdate(role=role, text=text, data=data)


def structure(value: object, limits: SessionLimits) -> FrozenDict:
    """Return a structure that an agent gave, frozen and within bounds, as in `heard`."""
    return _structure(value, [], limits)


def is_id(value: object, limits: SessionLimits) -> bool:
    """Say whether this can be the name that an agent has for a conversation."""
    return (
        isinstance(value, str)
        and 1 <= len(value) <= limits.key_chars_max
        and _sayable(value) == value
    )


def _role(role: object, cuts: list[str]) -> Role:
    if type(role) is Role:
        return role
    with suppress(ValueError):
        return Role(cast("Any", role))
    cuts.append(f"role: {_shown(role)}")
    return Role.ASSISTANT


def _text(text: object, cuts: list[str]) -> str:
    if not isinstance(text, str):
        cuts.append(f"text: {_kind(text)}")
        return ""
    if len(text) > UPDATE_CHARS_MAX:
        cuts.append(f"text: {len(text)} characters")
        text = text[:UPDATE_CHARS_MAX]
    return _sayable(text)


def _structure(value: object, cuts: list[str], limits: SessionLimits) -> FrozenDict:
    if not _is_mapping(value):
        cuts.append(f"data: no mapping, {type(value).__name__}")
        return _fitted({}, cuts, limits)
    if not cuts:
        bytes_max = limits.metadata_bytes_max
        # A copy first: only the cutter comes to an end with all that may be given.
        cutter = _Cutter(bytes_max, _VALUE_CHARS // _VALUE_CHARS_MIN * bytes_max)
        made: Any = cutter.cut("data", value, limits.metadata_depth_max)
        if not cutter.cuts:
            with suppress(InvalidField, MessageTooLarge):
                return freeze("data", made, limits)
    return _fitted(value, cuts, limits)


def _fitted(value: object, cuts: list[str], limits: SessionLimits) -> FrozenDict:
    """Return a structure with what is too much cut, its longest texts first, and said so."""
    room = limits.metadata_bytes_max
    share = room // 2
    while room:
        cutter = _Cutter(share, room)
        made = cutter.cut("data", value, limits.metadata_depth_max)
        if cutter.is_full and share > _SHARE_CHARS_MIN:
            share //= 2
            continue
        said = [*cuts, *cutter.cuts]
        if len(said) > CUTS_MAX:
            said = [*said[:CUTS_MAX], "and more"]
        parts = cast("dict[str, object]", made) if isinstance(made, dict) else {}
        with suppress(InvalidField, MessageTooLarge):  # the escapes of JSON, or all the marks
            return freeze("data", {**parts, CUT: said}, limits)
        share, room = share // 2, room // 2
    return EMPTY


class _Cutter:
    """Makes a copy of a structure, within bounds.

    Args:
        share: characters that one text may have.
        room: characters that all of it may have.
    """

    def __init__(self, share: int, room: int) -> None:
        self._share = share
        self._room = room
        self.cuts: list[str] = []
        """What was cut: where, and what was there."""

    @property
    def is_full(self) -> bool:
        """Whether there was more than there is room for."""
        return self._room <= 0

    def cut(self, path: str, value: object, depth_left: int) -> object:
        """Return a copy of a value, or what is left of it."""
        self._room -= _VALUE_CHARS
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._cut_text(path, value)
        if isinstance(value, int) and _INT_MIN <= value <= _INT_MAX:
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        is_mapping = _is_mapping(value)
        if not (is_mapping or _is_list(value)):
            self._note(path, _kind(value))
        elif depth_left < 1:
            self._note(path, "nested too deep")
        else:
            try:
                parts: Any = value
                if is_mapping:
                    return self._cut_mapping(path, parts, depth_left - 1)
                return self._cut_items(path, parts, depth_left - 1)
            except Exception:  # noqa: BLE001 -- named edge: a foreign mapping's own code
                self._note(path, _kind(value))
        return None

    def _cut_mapping(
        self, path: str, pairs: Mapping[object, object], depth_left: int
    ) -> dict[str, object]:
        copy: dict[str, object] = {}
        for key, value in pairs.items():
            if self.is_full:
                self._note(path, "more than there is room for")
                break
            if not isinstance(key, str):
                self._note(path, f"a key that is no text, {_kind(key)}")
                continue
            name = self._cut_text(path, key)
            copy[name] = self.cut(f"{path}.{shown(name)[1:-1]}", value, depth_left)
        return copy

    def _cut_items(
        self, path: str, items: list[object] | tuple[object, ...], depth_left: int
    ) -> list[object]:
        copy: list[object] = []
        for place, value in enumerate(items):
            if self.is_full:
                self._note(path, f"{len(items)} items")
                break
            copy.append(self.cut(f"{path}[{place}]", value, depth_left))
        return copy

    def _cut_text(self, path: str, text: str) -> str:
        chars = max(0, min(self._share, self._room))
        self._room -= min(len(text), chars)
        if len(text) > chars:
            self._note(path, f"{len(text)} characters")
        return _sayable(text[:chars])

    def _note(self, path: str, what: str) -> None:
        if len(self.cuts) <= CUTS_MAX:  # one more, so that it is known that there are more
            self.cuts.append(f"{path}: {what}")


def _sayable(text: str) -> str:
    """Return a text that UTF-8 can carry: what it cannot becomes `?`."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="replace").decode()
    return text


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _kind(value: object) -> str:
    return f"what JSON cannot say, {type(value).__name__}"


def _shown(value: object) -> str:
    return shown(value) if isinstance(value, str) else _kind(value)
