"""How much memory does this process take? A port, and what Linux says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

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
        "object whose resident_bytes() returns a whole number of bytes."
    )

    def __init__(self, why: str) -> None:
        super().__init__(f"nobody can tell how much memory this process takes: {why}")


class Memory(Protocol):
    """Knows how much memory the process takes. The port.

    It is asked on a thread of the system, once in `passivate_interval_s`: it must not wait.
    """

    def resident_bytes(self) -> int:
        """Return how many bytes of this process are in memory just now: no peak, no reservation.

        Raises:
            MemoryUnknown: that cannot be told. Any other exception means the same.
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


def measured(memory: Memory) -> int:
    """Return what a port says.

    Raises:
        MemoryUnknown: it raises, or says what is no number of bytes.
    """
    try:
        found: object = memory.resident_bytes()
    except MemoryUnknown:
        raise
    except Exception as error:  # the host's code: it must not cost the tree its budget
        msg = f"{type(memory).__name__} raised {type(error).__name__}"
        raise MemoryUnknown(msg) from error
    if type(found) is not int or found < 0:
        msg = f"{type(memory).__name__} said {type(found).__name__}, no whole number from 0 on"
        raise MemoryUnknown(msg)
    return found
