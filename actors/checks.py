"""Is a message what its type says, and within its bounds? Asked before it is sent.

msgspec checks what it decodes, not what is constructed, so a message that was
made in process may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache, partial
from types import MappingProxyType, NoneType, UnionType
from typing import Any, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from callboard.actors.errors import (
    DuplicateMcpClient,
    InvalidField,
    InvalidOrgId,
    InvalidUserId,
    MessageTooLarge,
)
from callboard.actors.limits import DEFAULT_LIMITS, SessionLimits
from callboard.actors.link_messages import (
    AddMcpClient,
    AttachAgent,
    AttachClient,
    CallTool,
    CancelPrompt,
    GetMcpClient,
    ListTools,
    Prompt,
    RemoveMcpClient,
    ResumeSession,
)
from callboard.actors.messages import (
    AppendMessage,
    BeginSpawn,
    CleanupInactive,
    CountSessions,
    CreateSession,
    FindSession,
    GetMessages,
    GetSession,
    GetSessionRef,
    GetSystemPrompt,
    InjectCrash,
    ListSessions,
    PassivateSession,
    RecordActivity,
    ReviveSession,
    SessionMessage,
    Shutdown,
    Subscribe,
    TerminateSession,
    UpdateSession,
    UpdateSystemPrompt,
)
from callboard.actors.sessions.data import SessionPatch
from callboard.actors.sessions.frozen import EMPTY, FrozenDict, freeze
from callboard.actors.sessions.links import AgentSpec, McpSpec, Setting, Transport
from callboard.actors.wording import said_of
from callboard.supervision.model.errors import InvalidSpec

_CLASSES_MAX = 1_024
"""How many message classes are remembered with what was found out about them."""

NUMBER_MAX = 9_223_372_036_854_775_807
"""The highest number in a message, such as a version: what 64 bits with a sign can hold."""

SECONDS_MAX = 1e9
"""Seconds in a message, 31 years: what every clock and timer below can count."""

Rule: TypeAlias = Callable[[str, Any, SessionLimits], None]


def check(message: msgspec.Struct, limits: SessionLimits = DEFAULT_LIMITS) -> None:
    """Refuse a message that is not what its type says, or is out of bounds.

    Types of every field, those of a user's own messages included; bounds of
    the fields that are ours. Any thread; no state but a memory of classes.

    Args:
        message: a message made in process.
        limits: the bounds.

    Raises:
        InvalidUserId, InvalidOrgId, InvalidField: a field is wrong; it is named.
        MessageTooLarge: a field has too many bytes.
    """
    message_type = type(message)
    plain, rules = _plan(message_type)
    for name, types in plain:
        if type(getattr(message, name)) not in types:
            _check_types(message)
            break
    for name, rule in rules:
        value = getattr(message, name)
        if value is not None:
            rule(name, value, limits)


def check_own(value: AppendMessage | SessionPatch, limits: SessionLimits) -> None:
    """Refuse what a behaviour's own code made: a wrong type is its slip, no request's.

    A text or a structure may come from whoever asks, so what is out of bounds is his to mend.

    Args:
        value: what the behaviour said, as the message or patch it amounts to.
        limits: the bounds.

    Raises:
        InvalidSpec: a type is wrong. No refusal: leaving a handler, it ends the incarnation.
        InvalidField, MessageTooLarge: a bound is exceeded.
    """
    try:
        if isinstance(value, SessionPatch):
            check_patch(value, limits)
        else:
            check(value, limits)
    except InvalidField:
        try:
            _check_types(value)
        except InvalidField as slip:
            raise InvalidSpec(slip.field, slip.value, slip.remedy) from None
        raise


def check_tenant(user_id: str | None, org_id: str | None) -> None:
    """Refuse a creator without user or organisation, where both are required (`tenants=True`).

    Raises:
        InvalidUserId, InvalidOrgId: it is missing.
    """
    if user_id is None:
        raise InvalidUserId("user_id", user_id, "Say whose session it is.")
    if org_id is None:
        raise InvalidOrgId("org_id", org_id, "Say of which organisation the user is.")


def are_seconds(value: object) -> bool:
    """Say whether it is a time to wait: a number from 0 on that clocks can count, or `math.inf`."""
    if type(value) is int and value > SECONDS_MAX:  # math.inf says for ever; and not all fit
        return False
    return type(value) in (int, float) and cast("float", value) >= 0  # which NaN is not


def check_timeout(field: str, value: object) -> None:
    """Refuse a timeout that is neither seconds nor None.

    Raises:
        InvalidField: it is no time.
    """
    if value is not None and not are_seconds(value):
        remedy = "Give seconds from 0 on, math.inf to wait for ever, or None for the default."
        raise InvalidField(field, value, remedy)


# -- types -----------------------------------------------------------------


@lru_cache(maxsize=_CLASSES_MAX)
def _plan(
    message_type: type[msgspec.Struct],
) -> tuple[tuple[tuple[str, frozenset[type]], ...], tuple[tuple[str, Rule], ...]]:
    """Return what to look at: per field the exact types that need no closer look, and the rules."""
    try:
        hints = get_type_hints(message_type)
    except NameError:
        # It names types that only its own function knows; msgspec could not look them up either.
        hints = {}
    names = [name for name in message_type.__struct_fields__ if name in hints]
    plain = tuple((name, _plain_types(hints[name])) for name in names)
    rules = next((_RULES[base] for base in message_type.__mro__ if base in _RULES), ())
    return plain, rules


def _plain_types(hint: object) -> frozenset[type]:
    """Return the exact types whose values satisfy a hint whatever they hold; maybe none.

    A value of another type may be right all the same: then msgspec decides.
    """
    if get_origin(hint) in (Union, UnionType):
        return frozenset(plain for each in get_args(hint) for plain in _plain_types(each))
    if isinstance(hint, type) and (issubclass(hint, Enum) or hint in _PLAIN):
        return frozenset({hint})
    return frozenset({FrozenDict}) if hint == _JSON_OBJECT else frozenset()


_JSON_OBJECT: object = Mapping[str, object]
_PLAIN = (NoneType, bool, int, float, str, bytes)


def _check_types(message: msgspec.Struct) -> None:
    """Let msgspec compare every field with its type, and translate what it says."""
    try:
        made = msgspec.convert(_taken_apart(message), type(message), strict=True)
    except msgspec.ValidationError as wrong:
        path, remedy = said_of(wrong, type(message))
        raise InvalidField(path or "message", _value_at(message, path), remedy) from None
    except (RecursionError, UnicodeEncodeError):
        # What msgspec cannot even look at. A crash here would be that of whoever got the message.
        name = next(filter(partial(_is_beyond_msgspec, message), message.__struct_fields__))
        raise InvalidField(name, getattr(message, name), _LOOKABLE) from None
    except TypeError:
        # A type that msgspec cannot check at all: the user's own affair.
        return
    for name in message.__struct_fields__:
        # To msgspec a mapping is as good as the struct it could be made into.
        given: object = getattr(message, name)
        wanted: object = getattr(made, name)
        if isinstance(wanted, msgspec.Struct) and type(given) is not type(wanted):
            remedy = f"Give {type(wanted).__name__}(...), not {type(given).__name__}."
            raise InvalidField(name, given, remedy)


_LOOKABLE = "Give text that UTF-8 can carry, and what nests less deep and not in itself."


def _is_beyond_msgspec(message: msgspec.Struct, name: str) -> bool:
    """Say whether it is this field that msgspec cannot look at."""
    hint = {each.name: each.type for each in msgspec.structs.fields(message)}[name]
    try:
        msgspec.convert(_taken_apart(getattr(message, name)), hint, strict=True)
    except (RecursionError, UnicodeEncodeError):
        return True
    except (msgspec.ValidationError, TypeError):
        return False
    return False


def _taken_apart(value: object) -> object:
    """Return a struct as the mapping it is decoded from: structs inside structs too.

    msgspec takes an instance of the right class for right, whatever it holds.
    """
    if isinstance(value, msgspec.Struct):
        config = value.__struct_config__
        tag = (
            {} if config.tag is None or config.tag_field is None else {config.tag_field: config.tag}
        )
        parts = {
            field.encode_name: _taken_apart(given)
            for field in msgspec.structs.fields(value)
            if (given := getattr(value, field.name)) is not msgspec.UNSET
        }
        return [*tag.values(), *parts.values()] if config.array_like else {**tag, **parts}
    if type(value) is dict:
        pairs = cast("dict[object, object]", value)
        return {key: _taken_apart(each) for key, each in pairs.items()}
    if type(value) in (tuple, list):
        return [_taken_apart(each) for each in cast("tuple[object, ...]", value)]
    if isinstance(value, Enum):
        return value.value
    return value


def _value_at(message: msgspec.Struct, path: str) -> object:
    """Return what a path such as `patch.metadata` leads to, as far as it leads through structs."""
    value: object = message
    for step in path.split(".") if path else ():
        name = step.partition("[")[0]
        if not isinstance(value, msgspec.Struct):
            break
        fields = msgspec.structs.fields(value)
        value = next((getattr(value, e.name) for e in fields if e.encode_name == name), None)
    return type(message).__name__ if value is message else value


# -- bounds ----------------------------------------------------------------


def _check_text(
    name: str, value: str, chars_max: int, error: type[InvalidField] = InvalidField
) -> None:
    if not 1 <= len(value) <= chars_max:
        raise error(name, value, f"Give 1 to {chars_max} characters.")
    if not (value.isascii() or _is_utf8(value)) or "\0" in value:
        raise error(name, value, "Give text that UTF-8 can carry, without NUL.")


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_size(name: str, value: str, bytes_max: int) -> None:
    if value.isascii():
        size_bytes = len(value)
    else:
        try:
            size_bytes = len(value.encode())
        except UnicodeEncodeError:
            raise InvalidField(name, value, "Give text that UTF-8 can carry.") from None
    if size_bytes > bytes_max:
        raise MessageTooLarge(name, size_bytes, bytes_max=bytes_max)


def _session_id(name: str, value: str, limits: SessionLimits) -> None:
    _check_text(name, value, limits.session_id_chars_max)


def _user_id(name: str, value: str, limits: SessionLimits) -> None:
    _check_text(name, value, limits.user_id_chars_max, InvalidUserId)


def _org_id(name: str, value: str, limits: SessionLimits) -> None:
    _check_text(name, value, limits.user_id_chars_max, InvalidOrgId)


def _name(name: str, value: str, limits: SessionLimits) -> None:
    _check_text(name, value, limits.agent_role_chars_max)


def _key(name: str, value: str, limits: SessionLimits) -> None:
    _check_text(name, value, limits.key_chars_max)


def _reason(name: str, value: str, limits: SessionLimits) -> None:
    if value:
        _check_text(name, value, limits.reason_chars_max)


def _content(name: str, value: str, limits: SessionLimits) -> None:
    _check_size(name, value, limits.content_bytes_max)


def _prompt(name: str, value: str, limits: SessionLimits) -> None:
    _check_size(name, value, limits.system_prompt_bytes_max)


def _structure(name: str, value: Mapping[str, object], limits: SessionLimits) -> None:
    if value is not EMPTY:
        freeze(name, value, limits)


def _seconds(name: str, value: float, _: SessionLimits) -> None:
    if not 0 <= value <= SECONDS_MAX:  # which NaN is not
        raise InvalidField(name, value, f"Give a number of seconds from 0 to {SECONDS_MAX:g}.")


def _number(name: str, value: int, _: SessionLimits) -> None:
    if not 0 <= value <= NUMBER_MAX:
        raise InvalidField(name, value, f"Give a number from 0 to {NUMBER_MAX}.")


def _page_of_sessions(name: str, value: int, limits: SessionLimits) -> None:
    _check_page(name, value, limits.page_sessions_max)


def _page_of_messages(name: str, value: int, limits: SessionLimits) -> None:
    _check_page(name, value, limits.page_messages_max)


def _check_page(name: str, value: int, page_max: int) -> None:
    if not 1 <= value <= page_max:
        raise InvalidField(name, value, f"Give a number from 1 to {page_max}.")


def _waiting_events(name: str, value: int, limits: SessionLimits) -> None:
    if not 1 <= value <= limits.subscription_events_max:
        raise InvalidField(
            name, value, f"Give a number from 1 to {limits.subscription_events_max}."
        )


def _tail_of_messages(name: str, value: int, limits: SessionLimits) -> None:
    if not 0 <= value <= limits.page_messages_max:
        raise InvalidField(name, value, f"Give a number from 0 to {limits.page_messages_max}.")


def check_patch(patch: SessionPatch, limits: SessionLimits = DEFAULT_LIMITS) -> None:
    """Refuse a patch that is not what its type says, or is out of bounds.

    Raises:
        InvalidField, MessageTooLarge: a field is wrong; it is named.
    """
    _check_types(patch)
    for name in ("metadata", "variables", "client_capabilities"):
        value: Mapping[str, object] | msgspec.UnsetType | None = getattr(patch, name)
        if value is not None and value is not msgspec.UNSET:
            freeze(name, value, limits)
    prompt = patch.system_prompt
    if prompt is not None and prompt is not msgspec.UNSET:
        _check_size("system_prompt", prompt, limits.system_prompt_bytes_max)


def _patch(_: str, value: SessionPatch, limits: SessionLimits) -> None:
    check_patch(value, limits)


def _settings(name: str, value: Mapping[str, Setting], limits: SessionLimits) -> None:
    size_bytes = 0
    for key, setting in value.items():
        text = setting if isinstance(setting, str) else setting.name
        where = f"{name}.{key}"
        _check_text(where, key, limits.key_chars_max)
        if "\0" in text or not _is_utf8(text):
            raise InvalidField(where, "(not shown)", "Give text without NUL.")
        size_bytes += len(key) + len(text)
    if size_bytes > limits.metadata_bytes_max:
        raise MessageTooLarge(name, size_bytes, bytes_max=limits.metadata_bytes_max)


def _command(name: str, value: tuple[str, ...], limits: SessionLimits) -> None:
    if not value or not value[0]:
        raise InvalidField(name, value, "Give the program and its arguments.")
    for each in value:
        if "\0" in each or not _is_utf8(each):
            raise InvalidField(name, each, "Give text without NUL.")
    size_bytes = sum(map(len, value))
    if size_bytes > limits.metadata_bytes_max:
        raise MessageTooLarge(name, size_bytes, bytes_max=limits.metadata_bytes_max)


def _mcp_spec(name: str, value: McpSpec, limits: SessionLimits) -> None:
    _name(f"{name}.id", value.id, limits)
    if value.name:
        _name(f"{name}.name", value.name, limits)
    _settings(f"{name}.env", value.env, limits)
    _settings(f"{name}.headers", value.headers, limits)
    if value.transport is Transport.STDIO:
        _command(f"{name}.command", value.command, limits)
    elif not value.url or not value.url.startswith(("http://", "https://")):
        where = f"{name}.url"
        raise InvalidField(where, value.url, "Give the URL of the server, http or https.")


def _mcp_specs(name: str, value: tuple[McpSpec, ...], limits: SessionLimits) -> None:
    for place, spec in enumerate(value):
        _mcp_spec(f"{name}[{place}]", spec, limits)
        if spec.id in [each.id for each in value[:place]]:
            raise DuplicateMcpClient(spec.id)


def _agent_spec(name: str, value: AgentSpec, limits: SessionLimits) -> None:
    _name(f"{name}.kind", value.kind, limits)
    _command(f"{name}.command", value.command, limits)
    _settings(f"{name}.env", value.env, limits)
    if value.cwd is not None:
        _check_text(f"{name}.cwd", value.cwd, limits.reason_chars_max)


def _arguments(name: str, value: object, limits: SessionLimits) -> None:
    try:
        size_bytes = len(msgspec.json.encode(value))
    except (TypeError, ValueError, UnicodeEncodeError, RecursionError) as unsayable:
        raise InvalidField(name, value, "Give what JSON can say.") from unsayable
    if size_bytes > limits.content_bytes_max:
        raise MessageTooLarge(name, size_bytes, bytes_max=limits.content_bytes_max)


def _sink(name: str, value: object, _: SessionLimits) -> None:
    if not all(callable(getattr(value, each, None)) for each in ("send", "ended", "close", "kill")):
        raise InvalidField(name, value, "Give a ClientSink: send, ended, close and kill.")


_TO_SESSION: tuple[tuple[str, Rule], ...] = (("session_id", _session_id),)
_FILTER: tuple[tuple[str, Rule], ...] = (
    ("user_id", _user_id),
    ("org_id", _org_id),
    ("agent_role", _name),
    ("idle_longer_than_s", _seconds),
)

_RULES: Mapping[type, tuple[tuple[str, Rule], ...]] = MappingProxyType(
    {
        SessionMessage: _TO_SESSION,
        GetSessionRef: _TO_SESSION,
        GetSystemPrompt: _TO_SESSION,
        BeginSpawn: _TO_SESSION,
        PassivateSession: _TO_SESSION,
        AppendMessage: (
            *_TO_SESSION,
            ("content", _content),
            ("client_msg_id", _key),
            ("metadata", _structure),
        ),
        UpdateSession: (*_TO_SESSION, ("patch", _patch), ("expected_version", _number)),
        UpdateSystemPrompt: (*_TO_SESSION, ("prompt", _prompt)),
        RecordActivity: (*_TO_SESSION, ("kind", _name)),
        CreateSession: (
            ("user_id", _user_id),
            ("org_id", _org_id),
            ("agent_role", _name),
            ("kind", _name),
            ("variables", _structure),
            ("metadata", _structure),
            ("client_capabilities", _structure),
            ("agent", _agent_spec),
            ("mcp", _mcp_specs),
            ("client", _sink),
            ("session_id", _session_id),
            ("idempotency_key", _key),
        ),
        TerminateSession: (*_TO_SESSION, ("reason", _reason), ("grace_s", _seconds)),
        CleanupInactive: (("idle_longer_than_s", _seconds),),
        ReviveSession: (*_TO_SESSION, ("patch", _patch)),
        InjectCrash: (("session_id", _session_id), ("part", _reason)),
        Shutdown: (("grace_s", _seconds),),
        GetSession: (*_TO_SESSION, ("messages", _tail_of_messages)),
        FindSession: (("session_id", _session_id), ("agent_role", _name), ("user_id", _user_id)),
        GetMessages: (*_TO_SESSION, ("after_seq", _number), ("limit", _page_of_messages)),
        ListSessions: (*_FILTER, ("after_id", _session_id), ("limit", _page_of_sessions)),
        CountSessions: _FILTER,
        AddMcpClient: (*_TO_SESSION, ("spec", _mcp_spec)),
        RemoveMcpClient: (*_TO_SESSION, ("client_id", _name)),
        GetMcpClient: (*_TO_SESSION, ("client_id", _name)),
        ListTools: (*_TO_SESSION, ("client_id", _name), ("timeout_s", _seconds)),
        CallTool: (
            *_TO_SESSION,
            ("client_id", _name),
            ("name", _name),
            ("arguments", _arguments),
            ("timeout_s", _seconds),
        ),
        AttachAgent: (*_TO_SESSION, ("spec", _agent_spec), ("agent_session_id", _key)),
        Prompt: (
            *_TO_SESSION,
            ("content", _content),
            ("blocks", _arguments),
            ("timeout_s", _seconds),
            ("client_msg_id", _key),
        ),
        CancelPrompt: (*_TO_SESSION, ("grace_s", _seconds)),
        AttachClient: (
            *_TO_SESSION,
            ("sink", _sink),
            ("after_seq", _number),
            ("kind", _name),
            ("peer", _name),
        ),
        ResumeSession: _TO_SESSION,
        Subscribe: (*_TO_SESSION, ("events_max", _waiting_events)),
    }
)
