"""How much memory does this process take? A port, and what Linux says."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from callboard.actors import allocator
from callboard.supervision.model.errors import CallboardError

_STATM: Final = Path("/proc/self/statm")


class MemoryUnknown(CallboardError):
    """How much memory this process takes cannot be told, so no bound can be kept.

    Args:
        why: what was tried, and what came of it.
    """

    code = "memory_unknown"
    remedy: str = (
        "Leave memory_max_bytes out and give awake_max, or give SessionSystem(memory=...) an "
        "object whose resident_bytes() returns a whole number of bytes, and whose give_back() does "
        "not raise."
    )

    def __init__(self, why: str) -> None:
        super().__init__(f"nobody can tell how much memory this process takes: {why}")


class Memory(Protocol):
    """Knows how much memory the process takes, and gives back what it only keeps. The port.

    It is asked on a thread of the system, once in `passivate_interval_s`: it must not wait.
    """

    def resident_bytes(self) -> int:
        """Return how many bytes of this process are in memory just now: no peak, no reservation.

        Raises:
            MemoryUnknown: that cannot be told. Any other exception means the same.
        """
        ...

    def give_back(self) -> None:
        """Give back to the kernel what the process has in memory and does not use.

        It is called when the process takes more than it may, before anybody is put to sleep for
        that. Where nothing can be given back it does nothing.
        """
        ...


class ProcessMemory:
    """What the kernel says: the resident set of this process, whole pages. Linux only.

    Other systems without a package of their own tell the peak alone, which never falls.

    Args:
        statm: the file to read; some 12 us.

    Source: Linux, proc(5), /proc/[pid]/statm.
    """

    def __init__(self, statm: Path = _STATM) -> None:
        self._statm = statm

    def resident_bytes(self) -> int:
        """Return the resident set.

        Raises:
            MemoryUnknown: there is no such file here, or it says something else.
        """
        try:
            pages = int(self._statm.read_bytes().split()[1])
        except (OSError, ValueError, IndexError) as error:
            msg = f"{self._statm}: {error}"
            raise MemoryUnknown(msg) from error
        return pages * os.sysconf("SC_PAGE_SIZE")

    def give_back(self) -> None:
        """Have the C library give back what it keeps of what was freed; glibc alone does."""
        allocator.give_back()


def measured(memory: Memory, *, max_bytes: int | None = None) -> int:
    """Return what a port says.

    Args:
        memory: the port.
        max_bytes: what is more than that is given back first, as far as it is not used.

    Raises:
        MemoryUnknown: it raises, or says what is no number of bytes.
    """
    taken_bytes = _measured(memory)
    if max_bytes is None or taken_bytes <= max_bytes:
        return taken_bytes
    with _of_the_host(memory):
        memory.give_back()
    return _measured(memory)


def _measured(memory: Memory) -> int:
    with _of_the_host(memory):
        found: object = memory.resident_bytes()
    if type(found) is not int or found < 0:
        msg = f"{type(memory).__name__} said {type(found).__name__}, no whole number from 0 on"
        raise MemoryUnknown(msg)
    return found


@contextmanager
def _of_the_host(memory: Memory) -> Generator[None]:
    """Have what the host's code raises say that nobody can tell."""
    try:
        yield
    except MemoryUnknown:
        raise
    except Exception as error:  # the host's code: it must not cost the tree its budget
        msg = f"{type(memory).__name__} raised {type(error).__name__}"
        raise MemoryUnknown(msg) from error
