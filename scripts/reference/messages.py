"""The page of messages: made of the structs themselves, and of a text that says what no table can.

What is written by hand is `messages.md` beside this. In it, `{{CreateSession}}` on a line of its
own stands for what is known of that message; of another struct for its fields; of an enum for its
values. A test holds the page up to date, every message on it, and every error it names real.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import CodeType, NoneType, UnionType
from typing import Any, ForwardRef, NamedTuple, Union, get_args, get_origin

import msgspec

from callboard import actors
from callboard.actors import ConnectionMessage, SessionActor, SessionManager, SessionMessage
from callboard.actors.connections.reads import LINK_READS
from callboard.actors.daemon.routes import ROUTES
from callboard.actors.messages import READS
from callboard.actors.sessions.frozen import EMPTY
from callboard.supervision import Request

ROOT = Path(__file__).resolve().parents[2]
TEXT = Path(__file__).with_suffix(".md")
PAGE = ROOT / "docs" / "reference" / "messages.md"

_BUT_ID = ", `session_id` apart"

_PLACE = re.compile(r"^\{\{(\w+)\}\}$", re.MULTILINE)
_ROW = re.compile(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", re.MULTILINE)
_SECTION = re.compile(r"^(Args|Raises|Returns):\n", re.MULTILINE)


def messages() -> dict[str, type[Request[Any]]]:
    """Return every message that the public door offers, by its name."""
    offered: dict[str, Any] = {name: getattr(actors, name) for name in actors.__all__}
    return {
        name: each
        for name, each in offered.items()
        if isinstance(each, type)
        and issubclass(each, Request)
        and each not in {SessionMessage, ConnectionMessage}
    }


def page() -> str:
    """Return the page."""
    return _PLACE.sub(lambda found: _entry(found[1]), TEXT.read_text(encoding="utf-8"))


def write() -> None:
    """Write the page anew."""
    PAGE.write_text(page(), encoding="utf-8")


def _entry(name: str) -> str:
    shape: Any = getattr(actors, name)
    if issubclass(shape, Enum):
        return _values(shape)
    words = words_of(shape)
    parts = [f"### `{name}`", words.text]
    if name in messages():
        parts.append(_facts(shape))
    parts.append(_fields(shape, words.arguments))
    if words.returns:
        parts.append(f"Returns: {words.returns}")
    if words.errors:
        parts.append(_table(("refused with", "when"), [(_codes(a), b) for a, b in words.errors]))
    return "\n\n".join(part for part in parts if part)


# -- what a docstring says -------------------------------------------------


class Words(NamedTuple):
    """What a docstring says.

    Args:
        text: all before the first section.
        arguments: field -> meaning.
        errors: names of errors, and when they come.
        returns: what the reply means, where it says so.
    """

    text: str
    arguments: dict[str, str]
    errors: list[tuple[str, str]]
    returns: str


def words_of(shape: type[Any]) -> Words:
    """Return what the docstring of a struct says."""
    text, *rest = _SECTION.split(inspect.cleandoc(shape.__doc__ or ""))
    sections = dict(zip(rest[::2], rest[1::2], strict=True))
    return Words(
        text=text.strip(),
        arguments=dict(_rows(sections.get("Args", ""))),
        errors=list(_rows(sections.get("Raises", ""))),
        returns=" ".join(sections.get("Returns", "").split()),
    )


def _rows(section: str) -> Iterator[tuple[str, str]]:
    for name, words in _ROW.findall(section):
        yield name, " ".join(words.split())


# -- what is known of a message --------------------------------------------


def _facts(message: type[Request[Any]]) -> str:
    routes = [f"`{method} {path}`" for method, path in routes_of(message)]
    commands = [f"`callboard {name}`" for name in commands_of(message)]
    parameters = inspect.signature(message).parameters.values()
    is_by_name = any(each.kind is each.KEYWORD_ONLY for each in parameters)
    facts = [
        f"- Reply: `{_reply_of(message)}`",
        f"- Answered by {answered_by(message)}",
        f"- HTTP: {', '.join(routes) or 'none'}",
        f"- Command: {', '.join(commands) or 'none'}",
    ]
    if is_by_name:
        facts.append("- Give its fields by name" + _BUT_ID * issubclass(message, SessionMessage))
    return "\n".join(facts)


def _reply_of(message: type[Any]) -> str:
    (base,) = message.__orig_bases__
    (reply,) = get_args(base)
    return reply.__forward_arg__ if isinstance(reply, ForwardRef) else shown_type(reply)


def answered_by(message: type[Any]) -> str:
    """Say on whose time a message is answered; where nobody has a handler, on the caller's."""
    if message in {*READS, *LINK_READS}:
        return "the caller's thread, from the table"
    if message in SessionManager._callboard_handlers:  # noqa: SLF001 -- as the runtime reads them
        return "the manager"
    if message in SessionActor._callboard_handlers:  # noqa: SLF001 -- as above
        is_handed_on = issubclass(message, ConnectionMessage)
        return "the session's actor" + (", which has its connection do it" if is_handed_on else "")
    return "the caller's thread"


def routes_of(message: type[Any]) -> list[tuple[str, str]]:
    """Return method and path of the routes that send a message: its name stands in their code."""
    return [
        (route.method, route.path)
        for route in ROUTES
        if message.__name__ in _names_in(_code_of(route.answer))
    ]


def _code_of(function: Callable[..., Any]) -> CodeType:
    code: CodeType = function.__code__
    return code


def _names_in(code: CodeType) -> set[str]:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return {*code.co_names}.union(*map(_names_in, inner))


# -- commands --------------------------------------------------------------


def commands() -> dict[str, Callable[..., Any]]:
    """Return every command of `callboard`, by its name: `mcp add`."""
    program = import_module("callboard.actors.daemon.commands").app
    return dict(_commands_of(program, ""))


def _commands_of(program: Any, before: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in program:
        if not name.startswith("-"):
            command = program[name]
            if command.default_command is not None:
                yield before + name, command.default_command
            yield from _commands_of(command, f"{before}{name} ")


def commands_of(message: type[Any]) -> list[str]:
    """Return the commands that use a route of a message."""
    routes = routes_of(message)
    return [
        name
        for name, function in commands().items()
        if any(route in requests_of(function) for route in routes)
    ]


def requests_of(command: Callable[..., Any]) -> set[tuple[str, str]]:
    """Return method and path of what a command asks a daemon for, as its source says."""
    nodes = list(ast.walk(ast.parse(inspect.getsource(command))))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    texts = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    methods = texts & {"GET", "POST", "PUT", "PATCH", "DELETE"}
    if any(_name_of(call.func) == "stream" for call in calls):
        methods.add("GET")
    paths = {text for text in texts if text.startswith("/v1/")}
    paths |= {_path_of(call) for call in calls if _name_of(call.func) == "path_of"}
    return {(method, path) for method in methods for path in paths}


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _path_of(call: ast.Call) -> str:
    steps = [
        f"{{{each.id}}}" if isinstance(each, ast.Name) else str(ast.literal_eval(each))
        for each in call.args
    ]
    return "/".join(["/v1/sessions", *steps])


# -- fields and values -----------------------------------------------------


def _fields(shape: type[Any], meanings: dict[str, str]) -> str:
    hints = _hints_of(shape)
    rows = [
        (f"`{each.name}`", _code(hints[each.name]), _default_of(each), meanings[each.name])
        for each in msgspec.structs.fields(shape)
    ]
    return _table(("field", "type", "default", "meaning"), rows) if rows else ""


def _hints_of(shape: type[Any]) -> dict[str, str]:
    """Return the fields' types as they are written."""
    hints: dict[str, str] = {}
    for base in reversed(shape.__mro__):
        hints |= {name: str(hint) for name, hint in vars(base).get("__annotations__", {}).items()}
    return {name: hint.replace(" | msgspec.UnsetType", "") for name, hint in hints.items()}


def _default_of(field: msgspec.structs.FieldInfo) -> str:
    default: object = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    if default is msgspec.NODEFAULT:
        return "required"
    if default is msgspec.UNSET:
        return "left as it is"
    if isinstance(default, Enum):
        return _code(f"{type(default).__name__}.{default.name}")
    return _code("{}" if default in ({}, EMPTY) else repr(default))


def _values(shape: type[Enum]) -> str:
    """Return the values of an enum with what stands below each in its source."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(shape))).body
    assert isinstance(body, ast.ClassDef)
    meanings: dict[str, str] = {}
    name = ""
    for node in body.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        elif name and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            meanings[name] = " ".join(str(node.value.value).split())
    rows = [(f"`{each.name}`", f"`{each.value}`", meanings.get(each.name, "")) for each in shape]
    columns = 3 if meanings else 2
    table = _table(("name", "value", "meaning")[:columns], [row[:columns] for row in rows])
    return "\n\n".join([f"### `{shape.__name__}`", words_of(shape).text, table])


def shown_type(hint: Any) -> str:
    """Return a type as it is written."""
    if hint is Ellipsis:
        return "..."
    if hint is NoneType or hint is None:
        return "None"
    parts = [shown_type(each) for each in get_args(hint)]
    if get_origin(hint) in {Union, UnionType}:
        return " | ".join(parts)
    name: str = getattr(get_origin(hint) or hint, "__name__", str(hint))
    return f"{name}[{', '.join(parts)}]" if parts else name


def _codes(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    write()
    print(f"wrote {PAGE.relative_to(ROOT)}")
