"""What is left of written files when the power goes."""

from __future__ import annotations

from random import Random

import pytest

from callboard.actors.testing.drive import SECTOR_BYTES, Drive, Loss

OLD, NEW = b"o" * 4 * SECTOR_BYTES, b"n" * 4 * SECTOR_BYTES


def written() -> Drive:
    """Return a drive with a synced file whose content was then replaced and not synced."""
    drive = Drive({"a": OLD})
    drive.write(drive.open("a"), 0, NEW)
    return drive


class TestUnsyncedWrites:
    def test_are_read_as_they_were_written(self) -> None:
        drive = written()

        assert drive.files() == {"a": NEW}

    def test_are_lost_as_a_whole(self) -> None:
        assert written().left_by_cut(Random(1), Loss.WHOLE) == {"a": OLD}

    def test_are_cut_at_any_byte(self) -> None:
        left = [written().left_by_cut(Random(seed), Loss.TAIL)["a"] for seed in range(100)]
        ends = {each.count(b"n") for each in left}

        assert all(each == NEW[:end] + OLD[end:] for each in left for end in [each.count(b"n")])
        assert max(ends) == len(NEW)
        assert [each for each in ends if each % SECTOR_BYTES]

    def test_are_there_in_any_sectors(self) -> None:
        parts = range(0, len(OLD), SECTOR_BYTES)
        seen: set[str] = set()
        for seed in range(200):
            left = written().left_by_cut(Random(seed), Loss.PARTS)["a"]
            sectors = [left[begin : begin + SECTOR_BYTES] for begin in parts]
            assert all(len(set(each)) == 1 for each in sectors)
            seen.add("".join(chr(each[0]) for each in sectors))

        assert len(seen) == 2 ** len(parts)

    def test_are_cut_where_sectors_end_and_not_where_writes_begin(self) -> None:
        drive = Drive({"a": OLD})
        drive.write(drive.open("a"), 100, NEW[:SECTOR_BYTES])

        left = {drive.left_by_cut(Random(seed), Loss.PARTS)["a"].count(b"n") for seed in range(99)}

        assert left == {0, 100, SECTOR_BYTES - 100, SECTOR_BYTES}

    @pytest.mark.parametrize("loss", Loss)
    def test_are_safe_once_they_are_synced(self, loss: Loss) -> None:
        drive = written()
        drive.sync(drive.open("a"))

        assert drive.left_by_cut(Random(1), loss) == {"a": NEW}

    def test_are_lost_for_good_when_a_sync_has_failed(self) -> None:
        drive = written()
        file = drive.open("a")
        drive.forget_unsynced(file)
        drive.sync(file)

        assert drive.files() == {"a": NEW}
        assert drive.left_by_cut(Random(1), Loss.WHOLE) == {"a": OLD}


class TestNames:
    def test_a_file_that_was_not_synced_may_never_have_been(self) -> None:
        drive = Drive()
        drive.write(drive.open("a"), 0, b"n")

        left = {drive.left_by_cut(Random(seed)).get("a") for seed in range(100)}

        assert left == {None, b"", b"n"}

    def test_a_sync_of_a_new_file_keeps_its_name(self) -> None:
        drive = Drive()
        drive.sync(drive.open("a"))

        assert drive.left_by_cut(Random(1), Loss.WHOLE) == {"a": b""}

    def test_a_deleted_file_may_come_back_until_the_folder_is_synced(self) -> None:
        drive = Drive({"a": OLD})
        drive.unlink("a")

        before = drive.left_by_cut(Random(1), Loss.WHOLE)
        drive.sync_folder()

        assert before == {"a": OLD}
        assert drive.left_by_cut(Random(1), Loss.WHOLE) == {}

    def test_what_is_written_to_a_new_file_never_gets_into_a_deleted_one_of_its_name(self) -> None:
        left: set[bytes | None] = set()
        for seed in range(200):
            drive = Drive({"a": OLD})
            drive.unlink("a")
            drive.write(drive.open("a"), 0, b"n")
            left.add(drive.left_by_cut(Random(seed)).get("a"))

        assert left == {None, OLD, b"", b"n"}

    def test_who_has_a_deleted_file_open_goes_on_with_it(self) -> None:
        drive = Drive({"a": OLD})
        file = drive.open("a")
        drive.unlink("a")

        drive.write(file, 0, b"n")

        assert drive.read(file, 0, 2) == b"no"
        assert drive.files() == {}

    def test_a_file_without_a_name_is_gone_when_it_is_closed(self) -> None:
        drive = Drive()
        file = drive.open(None)
        drive.write(file, 0, NEW)
        drive.sync(file)
        drive.close(file)

        assert drive.left_by_cut(Random(1), Loss.WHOLE) == {}


class TestBytes:
    def test_a_gap_is_zeros(self) -> None:
        drive = Drive()
        file = drive.open("a")

        drive.write(file, 3, b"n")

        assert drive.read(file, 0, 9) == b"\0\0\0n"

    def test_a_cut_file_has_what_is_left(self) -> None:
        drive = Drive({"a": b"abc"})
        file = drive.open("a")

        drive.resize(file, 2)

        assert (drive.size(file), drive.read(file, 0, 9)) == (2, b"ab")

    def test_a_file_is_put_as_a_whole_and_for_good(self) -> None:
        drive = Drive({"a": OLD})

        drive.put("a", b"new")

        assert drive.left_by_cut(Random(1), Loss.WHOLE) == {"a": b"new"}
