"""What the C library keeps of what was freed. In processes of their own: it is settled for good."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from callboard.actors import allocator

pytestmark = pytest.mark.skipif(
    allocator._function("malloc_trim", ctypes.c_size_t) is None,
    reason="no malloc_trim: it needs the C library glibc, as most Linux systems have it",
)

MIB = 2**20

MANY = """
import sys, threading
from callboard.actors.allocator import give_back, keep_little
from callboard.actors.memory import ProcessMemory

taken = ProcessMemory().resident_bytes
"""


def said(script: str, **environment: str) -> list[int]:
    """Run a script in a process of its own; return the numbers that it prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    clean.pop("GLIBC_TUNABLES", None)
    command = [sys.executable, "-c", MANY + script]
    done = subprocess.run(
        command,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [int(each) for each in done.stdout.split()]


def test_what_is_free_between_what_is_in_use_is_given_back() -> None:
    full, freed, left = said(
        """
blocks = [bytes(4_000) for _ in range(16_000)]
full = taken()
del blocks[:-1]
freed = taken()
assert give_back()
print(full, freed, taken())
"""
    )

    assert full - freed < 8 * MIB, "the last block keeps all below it"
    assert full - left > 48 * MIB


FROM_THREADS = """
keep_little()
def work():
    kept.append([bytes(2_000) for _ in range(2_000)])
    held.wait()
kept, held = [], threading.Barrier(9)
threads = [threading.Thread(target=work) for _ in range(8)]
for each in threads: each.start()
held.wait()
arenas = sum(
    "rw-p 00000000 00:00 0" in line and int(line.split("-")[0], 16) % (64 << 20) == 0
    for line in open("/proc/self/maps")
)
print(arenas)
"""


def test_threads_take_their_memory_from_one_place() -> None:
    (arenas,) = said(FROM_THREADS)

    assert arenas == 0


def test_what_the_environment_says_is_left_as_it_is() -> None:
    (arenas,) = said(FROM_THREADS, MALLOC_ARENA_MAX="4")

    assert arenas > 0


def test_a_large_block_goes_back_at_once_also_after_a_larger_one() -> None:
    before, full, left = said(
        """
assert keep_little()
large = b"x" * (16 << 20)
del large
before = taken()
blocks = [b"x" * (1 << 20) + b"%d" % each for each in range(32)]
full = taken()
del blocks[:-1]
print(before, full, taken())
"""
    )

    assert full - before > 24 * MIB
    assert left - before < 8 * MIB


def no_function(*_: object) -> None:
    """Find none."""


def test_another_c_library_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_function", no_function)

    assert not allocator.keep_little()
    assert not allocator.give_back()
