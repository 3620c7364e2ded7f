"""Several client processes: started fresh, given orders, watched, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from scripts.demonstration.client import Compare, Done, Order, Progress, run_client

END_S: Final = 10.0
"""Seconds that a client gets to end once it has no more orders."""


class ClientLostError(Exception):
    """A client process ended before it had carried out its order."""


class Crew:
    """Client processes of one daemon.

        with Crew(socket, size=4, seed=1) as crew:
            done = await crew.carry_out(orders, on_progress)

    Args:
        socket: the daemon's.
        size: how many.
        seed: for the moments of crashes.
        lost_key: see `Door`.
    """

    def __init__(self, socket: Path, *, size: int, seed: int, lost_key: str | None = None) -> None:
        context = get_context("spawn")
        self._clients: list[tuple[SpawnProcess, Connection[Any, Any]]] = []
        for number in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=run_client,
                args=(theirs, socket, f"client-{number + 1}", seed * size + number, lost_key),
                name=f"client-{number + 1}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._clients.append((process, ours))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process, pipe in self._clients:
            pipe.close()
            process.join(END_S if exc is None else 0)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()

    async def wait_ready(self) -> None:
        """Wait until all of them run: to start an interpreter takes its time."""
        nothing: Sequence[Order] = [Compare(()) for _ in self._clients]
        await self.carry_out(nothing, lambda _: None)

    async def carry_out(
        self, orders: Sequence[Order], on_progress: Callable[[Progress], None]
    ) -> list[Done]:
        """Give each client an order; return what they report when all are done.

        Raises:
            ClientLostError: a client ended before.
        """
        loop = asyncio.get_running_loop()
        ends: list[asyncio.Future[Done]] = []
        for (process, pipe), order in zip(self._clients, orders, strict=True):
            end: asyncio.Future[Done] = loop.create_future()
            # On a thread: a client that is still starting does not read yet.
            await asyncio.to_thread(pipe.send, order)
            loop.add_reader(pipe.fileno(), _hear, pipe, process.name, end, on_progress)
            ends.append(end)
        try:
            return await asyncio.gather(*ends)
        finally:
            for _, pipe in self._clients:
                loop.remove_reader(pipe.fileno())


def _hear(
    pipe: Connection[Any, Any],
    name: str,
    end: asyncio.Future[Done],
    on_progress: Callable[[Progress], None],
) -> None:
    try:
        said: Progress | Done = pipe.recv()
    except (EOFError, OSError):
        asyncio.get_running_loop().remove_reader(pipe.fileno())
        if not end.done():
            end.set_exception(ClientLostError(f"{name} ended before its work was done"))
        return
    match said:
        case Progress():
            on_progress(said)
        case Done():
            end.set_result(said)
