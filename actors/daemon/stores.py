"""Where does a daemon keep its sessions? In memory, in a file, or on a PostgreSQL server.

The address of a server may hold a password: it is never shown, and not taken from where everybody
sees it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from callboard.actors.daemon.errors import WrongUsage
from callboard.actors.home import at_home
from callboard.actors.options import is_address
from callboard.actors.storage.postgres import PostgresStore

STORE_VARIABLE: Final = "CALLBOARD_STORE"

SCHEMES: Final = ("postgresql", "postgres")
"""What the address of a server begins with, as libpq has it."""


_NO_ADDRESS: Final = (
    "Give the path of a file (./file:... if that is its name), or"
    f" {SCHEMES[0]}://HOST/DATABASE; to keep sessions in memory alone, nothing."
)


def store_of(
    given: str | None, environ: Mapping[str, str] | None = None
) -> Path | PostgresStore | None:
    """Return what a daemon keeps its sessions in: a file, a server; None: memory alone.

    Nothing is opened yet.

    Args:
        given: what the command or the configuration says: a path, or `postgresql://...`.
        environ: asked when neither says anything; None: the process's own.

    Raises:
        WrongUsage: it is an address of another kind.
        InvalidSpec: it is no address that libpq takes.
        PostgresExtraMissing: it is a server's, and `psycopg` is not installed.
    """
    environ = os.environ if environ is None else environ
    meant = given or environ.get(STORE_VARIABLE)
    if not meant:
        return None
    scheme, has_scheme, _ = meant.partition("://")
    if has_scheme and scheme in SCHEMES:
        return PostgresStore(meant)
    if has_scheme or is_address(meant):
        msg = "there is no such kind of store"  # the address is not shown: a password may be in it
        raise WrongUsage(msg, _NO_ADDRESS)
    return Path(at_home(meant))


def server_of(given: str) -> PostgresStore | None:
    """Return the server that a command names; None: it names a file.

    Raises:
        WrongUsage: it is an address of another kind, or has a password that everybody sees.
        InvalidSpec: it is no address that libpq takes.
        PostgresExtraMissing: it is a server's, and `psycopg` is not installed.
    """
    refuse_password(given, remedy=_LEFT_TO_LIBPQ)
    found = store_of(given, {})
    return found if isinstance(found, PostgresStore) else None


_ELSEWHERE: Final = (
    f"Give the address in {STORE_VARIABLE} or in the --config file; or leave the password to libpq"
    " (PGPASSFILE, a service file)."
)
_LEFT_TO_LIBPQ: Final = "Leave the password to libpq: PGPASSFILE, a service file, PGPASSWORD."


def refuse_password(given: str | None, *, remedy: str = _ELSEWHERE) -> None:
    """Refuse an address with a password in a command line, which every user of the machine sees.

    Raises:
        WrongUsage: there is one.
    """
    if given is None or "://" not in given:
        return
    try:
        parts = urlsplit(given)
        has_password = parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:  # whoever takes it apart for good says what is wrong with it
        return
    if has_password:
        msg = "--store has a password, which every user of this machine can see"
        raise WrongUsage(msg, remedy)
