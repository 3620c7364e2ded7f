"""What is the daemon to be? What the options of `serve` say, and what a TOML file says of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from callboard.actors.daemon.errors import WrongConfig
from callboard.actors.daemon.options import BOUNDS
from callboard.actors.home import at_home
from callboard.actors.wording import invalid
from callboard.supervision.model.showing import shown, shown_path

LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

CONFIG_BYTES_MAX = 1_048_576
"""Bytes that a file may have."""


NUMBER_BITS_MAX = 64
"""Bits that a whole number in a file may have."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that can be said of a daemon. Paths are taken from the current directory, `~` is home.

    Args:
        socket: the Unix socket it listens on; None: the environment's, or the user's own.
        port: listen on this port instead.
        host: which loopback address the port is on.
        token_file: where the token of the port is.
        faults: whether clients may make things crash.
        session: MODULE:CLASS of the sessions' behaviour; None: SessionActor.
        app_dir: the folder with its module; None: the current directory.
        partitions: over how many supervisors the sessions are spread; None: 2 per processor.
        tenants: whether every session needs a user and an organisation.
        unique_role: whether a user's living sessions must play different roles.
        workspace: the folder below which every session has one; None: they have none.
        store: what sessions are kept in, a file's path or `postgresql://...`; None: the
            environment's, or they live in memory.
        audit: the file of the records; None: there are none.
        audit_required: whether an operation that cannot be recorded is refused.
        log_level: what is logged to stderr.
        set: bounds by their names: of DaemonSettings, SessionLimits, Keeping and Settings.
    """

    socket: str | None = None
    port: int | None = None
    host: str = "127.0.0.1"
    token_file: str | None = None
    faults: bool = False
    session: str | None = None
    app_dir: str | None = None
    partitions: int | None = None
    tenants: bool = False
    unique_role: bool = False
    workspace: str | None = None
    store: str | None = None
    audit: str | None = None
    audit_required: bool = False
    log_level: LogLevel = "info"
    set: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])


NOTHING = Config()
"""What is meant when nobody says anything."""


def read_config(path: Path) -> Config:
    """Return what a file says.

    Raises:
        WrongConfig: it cannot be read, is no TOML, or says what there is not.
    """
    try:
        with Path(at_home(path)).open("rb") as file:
            raw = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise WrongConfig(msg, "Give the path of a file that you may read.") from error
    if len(raw) > CONFIG_BYTES_MAX:
        msg = f"{path} has more than {CONFIG_BYTES_MAX} bytes"
        raise WrongConfig(msg, "Give a smaller one.")
    try:
        said: dict[str, Any] = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{path} is no TOML: {str(error).rstrip('.')}"
        raise WrongConfig(msg, "Write NAME = VALUE, a line each; text in quotes.") from error
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        msg = f"{path}: a number has too many digits"
        raise WrongConfig(msg, f"Give numbers of at most {NUMBER_BITS_MAX} bits.") from error
    _check_names(path, said, Config.__struct_fields__)
    try:
        config = msgspec.convert(said, Config)
    except msgspec.ValidationError as error:
        wrong = invalid(error, said, Config)
        msg = f"{path}: {wrong.field}={shown(wrong.value)} is not valid"
        raise WrongConfig(msg, wrong.remedy) from None
    for name in Config.__struct_fields__:
        text: object = getattr(config, name)
        if isinstance(text, str) and "\0" in text:  # no path, host or module has it
            msg = f"{path}: {name}={shown(text)} is not valid"
            raise WrongConfig(msg, "Give text without NUL.")
    _check_names(path, config.set, BOUNDS, within="set.")
    for name, bound in config.set.items():
        if not _is_number(bound):
            msg = f"{path}: set.{name}={shown(bound)} is not valid"
            raise WrongConfig(msg, "Give a number.")
    return config


def _is_number(bound: object) -> bool:
    """Say whether a bound may be this: the shapes of the bounds look at it more closely."""
    if isinstance(bound, int):
        return type(bound) is int and bound.bit_length() <= NUMBER_BITS_MAX
    return isinstance(bound, (float, str))


def _check_names(
    path: Path, said: Mapping[str, object], names: tuple[str, ...], *, within: str = ""
) -> None:
    for name in said:
        if name not in names:
            msg = f"{path}: there is no {within}{shown_path(name)}"
            raise WrongConfig(msg, f"The names are {', '.join(sorted(names))}.")


def replaced(config: Config, said: Mapping[str, object]) -> Config:
    """Return what is meant: what is said comes before what the file says.

    Args:
        config: what the file says.
        said: what the command says, by its names; None: nothing. A door that it names, socket
            or port, takes the place of the file's, whichever that is.
    """
    known = {name: value for name, value in said.items() if value is not None}
    if "socket" in known or "port" in known:
        known = {"socket": None, "port": None, **known}
    return msgspec.structs.replace(config, **known)


def as_given(bounds: Mapping[str, object]) -> Iterator[str]:
    """Yield bounds as `--set` has them."""
    return (f"{name}={value}" for name, value in bounds.items())
