"""What have all commands of `callboard` in common? The program, where it looks, how it answers."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter

from callboard.actors.daemon.client import Client
from callboard.actors.daemon.showing import Answer, as_json
from callboard.actors.daemon.where import meant, token_file_of
from callboard.actors.errors import InvalidField
from callboard.actors.statuses import EX_OK, EXIT_CODES

STDIN_CHARS_MAX = 16_777_216
"""Characters that a command reads from stdin: whoever writes may never end."""

app = App(
    name="callboard",
    help="Supervised sessions in a daemon, and the commands to talk to it.",
    help_epilogue="Exit codes:\n\n"
    + "\n".join(f"- {code}: {meaning}" for code, meaning in EXIT_CODES.items()),
    version=lambda: version("callboard"),
    version_flags=["--version"],
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """Where the daemon is, and how the answer is shown."""

    socket: Path | None = None
    """The daemon's Unix socket. The default is $CALLBOARD_SOCKET, else the user's own."""

    url: str | None = None
    """Where the daemon listens on a port, instead of a socket: http://127.0.0.1:PORT.
    The default is $CALLBOARD_URL."""

    token_file: Path | None = None
    """The file with the token that a port wants. The default is $CALLBOARD_TOKEN_FILE,
    else the user's own."""

    json: Annotated[bool, Parameter(negative="")] = False
    """Print the answer as one line of JSON."""

    def client(self) -> Client:
        """Return a connection to the daemon."""
        place = meant(self.socket, self.url)
        if isinstance(place, Path):
            return Client(place)
        return Client(url=place, token_file=token_file_of(self.token_file))


HERE = Where()


# -- saying it -------------------------------------------------------------


def print_answer(answer: Answer, where: Where, lines: Iterable[str]) -> int:
    """Print an answer, as lines for people or as JSON; return the exit code."""
    say([as_json(answer)] if where.json else lines)
    return EX_OK


def say(lines: Iterable[str]) -> None:
    """Print lines, now."""
    for line in lines:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def json_object(field: str, text: str) -> dict[str, object]:
    """Return what an option holds as JSON.

    Raises:
        InvalidField: it is no JSON object.
    """
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise InvalidField(field, text, "Give a JSON object.") from error
    except RecursionError:
        raise InvalidField(field, text, "Give a JSON object that nests less deep.") from None


def given(text: str) -> str:
    """Return a text of the command line; `-` stands for what comes from stdin.

    Raises:
        InvalidField: it is no text, or more than a daemon takes without being told to.
    """
    if text != "-":
        return text
    try:
        read = sys.stdin.read(STDIN_CHARS_MAX + 1)
    except UnicodeDecodeError as error:
        raise InvalidField("stdin", error.object, f"Give {error.encoding.upper()}.") from None
    if len(read) > STDIN_CHARS_MAX:
        raise InvalidField("stdin", read, f"Give at most {STDIN_CHARS_MAX} characters.")
    return read
