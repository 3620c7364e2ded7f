"""Where does the demonstration's daemon keep its sessions, and do they outlive it?"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args
from urllib.parse import quote

import msgspec

from tests.storage.postgres_server import running

StoreName: TypeAlias = Literal["memory", "sqlite", "postgres"]

STORES: Final[tuple[StoreName, ...]] = get_args(StoreName)
"""What `--store` takes."""


class Keeper(msgspec.Struct, frozen=True, kw_only=True):
    """A store for one daemon.

    Args:
        name: how people call it.
        is_durable: whether what is in it outlives the daemon.
        environment: what tells the daemon where it is. Not its arguments: everybody sees those,
            and a server's address may hold a password.
    """

    name: str
    is_durable: bool
    environment: Mapping[str, str]


@contextmanager
def keeping(store: StoreName, folder: Path) -> Generator[Keeper]:
    """Have an empty store for one daemon.

    Args:
        store: which kind.
        folder: where a file may be; private. A PostgreSQL server has one of its own.

    Raises:
        Missing: PostgreSQL is not installed.
    """
    match store:
        case "memory":
            yield Keeper(name="memory", is_durable=False, environment={"CALLBOARD_STORE": ""})
        case "sqlite":
            path = str(folder / "sessions.db")
            yield Keeper(name="SQLite", is_durable=True, environment={"CALLBOARD_STORE": path})
        case "postgres":
            with running() as server:
                address = f"postgresql://callboard@/postgres?host={quote(str(server.folder))}"
                yield Keeper(
                    name="PostgreSQL", is_durable=True, environment={"CALLBOARD_STORE": address}
                )
