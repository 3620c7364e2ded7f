"""What is left of files when the power goes? What was synced, and any part of the rest. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

from callboard.supervision.runtime.chance import Stream

SECTOR_BYTES: Final = 512
"""What a drive writes as a whole or not at all."""


class Loss(StrEnum):
    """What a power cut leaves of changes that were not synced."""

    WHOLE = "whole"
    """Nothing."""
    TAIL = "tail"
    """Those up to some moment, across all files; the last write may be cut at any byte."""
    PARTS = "parts"
    """Of each write any sectors; a file may be there or not, cut or not."""


class Write(NamedTuple):
    """Bytes of a file were replaced."""

    file: int
    offset: int
    data: bytes


class Resize(NamedTuple):
    """A file was cut to a size."""

    file: int
    size: int


class Link(NamedTuple):
    """A file got a name: it was created."""

    name: str
    file: int


class Unlink(NamedTuple):
    """A name was taken away: its file was deleted."""

    name: str


Change: TypeAlias = Write | Resize | Link | Unlink


class Files:
    """Names, and what the files hold that they stand for.

    A file has a number beside its name, so that what is written to a new file never gets into a
    deleted one of the same name.
    """

    __slots__ = ("contents", "names")

    def __init__(self, names: Mapping[str, int], contents: Mapping[int, bytes | bytearray]) -> None:
        self.names = dict(names)
        self.contents = {file: bytearray(content) for file, content in contents.items()}

    def apply(self, change: Change) -> None:
        """Make one change."""
        match change:
            case Write(file, offset, data):
                content = self.contents.setdefault(file, bytearray())
                if len(content) < offset:
                    content.extend(bytes(offset - len(content)))
                content[offset : offset + len(data)] = data
            case Resize(file, size):
                del self.contents.setdefault(file, bytearray())[size:]
            case Link(name, file):
                self.names[name] = file
                self.contents.setdefault(file, bytearray())
            case Unlink(name):
                self.names.pop(name, None)

    def named(self) -> dict[str, bytes]:
        """Return what each name stands for."""
        return {name: bytes(self.contents[file]) for name, file in self.names.items()}


class Drive:
    """Files in memory: as a process sees them, and as they are on the platters.

    All lie in one folder. As on Linux a sync of a file makes its contents durable, and its name
    if that is new; that a file was deleted is durable once the folder has been synced.

    Args:
        files: what is on it already, durably.
    """

    __slots__ = ("_kept", "_next", "_open", "_seen", "_unsynced")

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        files = files or {}
        names = {name: number for number, name in enumerate(files)}
        contents = dict(enumerate(files.values()))
        self._seen = Files(names, contents)
        self._kept = Files(names, contents)
        self._unsynced: list[Change] = []
        self._open: dict[int, int] = {}
        self._next = len(files)

    # -- what a process does -------------------------------------------------

    def has(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        return name in self._seen.names

    def number(self, name: str) -> int | None:
        """Return what tells the file of this name from all that ever were; None: there is none."""
        return self._seen.names.get(name)

    def open(self, name: str | None) -> int:
        """Return the number of a file, which is made if there is none; to be closed again.

        Args:
            name: None: a file without one, which is gone when it is closed.
        """
        file = None if name is None else self._seen.names.get(name)
        if file is None:
            file, self._next = self._next, self._next + 1
            self._seen.contents[file] = bytearray()
            if name is not None:
                self._do(Link(name, file))
        self._open[file] = self._open.get(file, 0) + 1
        return file

    def close(self, file: int) -> None:
        """Let go of a file."""
        self._open[file] -= 1
        if not self._open[file]:
            del self._open[file]
            self._forget(file)

    def read(self, file: int, offset: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer at the end of the file."""
        return bytes(self._seen.contents[file][offset : offset + size])

    def size(self, file: int) -> int:
        """Return how many bytes a file has."""
        return len(self._seen.contents[file])

    def write(self, file: int, offset: int, data: bytes) -> None:
        """Replace bytes; what lies between the end and `offset` is zeros."""
        self._do(Write(file, offset, data))

    def resize(self, file: int, size: int) -> None:
        """Cut a file."""
        self._do(Resize(file, size))

    def unlink(self, name: str) -> None:
        """Delete a file; who has it open keeps it."""
        file = self._seen.names[name]
        self._do(Unlink(name))
        self._forget(file)

    def put(self, name: str, content: bytes) -> None:
        """Have a file with this content, for good and at once, in place of one of that name."""
        if name in self._seen.names:
            self.unlink(name)
        file = self.open(name)
        self.write(file, 0, content)
        self.sync(file)
        self.sync_folder()
        self.close(file)

    def sync(self, file: int) -> None:
        """Make durable what a file holds; also its name if it was created since."""
        name = next(
            (each.name for each in self._unsynced if isinstance(each, Link) and each.file == file),
            None,
        )
        left: list[Change] = []
        for change in self._unsynced:
            if isinstance(change, (Write, Resize)):
                is_meant = change.file == file
            else:
                is_meant = change.name == name
            if is_meant:
                self._kept.apply(change)
            else:
                left.append(change)
        self._unsynced = left

    def sync_folder(self) -> None:
        """Make durable which files there are."""
        for change in self._unsynced:
            if isinstance(change, (Link, Unlink)):
                self._kept.apply(change)
        self._unsynced = [
            each
            for each in self._unsynced
            if isinstance(each, (Write, Resize)) and each.file in self._seen.contents
        ]
        named = set(self._kept.names.values())
        for file in [each for each in self._kept.contents if each not in named]:
            del self._kept.contents[file]

    def forget_unsynced(self, file: int) -> None:
        """Never make durable what was written to a file: as Linux does when a sync has failed."""
        self._unsynced = [
            each for each in self._unsynced if isinstance(each, (Link, Unlink)) or each.file != file
        ]

    def _do(self, change: Change) -> None:
        self._seen.apply(change)
        self._unsynced.append(change)

    def _forget(self, file: int) -> None:
        if file not in self._open and file not in self._seen.names.values():
            del self._seen.contents[file]

    # -- what happens to it --------------------------------------------------

    def files(self) -> dict[str, bytes]:
        """Return what a process sees: name -> content. It outlives any process."""
        return self._seen.named()

    def left_by_cut(self, stream: Stream, loss: Loss | None = None) -> dict[str, bytes]:
        """Return what is there when the power has gone: name -> content.

        Args:
            stream: decides what is left of the changes that were not synced.
            loss: what kind of loss; None: the stream decides that, too.
        """
        if loss is None:
            loss = tuple(Loss)[int(stream.random() * len(Loss))]
        left = Files(self._kept.names, self._kept.contents)
        for change in _survivors(tuple(self._unsynced), stream, loss):
            left.apply(change)
        return left.named()


def _survivors(unsynced: tuple[Change, ...], stream: Stream, loss: Loss) -> Iterator[Change]:
    match loss:
        case Loss.WHOLE:
            return
        case Loss.TAIL:
            count = int(stream.random() * (len(unsynced) + 1))
            yield from unsynced[:count]
            for last in unsynced[count : count + 1]:
                if isinstance(last, Write):
                    size = int(stream.random() * len(last.data))
                    yield last._replace(data=last.data[:size])
        case Loss.PARTS:
            rate = stream.random()
            for change in unsynced:
                parts = _sectors(change) if isinstance(change, Write) else (change,)
                yield from (each for each in parts if stream.random() < rate)


def _sectors(write: Write) -> Iterator[Write]:
    """Yield a write in parts, none of which reaches over the end of a sector."""
    file, offset, data = write
    begin = 0
    while begin < len(data):
        end = begin + SECTOR_BYTES - (offset + begin) % SECTOR_BYTES
        yield Write(file, offset + begin, data[begin:end])
        begin = end
