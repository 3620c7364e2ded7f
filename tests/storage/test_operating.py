"""What an operator does with a store: is it whole, take it out, in, make it smaller."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callboard.actors import ImportRefused, InvalidField, StoreError
from callboard.actors.storage import arriving, checking, compacting, exporting, importing
from callboard.actors.storage.arriving import SqliteArrivals
from callboard.actors.storage.checking import Checked, Finding
from callboard.actors.storage.compacting import Compacted
from callboard.actors.storage.database import SQLITE_IOERR
from callboard.actors.storage.importing import Imported
from callboard.actors.storage.lines import read_line
from callboard.actors.storage.records import (
    CreateRecord,
    Head,
    MessageRecord,
    Stored,
    Write,
)
from callboard.actors.storage.sqlite import SqliteStore
from tests import examples
from tests.storage.conftest import Opens
from tests.storage.kit import (
    BODY,
    CREATED,
    Careless,
    StruckDisk,
    ended,
    head,
    messages,
    more,
    new,
    said,
)

R = TypeVar("R")


def to_end(steps: Generator[None, None, R]) -> R:
    """Take all steps; return what comes of them."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return cast("R", done.value)


class AnySession:
    """Takes every JSON object for a session, or a message; but not one that says it is odd."""

    def session(self, stored: Stored, /) -> None:
        self._look(stored.body, "kind")

    def message(self, session_id: str, message: MessageRecord, /) -> None:
        del session_id
        self._look(message.body, "content")

    def _look(self, body: bytes, field: str) -> None:
        if b"odd" in body:
            raise InvalidField("body." + field, "odd", "Give what is even.")


READABLE = AnySession()


def exported(store: SqliteStore) -> list[bytes]:
    reader = store.reader()
    try:
        return list(exporting.exported(reader))
    finally:
        reader.close()


def checked(store: SqliteStore) -> Checked:
    reader = store.reader()
    try:
        return to_end(checking.checking(reader, READABLE))
    finally:
        reader.close()


def imported(store: SqliteStore, lines: Sequence[bytes]) -> Imported:
    return to_end(importing.importing(SqliteArrivals(store), lines, READABLE))


def everything(store: SqliteStore) -> list[tuple[Stored, tuple[MessageRecord, ...]]]:
    return [
        (each, store.messages(each.id, after_seq=0, up_to_seq=10_000)) for each in store.history()
    ]


def fill(store: SqliteStore) -> None:
    store.write([new("ada", 3, standing=b'{"restarts":1}', created=CREATED), new("bob", 0)])
    store.write([new("eve", messages=messages(0, 2, keys=(2,)), head=head(2))])
    store.write([ended("bob", 77.5)])


@pytest.fixture
def other(tmp_path: Path) -> Any:
    store = SqliteStore(tmp_path / "other" / "sessions.db")
    yield store
    store.close()


class TestAnExport:
    def test_says_line_by_line_what_is_kept(self, store: SqliteStore) -> None:
        fill(store)

        lines = [json.loads(line) for line in exported(store)]

        assert [each["line"] for each in lines] == [
            "store",
            "session",
            *["message"] * 3,
            "session",
            "session",
            *["message"] * 2,
            "end",
        ]
        assert lines[1]["id"] == "ada"
        assert lines[1]["body"] == {"kind": "session"}
        assert lines[2] == {"line": "message", "seq": 1, "body": "said 1"}
        assert lines[-1] == {"line": "end", "sessions": 3, "messages": 5}

    def test_is_of_one_moment(self, opens: Opens) -> None:
        store = opens()
        fill(store)
        before = exported(store)
        reader = store.reader()
        going = exporting.exported(reader)
        first = next(going)

        store.write([more("ada", 3, 4), ended("eve", 3.0, 2), new("new")])
        store.purge(ended_before=100.0, limit=9)

        assert [first, *going] == before
        assert [each.id for each in reader.sessions()] == ["ada", "new"]
        reader.close()

    def test_reads_a_page_at_a_time(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exporting, "MESSAGES_AT_ONCE", 2)
        store.write([new("ada", 5), new("bob", 4)])

        lines = [json.loads(line) for line in exported(store)]

        assert [each["seq"] for each in lines if each["line"] == "message"] == [
            *range(1, 6),
            *range(1, 5),
        ]


class TestAnImport:
    def test_of_an_export_gives_the_same(self, opens: Opens, other: SqliteStore) -> None:
        store = opens()
        fill(store)
        lines = exported(store)

        assert imported(other, lines) == Imported(3, 5)

        assert everything(other) == everything(store)
        assert exported(other) == lines
        assert checked(other) == Checked(3, 5, ())

    def test_comes_beside_what_is_there_and_can_be_gone_on_with(
        self, opens: Opens, other: SqliteStore
    ) -> None:
        store = opens()
        fill(store)
        other.write([new("zoe", 1)])

        imported(other, exported(store))
        assert other.write([more("ada", 3, 4), more("zoe", 1, 2), new("last")]) == {}

        assert [each.id for each in other.history()] == ["zoe", "ada", "bob", "eve", "last"]
        assert len(said(other, "ada")) == 4
        assert checked(other).findings == ()

    def test_may_come_while_others_are_written_and_is_not_seen_before_its_end(
        self, opens: Opens, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", 2)
        store = opens()
        fill(store)

        steps = importing.importing(SqliteArrivals(other), exported(store), READABLE)
        count = 0
        for _ in steps:
            assert [each.id for each in other.history()] == [f"new-{n}" for n in range(count)]
            other.write([new(f"new-{count}", 1)])
            count += 1

        assert count > 3
        ids = [*(f"new-{n}" for n in range(count)), "ada", "bob", "eve"]
        assert [each.id for each in other.history()] == ids
        assert checked(other).findings == ()

    def test_that_is_given_up_leaves_nothing_that_is_seen_and_the_next_clears_it_away(
        self, opens: Opens, other: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", 2)
        monkeypatch.setattr(arriving, "CLEARED_AT_ONCE", 1)
        store = opens()
        fill(store)
        steps = importing.importing(SqliteArrivals(other), exported(store), READABLE)
        for _ in range(3):
            next(steps)
        steps.close()

        assert everything(other) == []
        assert [each.what for each in checked(other).findings] == [
            "an import of 3 sessions has not ended; the next import, or compact, clears it away"
        ]

        imported(other, exported(store))
        assert everything(other) == everything(store)
        assert checked(other).findings == ()

    def test_that_the_disk_ends_has_brought_nothing(self, opens: Opens, tmp_path: Path) -> None:
        store = opens()
        fill(store)
        disk = StruckDisk()
        other = SqliteStore(tmp_path / "struck" / "sessions.db", disk=disk)
        for at in ("INSERT INTO message", "INSERT INTO session", "COMMIT"):
            disk.fail_once(at, SQLITE_IOERR)

            with pytest.raises(StoreError, match="the disk failed"):
                imported(other, exported(store))

            assert everything(other) == []
        assert imported(other, exported(store)) == Imported(3, 5)
        other.close()


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


STORE = line(line="store", version=1)
ADA = {
    "line": "session",
    "id": "ada",
    "state": "active",
    "incarnation": 1,
    "version": 2,
    "last_seq": 2,
    "message_count": 2,
    "last_active_at": 5.0,
    "body": {"kind": "session"},
}
ONE = line(line="message", seq=1, body={})
TWO = line(line="message", seq=2, body={})
END = line(line="end", sessions=1, messages=2)


def ada(**other: Any) -> bytes:
    return line(**{name: value for name, value in {**ADA, **other}.items() if value != "gone"})


class TestAnImportOfWhatIsNotRight:
    @pytest.fixture(params=[1, 250])
    def at_once(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """So many lines are taken by each step."""
        monkeypatch.setattr(importing, "LINES_AT_ONCE", request.param)

    REFUSED = (
        pytest.param([b"{"], 1, "line", "JSON", id="no JSON"),
        pytest.param([b"\xff\xfe"], 1, "line", "JSON", id="no text"),
        pytest.param([b"[" * 100_000], 1, "line", "JSON", id="nested too deep"),
        pytest.param([b"7"], 1, "line", "Give an object, not", id="no object"),
        pytest.param([b'{"line":"what"}'], 1, "line", "Give", id="an unknown line"),
        pytest.param([b'{"line":7}'], 1, "line", "Give", id="a line that is no word"),
        pytest.param([], 1, "line", "to its last line", id="nothing"),
        pytest.param([line(line="store", version=2)], 1, "version", "version 1", id="newer"),
        pytest.param([ada()], 1, "line", "from its first line", id="no beginning"),
        pytest.param([STORE, STORE], 2, "line", "from its first line", id="two beginnings"),
        pytest.param([STORE, ONE], 2, "line", "session first", id="a message of nobody"),
        pytest.param([STORE, ada(), ONE, TWO], 5, "line", "last line", id="no end"),
        pytest.param([STORE, ada(), ONE, END], 4, "last_seq", "first: 2 to 2", id="a short log"),
        pytest.param([STORE, ada(), TWO], 3, "seq", "message 1", id="a hole"),
        pytest.param([STORE, ada(), ONE, ONE], 4, "seq", "message 2", id="twice the same"),
        pytest.param(
            [STORE, ada(), ONE, TWO, line(line="message", seq=3, body={})],
            5,
            "seq",
            "no more",
            id="one more",
        ),
        pytest.param(
            [STORE, ada(), ONE, TWO, line(line="end", sessions=1, messages=3)],
            5,
            "messages",
            "there were 2",
            id="another number of messages",
        ),
        pytest.param(
            [STORE, ada(), ONE, TWO, line(line="end", sessions=2, messages=2)],
            5,
            "sessions",
            "there were 1",
            id="another number of sessions",
        ),
        pytest.param(
            [STORE, ada(), ONE, TWO, line(line="end", sessions=1, messages=2, skipped=1)],
            5,
            "skipped",
            "there were 0",
            id="another number of what was left out",
        ),
        pytest.param(
            [STORE, ada(), ONE, line(line="broken", problem={})],
            4,
            "line",
            "broke off",
            id="an export that broke off",
        ),
        pytest.param([STORE, ada(), ONE, TWO, END, ONE], 6, "line", "last", id="after the end"),
        pytest.param([STORE, ada(), ONE, TWO, ada()], 5, "id", "once", id="a session twice"),
        pytest.param([STORE, ada(id="taken")], 2, "id", "leave it out", id="one that is there"),
        pytest.param([STORE, ada(id="")], 2, "id", "not empty", id="no id"),
        pytest.param([STORE, ada(id=7)], 2, "id", "Give text, not a whole number", id="a type"),
        pytest.param(
            [STORE, ada(state="gone")], 2, "state", "required", id="a field that is missing"
        ),
        pytest.param([STORE, ada(hat="red")], 2, "hat", "Leave it out", id="an unknown field"),
        pytest.param([STORE, ada(version=-1)], 2, "version", "Give", id="a negative number"),
        pytest.param([STORE, ada(version=1 << 63)], 2, "version", "Give", id="a number too large"),
        pytest.param(
            [STORE, ada(message_count=1)], 2, "message_count", "at least", id="too few messages"
        ),
        pytest.param([STORE, ada(ended_at=-1.0)], 2, "ended_at", "seconds", id="a time before all"),
        pytest.param([STORE, ada(body="gone")], 2, "body", "required", id="no snapshot"),
        pytest.param(
            [STORE, ada(body="gone", body_base64="AA==")], 2, "body_base64", "damaged", id="damage"
        ),
        pytest.param(
            [STORE, ada(body={"kind": "odd"})], 2, "body.kind", "even", id="what is no session"
        ),
        pytest.param(
            [STORE, ada(), ONE.replace(b"{}", b'{"content":"\xff"}')],
            3,
            "body",
            "UTF-8",
            id="what is no text within a message",
        ),
        pytest.param(
            [STORE, ada(), line(line="message", seq=1, body="odd")],
            3,
            "body.content",
            "even",
            id="what is no message",
        ),
        pytest.param(
            [STORE, ada(created={"org_id": None, "user_id": "u", "key": 1})],
            2,
            "created.key",
            "Give text",
            id="within a field",
        ),
    )

    @pytest.mark.parametrize(("lines", "number", "field", "remedy"), REFUSED)
    @pytest.mark.usefixtures("at_once")
    def test_names_the_line_and_the_field_and_takes_nothing(
        self,
        opens: Opens,
        lines: list[bytes],
        number: int,
        field: str,
        remedy: str,
    ) -> None:
        store = opens()
        store.write([new("taken", 1)])
        before = everything(store)

        with pytest.raises(ImportRefused) as refused:
            imported(store, lines)

        assert (refused.value.line, refused.value.field) == (number, field)
        assert remedy in refused.value.remedy
        assert refused.value.remedy.endswith(".")
        of = refused.value.session_id
        whose = "" if of is None else f", session {of}"
        assert str(refused.value).startswith(f"line {number}{whose}: {field}=")
        assert everything(store) == before
        assert checked(store).findings == ()

    @pytest.mark.parametrize(
        ("lines", "session_id"),
        [
            ([STORE, ada(version=-1)], None),  # its line is not read
            ([STORE, ada(message_count=1)], "ada"),
            ([STORE, ada(), TWO], "ada"),
            ([STORE, ada(), ONE, ada(id="eve")], "ada"),
            ([STORE, ada(), ONE, END], "ada"),
            ([STORE, ada(), ONE, TWO, ada(id="eve", message_count=1)], "eve"),
            ([STORE, ada(), ONE, TWO, END, END], None),
        ],
    )
    def test_names_the_session(
        self, opens: Opens, lines: list[bytes], session_id: str | None
    ) -> None:
        with pytest.raises(ImportRefused) as refused:
            imported(opens(), lines)

        assert refused.value.session_id == session_id

    def test_passes_over_what_an_export_has_left_out(self, opens: Opens) -> None:
        lost = line(line="skipped", id="eve", why="it is torn")
        end = json.loads(END)

        came = imported(
            opens(), [STORE, lost, ada(), ONE, TWO, lost, line(**{**end, "skipped": 2})]
        )

        assert came == Imported(1, 2)

    def test_into_a_file_that_somebody_else_has_changed_is_refused(
        self, store: SqliteStore
    ) -> None:
        arrivals = SqliteArrivals(store)
        arrivals.take([Stored("ada", head(0), BODY)], [])
        store.change(lambda database: database.execute("DELETE FROM arriving"))

        with pytest.raises(StoreError, match="0 sessions have come in") as caught:
            arrivals.publish()

        assert "import again" in caught.value.remedy
        assert list(store.sessions()) == []

    def test_says_so_of_an_id_that_is_taken_meanwhile(
        self, opens: Opens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "LINES_AT_ONCE", 1)
        store = opens()
        steps = importing.importing(SqliteArrivals(store), [STORE, ada(), ONE, TWO, END], READABLE)
        for _ in range(3):
            next(steps)
        store.write([new("ada", 1)])

        with pytest.raises(ImportRefused, match="id='ada'"):
            to_end(steps)

        assert said(store, "ada") == ["said 1"]
        assert checked(store) == Checked(1, 1, ())

    def test_does_not_read_a_line_without_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "LINE_BYTES_MAX", 100)
        monkeypatch.setattr("callboard.actors.storage.lines.LINE_BYTES_MAX", 100)
        (tmp_path / "long").write_bytes(STORE + b"x" * 10_000)
        with (tmp_path / "long").open("rb") as file:
            lines = importing.lines_in(file)

            assert next(lines) == STORE
            long = next(lines)

        assert len(long) == 101
        with pytest.raises(InvalidField, match="100 bytes"):
            read_line(long)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
SECONDS = st.floats(0, 1e12)
BODIES = JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode())
COUNTS = st.integers(0, 2**63 - 1)


@st.composite
def any_sessions(draw: st.DrawFn) -> list[Write]:
    writes: list[Write] = []
    for session_id in draw(st.lists(TEXT.filter(bool), unique=True, max_size=4)):
        log = tuple(
            MessageRecord(n + 1, draw(st.none() | TEXT), draw(BODIES))
            for n in range(draw(st.integers(0, 3)))
        )
        created = draw(
            st.none()
            | st.builds(
                CreateRecord,
                st.none() | TEXT,
                st.none() | TEXT,
                TEXT,
                st.binary(max_size=16),
                SECONDS,
            )
        )
        own = Head(
            draw(TEXT),
            draw(COUNTS),
            draw(COUNTS),
            len(log),
            draw(st.integers(len(log), 2**63 - 1)),
            draw(SECONDS),
        )
        write = Write(
            id=session_id,
            is_new=True,
            head=own,
            body=draw(BODIES),
            messages=log,
            standing=draw(st.none() | BODIES),
            created=created,
            ended_at=draw(st.none() | SECONDS),
        )
        writes.append(write)
    return writes


@settings(max_examples=examples.of(30), deadline=None)
@given(writes=any_sessions())
def test_whatever_is_kept_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, writes: list[Write]
) -> None:
    folder = tmp_path_factory.mktemp("both")
    store = SqliteStore(folder / "one.db", disk=Careless())
    other = SqliteStore(folder / "other.db", disk=Careless())
    assert store.write(writes) == {}

    lines = exported(store)
    imported(other, lines)

    assert everything(other) == everything(store)
    assert exported(other) == lines
    assert all(each.count(b"\n") == 1 for each in lines)
    store.close()
    other.close()


@pytest.mark.parametrize("body", [b"no JSON", b"\xff", b'{"a":\n1}', b"", b" 1 "])
def test_what_would_not_stay_on_its_line_is_exported_in_base64_and_not_imported(
    opens: Opens, other: SqliteStore, body: bytes
) -> None:
    store = opens()
    store.write([new("ada", body=body)])

    lines = exported(store)

    assert len(lines) == 3
    assert "body_base64" in json.loads(lines[1])
    with pytest.raises(ImportRefused, match="body_base64"):
        imported(other, lines)


class TestACheck:
    def test_of_a_store_that_is_whole_finds_nothing(self, store: SqliteStore) -> None:
        fill(store)

        assert checked(store) == Checked(3, 5, ())

    DAMAGE = (
        pytest.param(
            "DELETE FROM message WHERE seq = 2",
            [Finding("the message is missing", "ada", 2)],
            id="a hole",
        ),
        pytest.param(
            "DELETE FROM message WHERE seq >= 2",
            [Finding("the messages up to 3 are missing", "ada", 2)],
            id="a log that is cut off",
        ),
        pytest.param(
            "INSERT INTO message SELECT session, 4, key, body FROM message WHERE seq = 1",
            [Finding("it follows message 3, which is the last by the head", "ada", 4)],
            id="a message too many",
        ),
        pytest.param(
            "UPDATE session SET message_count = 1",
            [Finding("it counts 1 messages, and its last one is 3", "ada")],
            id="a wrong count",
        ),
        pytest.param(
            "UPDATE message SET body = x'ff' WHERE seq = 3",
            [Finding("its body is no JSON", "ada", 3)],
            id="a message that cannot be read",
        ),
        pytest.param(
            "UPDATE snapshot SET body = x'7b'",
            [Finding("its body is no JSON", "ada")],
            id="a snapshot that cannot be read",
        ),
        pytest.param(
            "UPDATE snapshot SET standing = x'7b'",
            [Finding("its standing is no JSON", "ada")],
            id="a standing that cannot be read",
        ),
        pytest.param(
            "DELETE FROM snapshot", [Finding("it has no snapshot", "ada")], id="no snapshot"
        ),
        pytest.param(
            """UPDATE snapshot SET body = CAST('"odd"' AS BLOB)""",
            [Finding("body.kind='odd' is not valid. Give what is even.", "ada")],
            id="a snapshot of no session",
        ),
        pytest.param(
            """UPDATE message SET body = CAST('"odd"' AS BLOB) WHERE seq = 2""",
            [Finding("body.content='odd' is not valid. Give what is even.", "ada", 2)],
            id="a message that is none",
        ),
        pytest.param(
            "INSERT INTO message VALUES (99, 1, NULL, x'31'); INSERT INTO snapshot (session, body)"
            " VALUES (98, x'31')",
            [
                Finding("there are messages of a session number 99 that is not there"),
                Finding("there is the snapshot of a session number 98 that is not there"),
            ],
            id="what belongs to nobody",
        ),
    )

    @pytest.mark.parametrize(("damage", "findings"), DAMAGE)
    def test_finds_what_is_damaged(
        self, opens: Opens, damage: str, findings: list[Finding]
    ) -> None:
        store = opens()
        store.write([new("ada", 3)])
        assert checked(store).findings == ()
        for sql in damage.split("; "):
            store.change(lambda database, each=sql: database.execute(each))  # type: ignore[misc]  # a default

        assert list(checked(store).findings) == findings

    def test_finds_pages_that_are_damaged(self, opens: Opens, path: Path) -> None:
        store = opens()
        store.write([new("ada", 300), new("bob", 1)])
        store.close()
        with path.open("r+b") as file:
            # Cells of every page behind the first few: the messages lie there.
            for page in range(9, path.stat().st_size // 4096):
                file.seek(page * 4096 + 8)
                file.write(random.Random(page).randbytes(64))

        found = checked(opens())

        assert found.findings
        assert found.sessions == 2
        assert "ada" in {each.session_id for each in found.findings}
        assert found.findings[0].session_id is None

    def test_tells_no_more_than_it_may(self, opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checking, "FINDINGS_PER_SESSION_MAX", 2)
        monkeypatch.setattr(checking, "FINDINGS_MAX", 3)
        store = opens()
        store.write([new(each, messages=(), head=head(9)) for each in "ab"])
        store.write(
            [
                new(
                    "c",
                    messages=tuple(MessageRecord(n, None, b"x") for n in (1, 2, 3)),
                    head=head(3),
                )
            ]
        )
        store.write([new("d", messages=(), head=head(9))])

        found = checked(store)

        assert [each.session_id for each in found.findings] == ["a", "b", "c"]
        assert not found.is_complete


LONG = tuple(MessageRecord(seq, None, b'"%s"' % (b"x" * 50_000)) for seq in range(1, 4))
"""Messages that fill pages."""


class TestCompacting:
    def test_makes_the_file_smaller_a_part_at_a_time(
        self, opens: Opens, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(compacting, "PAGES_AT_ONCE", 50)
        monkeypatch.setattr(compacting, "PURGED_AT_ONCE", 10)
        store = opens()
        ids = [f"s{n}" for n in range(50)]
        store.write([new(each, 20, body=b'"%s"' % (b"x" * 20_000)) for each in ids])
        store.write([ended(each, 5.0, 20) for each in ids[1:]])
        store.close()
        store = opens()
        before = path.stat().st_size

        steps = compacting.compacting(store, ended_before=6.0)
        for _ in range(8):
            next(steps)
            assert store.write([more("s0", 20, 20)]) == {}
        compacted = to_end(steps)

        assert compacted == Compacted(49, before, path.stat().st_size)
        assert compacted.bytes_after < before / 4
        assert [each.id for each in store.history()] == ["s0"]
        assert checked(store) == Checked(1, 20, ())

    @pytest.mark.parametrize(
        ("left", "said"),
        [
            ({"purged": 3, "is_smaller": True}, None),
            ({"purged": 3, "is_smaller": True, "is_read": True}, "until that is over"),
            ({"is_read": True}, "until that is over"),
            ({"purged": 3}, "used again"),
            ({"purged": 3, "keeps_pages": True}, "auto_vacuum = INCREMENTAL"),
            ({}, "nothing has ended so long ago"),
            ({"keeps_ended": True}, "a lower ended_longer_than_s"),
        ],
        ids=["it has", "read", "still read", "no page", "kept pages", "nothing", "later"],
    )
    def test_tells_why_the_disk_got_nothing_back(
        self, left: dict[str, Any], said: str | None
    ) -> None:
        nothing: dict[str, Any] = {"purged": 0, "is_smaller": False, "keeps_ended": False}

        why = compacting.why_nothing(
            compacting.Left(**{**nothing, **left}), used_again="used again"
        )

        assert why is None if said is None else why is not None and said in why

    def test_that_a_reader_holds_back_says_so(self, opens: Opens, path: Path) -> None:
        store = opens()
        store.write([new("old", messages=LONG, head=head(3)), new("lives")])
        store.close()  # so that all of it is in the file itself
        store = opens()
        store.write([ended("old", 5.0, 3)])

        with closing(store.reader()) as reader, reader.unchanging():
            held = to_end(compacting.compacting(store, ended_before=6.0))
            size_meanwhile = path.stat().st_size
        again = to_end(compacting.compacting(store, ended_before=6.0))

        assert held.why is not None
        assert "somebody reads the store as it was" in held.why
        assert path.stat().st_size == again.bytes_after < size_meanwhile
        assert again.why == "nothing has ended so long ago"

    def test_of_a_file_that_keeps_its_pages_ends_and_says_so(
        self, opens: Opens, path: Path
    ) -> None:
        store = opens()
        store.write([new("old", messages=LONG, head=head(3)), new("lives")])
        store.write([ended("old", 5.0, 3)])
        store.close()
        with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
            stranger.execute("PRAGMA auto_vacuum = NONE")
            stranger.execute("VACUUM")

        kept = to_end(compacting.compacting(opens(), ended_before=6.0))

        assert kept.purged == 1
        assert kept.why is not None
        assert "PRAGMA auto_vacuum = INCREMENTAL" in kept.why

    def test_keeps_what_ended_later(self, opens: Opens) -> None:
        store = opens()
        store.write([new("ada", ended_at=5.0), new("bob", ended_at=6.0), new("eve")])

        assert to_end(compacting.compacting(store, ended_before=6.0)).purged == 1

        assert [each.id for each in store.history()] == ["bob", "eve"]
        assert list(store.sessions()) == [Stored("eve", head(0), BODY)]
