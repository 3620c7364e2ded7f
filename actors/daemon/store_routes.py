"""What can be done with the store of a daemon while its sessions go on?"""

from __future__ import annotations

import asyncio
import math
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

from callboard.actors.daemon.calls import Call, LinesIn, Route, Stream
from callboard.actors.daemon.errors import ExportTimeout
from callboard.actors.daemon.media import LINES
from callboard.actors.daemon.problems import problem_of
from callboard.actors.daemon.wire import NoQuery, Wire
from callboard.actors.errors import InvalidField
from callboard.actors.sessions.stepping import next_step
from callboard.actors.storage.checking import Checked, checking
from callboard.actors.storage.compacting import Compacted
from callboard.actors.storage.exporting import exported
from callboard.actors.storage.importing import Imported, lines_in
from callboard.actors.storage.lines import line_of_break
from callboard.actors.storage.salvaging import salvaged
from callboard.supervision.model.errors import CallboardError

PART_BYTES: Final = 65_536
"""Bytes of an export that are sent in one go, at least; what remains is less."""


class Compaction(Wire, frozen=True, kw_only=True):
    """What may go.

    Args:
        ended_longer_than_s: sessions that ended longer ago than so many seconds are deleted for
            good; left out: as long as the daemon keeps them (`ended_keep_s`).
    """

    ended_longer_than_s: float | None = None


class Exporting(Wire, frozen=True, kw_only=True):
    """How to export.

    Args:
        skip_damaged: leave out what cannot be read, and say which sessions those are; otherwise
            the export ends there.
    """

    skip_damaged: bool = False


class Aside:
    """Steps that are done on other threads while the loop goes on, one at a time.

    Args:
        close: lets go of what the steps use; called once, when none of them is under way.
    """

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close
        self._step: asyncio.Task[Any] | None = None

    async def do(self, act: Callable[[], Any]) -> Any:
        """Do one step."""
        self._step = asyncio.ensure_future(asyncio.to_thread(act))
        return await asyncio.shield(self._step)  # a thread cannot be cancelled

    def over(self) -> None:
        """Close as soon as the step that is under way is done."""
        step, close = self._step, self._close
        if step is None or step.done():
            close()
        else:
            step.add_done_callback(lambda _: close())


async def check_store(call: Call[NoQuery, None]) -> Checked:
    """Look whether all that the store keeps is whole, as it is at one moment."""
    operator = call.sessions.operator
    archive = operator.archive()
    aside, steps = Aside(archive.close), checking(archive, operator.inspector())
    call.stay.last(call.settings.work_s)
    call.stay.at_end(aside.over)
    while True:
        is_over, checked = await aside.do(lambda: next_step(steps))
        if is_over:
            found: Checked = checked
            return found


async def export_store(call: Call[Exporting, None]) -> Stream:
    """Write down all that the store keeps, as it is at one moment; the last line says it is all."""
    operator = call.sessions.operator
    if call.query.skip_damaged:
        ruin = operator.salvage()
        aside, lines = Aside(ruin.close), salvaged(ruin, operator.decoder())
    else:
        archive = operator.archive()
        aside, lines = Aside(archive.close), exported(archive)
    call.stay.last(None)  # not the guard ends it: the client is to be told that it is not all
    call.stay.at_end(aside.over)
    export_s = call.settings.export_s
    ends_at_s = asyncio.get_running_loop().time() + export_s

    async def next_part() -> bytes:
        try:
            async with asyncio.timeout_at(ends_at_s):
                part: bytes = await aside.do(lambda: _part(lines))
        except TimeoutError:
            msg = f"the export was not done within {export_s:g} s; what has come of it is not all"
            raise ExportTimeout(msg) from None
        return part

    # Before the answer begins: where nothing can be read, an error is the answer.
    return Stream(_parts(await next_part(), next_part))


async def _parts(part: bytes, next_part: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """Yield the parts; how long one waits for its reader is the connection's to bound, `send_s`."""
    try:
        while part:
            yield part
            is_last = len(part) < PART_BYTES
            part = b"" if is_last else await next_part()
    except CallboardError as error:  # too late for another status: the last line says it
        yield line_of_break(problem_of(error))


def _part(lines: Iterator[bytes]) -> bytes:
    part = bytearray()
    for line in lines:
        part += line
        if len(part) >= PART_BYTES:
            break
    return bytes(part)


async def import_store(call: Call[NoQuery, LinesIn]) -> Imported:
    """Take in what an export has written, all of it or nothing; its sessions are there, asleep."""
    operator = call.sessions.operator
    call.stay.last(call.settings.work_s)
    # The writer must not wait for a client that sends slowly: first it is all here.
    file = await call.aside(tempfile.TemporaryFile)
    aside = Aside(file.close)
    call.stay.at_end(aside.over)
    async for part in call.body.parts:
        await aside.do(partial(file.write, part))
    await aside.do(lambda: file.seek(0))
    return await operator.take_in(lines_in(file))


async def compact_store(call: Call[NoQuery, Compaction]) -> Compacted:
    """Delete what ended long ago, and give free room back to the disk."""
    operator, ended_s = call.sessions.operator, call.body.ended_longer_than_s
    if ended_s is None:
        ended_s = operator.ended_keep_s
    elif not 0 <= ended_s < math.inf:
        raise InvalidField("ended_longer_than_s", ended_s, "Give seconds, 0 or more.")
    call.stay.last(call.settings.work_s)
    return await operator.compact(ended_longer_than_s=ended_s)


STORE: tuple[Route, ...] = (
    Route(method="GET", path="/v1/store/check", answer=check_store, reply=Checked),
    Route(
        method="GET",
        path="/v1/store/export",
        answer=export_store,
        query=Exporting,
        reply=str,
        media_type=LINES,
    ),
    Route(
        method="POST",
        path="/v1/store/import",
        answer=import_store,
        body=LinesIn,
        reply=Imported,
    ),
    Route(
        method="POST",
        path="/v1/store/compact",
        answer=compact_store,
        body=Compaction,
        is_body_optional=True,
        reply=Compacted,
    ),
)
