"""What every durable store keeps, and gives back: the port, as a specification."""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callboard.actors.errors import StoreError
from callboard.actors.storage import postgres, purging, reading
from callboard.actors.storage.purging import Purged
from callboard.actors.storage.records import MessageRecord, Stored, Write
from tests import examples
from tests.storage.conftest import KeepsHistory, Opening
from tests.storage.kit import BODY, CREATED, by_id, ended, head, messages, more, new, said


@pytest.fixture
def opening(places: Callable[[], Opening]) -> Opening:
    return places()


@pytest.fixture
def store(opening: Opening) -> KeepsHistory:
    return opening()


class TestASessionThatIsKept:
    def test_is_there_when_the_store_is_opened_again(self, opening: Opening) -> None:
        store = opening()
        store.write([new("ada", 2, standing=b'{"restarts":1}', created=CREATED)])
        store.close()

        again = opening()

        kept = Stored("ada", head(2), BODY, b'{"restarts":1}', CREATED, None)
        assert list(again.sessions()) == [kept]
        assert again.messages("ada", after_seq=0, up_to_seq=9) == messages(0, 2)

    def test_comes_in_the_order_of_creation_whatever_its_id(self, store: KeepsHistory) -> None:
        store.write([new("z"), new("a")])
        store.write([new("m")])
        store.write([more("z", 0, 3)])

        assert [each.id for each in store.sessions()] == ["z", "a", "m"]

    def test_has_each_message_that_was_appended(self, store: KeepsHistory) -> None:
        store.write([new("ada"), new("bob")])
        store.write([more("ada", 0, 2), more("bob", 0, 1)])
        store.write([more("ada", 2, 3)])

        assert said(store, "ada") == ["said 1", "said 2", "said 3"]
        assert said(store, "bob") == ["said 1"]
        assert by_id(store)["ada"].head == head(3)

    def test_keeps_what_a_write_does_not_name(self, store: KeepsHistory) -> None:
        store.write([new("ada", 1, standing=b"1", created=CREATED)])

        store.write([more("ada", 1, 2)])
        store.write([Write(id="ada", standing=b"2")])

        assert list(store.sessions()) == [Stored("ada", head(2), BODY, b"2", CREATED, None)]
        assert len(said(store, "ada")) == 2

    def test_has_the_snapshot_that_was_written_last(self, store: KeepsHistory) -> None:
        store.write([new("ada")])

        store.write([more("ada", 0, 0, body=b'{"n":2}', standing=b"{}")])

        assert list(store.sessions()) == [Stored("ada", head(0), b'{"n":2}', b"{}", None, None)]

    def test_is_history_once_it_has_ended(self, store: KeepsHistory) -> None:
        store.write([new("ada", 1), new("bob")])

        store.write([ended("ada", 50.0, 1)])

        assert list(by_id(store)) == ["bob"]
        assert [(each.id, each.ended_at) for each in store.history()] == [
            ("ada", 50.0),
            ("bob", None),
        ]
        assert said(store, "ada") == ["said 1"]

    def test_may_end_with_its_first_write(self, store: KeepsHistory) -> None:
        store.write([new("ada", ended_at=7.0)])

        assert [each.ended_at for each in store.history()] == [7.0]
        assert list(store.sessions()) == []

    def test_takes_the_place_of_another_that_had_its_id(self, store: KeepsHistory) -> None:
        store.write([new("ada", 3, standing=b"1", created=CREATED), new("bob")])
        store.write([ended("ada", 5.0, 3)])

        assert store.write([more("bob", 0, 1), new("ada", 1)]) == {}

        assert list(store.sessions()) == [
            Stored("bob", head(1), BODY),
            Stored("ada", head(1), BODY),
        ]
        assert said(store, "ada") == ["said 1"]

    def test_many_are_read_a_page_at_a_time(
        self, store: KeepsHistory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "SESSIONS_AT_ONCE", 3)
        monkeypatch.setattr(postgres, "SESSIONS_AT_ONCE", 3)
        ids = [f"s{n}" for n in range(7)]
        store.write([new(each) for each in ids])
        store.write([ended("s3", 1.0)])

        going = store.sessions()
        first = next(going)
        store.write([more("s1", 0, 1)])  # nothing waits for a reader

        assert [first.id, *(each.id for each in going)] == [each for each in ids if each != "s3"]

    def test_gets_its_key_with_a_later_write_too(self, store: KeepsHistory) -> None:
        store.write([new("ada"), new("bob")])

        assert store.write([more("ada", 0, 1, created=CREATED), more("bob", 0, 1)]) == {}

        assert by_id(store)["ada"] == Stored("ada", head(1), BODY, None, CREATED)
        assert by_id(store)["bob"].created is None

    def test_gets_its_key_when_another_cannot_be_kept(self, store: KeepsHistory) -> None:
        store.write([new("ada")])

        refused = store.write([more("ada", 0, 1, created=CREATED), more("nobody", 0, 1)])

        assert (list(refused), by_id(store)["ada"].created) == (["nobody"], CREATED)

    @pytest.mark.parametrize("others", [[], [more("nobody", 0, 1)]], ids=["together", "alone"])
    def test_leaves_its_key_when_it_has_not_come_to_be(
        self, store: KeepsHistory, others: list[Write]
    ) -> None:
        store.write([new("ada", created=CREATED), new("bob", created=CREATED)])

        store.write([more("ada", 0, 1, leaves_key=True), more("bob", 0, 1), *others])

        assert (by_id(store)["ada"].created, by_id(store)["bob"].created) == (None, CREATED)

    def test_that_has_ended_is_found_by_its_key(
        self, store: KeepsHistory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "SESSIONS_AT_ONCE", 2)
        monkeypatch.setattr(postgres, "SESSIONS_AT_ONCE", 2)
        ids = ["too-old", "a", "b", "c", "d", "e", "without", "lives"]
        store.write([new(each, created=None if each == "without" else CREATED) for each in ids])
        for at, some in ((5.0, ["too-old"]), (6.0, ["e", "c", "a"]), (7.0, ["d", "b", "without"])):
            store.write([ended(each, at) for each in some])

        found = list(store.ended_with_key(ended_after=5.0))

        assert [each.id for each in found] == ["d", "b", "e", "c", "a"]
        assert found[0] == Stored("d", found[0].head, BODY, None, CREATED, 7.0)

    def test_has_every_byte_as_it_was(self, store: KeepsHistory) -> None:
        every_byte = bytes(range(256))
        message = MessageRecord(1, None, every_byte)

        store.write([new("ada", 1, body=every_byte, messages=(message,))])

        assert by_id(store)["ada"].body == every_byte
        assert store.messages("ada", after_seq=0, up_to_seq=1) == (message,)

    def test_needs_no_other(self, store: KeepsHistory) -> None:
        assert store.write([]) == {}

        assert by_id(store) == {}


class TestALog:
    def test_is_read_in_parts(self, store: KeepsHistory) -> None:
        store.write([new("ada", 100)])

        assert store.messages("ada", after_seq=40, up_to_seq=43) == messages(40, 43)
        assert store.messages("ada", after_seq=99, up_to_seq=200) == messages(99, 100)
        assert store.messages("ada", after_seq=100, up_to_seq=200) == ()
        assert store.messages("nobody", after_seq=0, up_to_seq=200) == ()

    def test_gives_the_last_messages_that_have_a_key(self, store: KeepsHistory) -> None:
        store.write([new("ada", messages=messages(0, 20, keys=(2, 3, 11, 12, 13)), head=head(20))])

        keyed = store.keyed("ada", up_to_seq=12, limit=3)

        assert [(each.seq, each.key) for each in keyed] == [
            (3, "key-3"),
            (11, "key-11"),
            (12, "key-12"),
        ]


class TestWritingAgain:
    def test_what_was_written_changes_nothing(self, store: KeepsHistory) -> None:
        store.write([new("bob")])
        batches = [
            [new("ada", 2, created=CREATED), more("bob", 0, 1)],
            [more("ada", 2, 4), more("bob", 1, 2, body=b"2", standing=b"{}")],
            [ended("ada", 9.0, 4), more("bob", 2, 3)],
        ]
        for batch in batches:
            store.write(batch)
            before = list(store.history()), said(store, "ada"), said(store, "bob")

            assert store.write(batch) == {}

            assert sorted(map(repr, before[0])) == sorted(map(repr, store.history()))
            assert before[1:] == (said(store, "ada"), said(store, "bob"))

    def test_replaces_the_messages_that_follow(self, store: KeepsHistory) -> None:
        store.write([new("ada", 5), new("bob", 1)])

        store.write([more("ada", 2, 3, said="now"), more("bob", 1, 2)])

        assert said(store, "ada") == ["said 1", "said 2", "now 3"]
        assert said(store, "bob") == ["said 1", "said 2"]

    def test_brings_back_a_session_whose_end_was_not_to_be(self, store: KeepsHistory) -> None:
        store.write([new("ada", 1)])
        store.write([ended("ada", 9.0, 1)])

        store.write([more("ada", 1, 2)])

        assert by_id(store)["ada"].ended_at is None


class TestAWriteThatCannotBeKept:
    BAD = (
        pytest.param(
            Write(
                id="bad", head=head(2), after_seq=1, messages=(MessageRecord(2, "\ud800", b"1"),)
            ),
            id="no Unicode",
        ),
        pytest.param(
            Write(id="bad", head=head(2), after_seq=1, messages=messages(1, 2) * 2),
            id="a number twice",
        ),
        pytest.param(more("bad", 1, 1, head=head(version=1 << 70)), id="a number too large"),
        pytest.param(Write(id="bad", is_new=True), id="a first one without a snapshot"),
        pytest.param(more("bad?", 0, 1), id="of nobody"),
    )

    @pytest.mark.parametrize("place", range(3))
    @pytest.mark.parametrize("bad", BAD)
    def test_takes_no_other_along(self, store: KeepsHistory, bad: Write, place: int) -> None:
        store.write([new("ada", 1), new("bad", 1), new("bob", 1)])
        writes = [more("ada", 1, 2), more("bob", 1, 2)]
        writes.insert(place, bad)

        refused = store.write(writes)

        assert list(refused) == [bad.id]
        assert isinstance(refused[bad.id], StoreError)
        assert bad.id in str(refused[bad.id])
        assert refused[bad.id].remedy.endswith(".")
        assert said(store, "ada") == said(store, "bob") == ["said 1", "said 2"]
        assert said(store, "bad") == ["said 1"]
        assert by_id(store)["bad"] == Stored("bad", head(1), BODY)

    def test_may_be_each_of_them(self, store: KeepsHistory) -> None:
        refused = store.write([more(f"ghost-{n}", 0, 1) for n in range(100)])

        assert len(refused) == 100
        assert store.write([new("ada", 1)]) == {}


class TestPurging:
    def test_deletes_what_ended_before_a_time(self, store: KeepsHistory) -> None:
        store.write([new(each, 2) for each in ("a", "b", "c", "d")])
        store.write([ended("a", 30.0, 2), ended("b", 10.0, 2), ended("c", 20.0, 2)])

        assert store.purge(ended_before=30.0, limit=10) == Purged(2, has_more=False)
        assert store.purge(ended_before=30.0, limit=10) == Purged(0, has_more=False)

        assert [each.id for each in store.history()] == ["a", "d"]
        assert said(store, "a") == said(store, "d") == ["said 1", "said 2"]
        assert said(store, "b") == said(store, "c") == []

    def test_deletes_as_many_as_it_may_the_oldest_first(self, store: KeepsHistory) -> None:
        store.write([new(each) for each in "abc"])
        store.write([ended("a", 3.0), ended("b", 1.0), ended("c", 2.0)])

        assert store.purge(ended_before=9.0, limit=2) == Purged(2, has_more=True)

        assert [each.id for each in store.history()] == ["a"]

    def test_deletes_a_long_log_in_parts(
        self, store: KeepsHistory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(purging, "PURGE_MESSAGES_MAX", 10)
        store.write([new("long", 25), new("short", 8)])
        store.write([ended("long", 1.0, 25), ended("short", 2.0, 8)])

        counted: list[Purged] = []
        left: list[list[tuple[str, int]]] = []
        for _ in range(4):
            counted.append(store.purge(ended_before=9.0, limit=5))
            left.append([(each.id, each.head.last_seq) for each in store.history()])

        assert [each.sessions for each in counted] == [0, 0, 1, 1]
        assert [each.has_more for each in counted] == [True, True, True, False]
        assert left == [
            [("long", 15), ("short", 8)],
            [("long", 5), ("short", 8)],
            [("short", 3)],
            [],
        ]


class TestAReader:
    def test_sees_what_was_acknowledged(self, store: KeepsHistory) -> None:
        reader = store.reader()
        store.write([new("ada", 1)])
        assert [each.id for each in reader.sessions()] == ["ada"]

        store.write([more("ada", 1, 2)])

        assert len(reader.messages("ada", after_seq=0, up_to_seq=9)) == 2
        reader.close()
        reader.close()

    def test_may_be_on_another_thread(self, store: KeepsHistory) -> None:
        store.write([new("ada", 1)])
        reader = store.reader()
        seen: list[int] = []

        for count in (2, 3):
            store.write([more("ada", count - 1, count)])
            thread = Thread(
                target=lambda: seen.append(len(reader.messages("ada", after_seq=0, up_to_seq=9)))
            )
            thread.start()
            thread.join(10.0)
        reader.close()

        assert seen == [2, 3]


def test_a_long_log_is_read_in_bounded_memory(store: KeepsHistory) -> None:
    store.write([new("ada")])
    for after in range(0, 20_000, 5_000):
        store.write([more("ada", after, after + 5_000)])

    pages = 0
    for after in range(0, 20_000, 200):
        page = store.messages("ada", after_seq=after, up_to_seq=after + 200)
        assert [each.seq for each in page] == list(range(after + 1, after + 201))
        pages += 1

    assert pages == 100


def test_closing_is_harmless_when_repeated(store: KeepsHistory) -> None:
    store.write([new("ada")])

    store.close()
    store.close()


IDS = ("a", "b", "c")


class Model:
    """What a store is, in ten lines."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Stored, tuple[MessageRecord, ...]]] = {}

    def write(self, write: Write) -> None:
        if write.is_new:
            self.kept.pop(write.id, None)
            assert write.head
            assert write.body is not None
            kept = Stored(
                write.id, write.head, write.body, write.standing, write.created, write.ended_at
            )
            self.kept[write.id] = (kept, write.messages)
            return
        before, log = self.kept[write.id]
        head_, ended_at = before.head, before.ended_at
        if write.head is not None:
            head_, ended_at = write.head, write.ended_at
            log = tuple(each for each in log if each.seq <= write.after_seq) + write.messages
        body = before.body if write.body is None else write.body
        standing = before.standing if write.standing is None else write.standing
        kept = Stored(write.id, head_, body, standing, before.created, ended_at)
        self.kept[write.id] = (kept, log)


def any_write(random_: random.Random, model: Model, session_id: str, n: int) -> Write:
    """A write that the journal may hand in, or hand in again, or for another past."""
    standing = random_.choice([None, b"%d" % n])
    if session_id not in model.kept or random_.random() < 0.1:
        created = random_.choice([None, CREATED])
        return new(session_id, random_.randrange(3), standing=standing, created=created)
    if random_.random() < 0.1:
        return Write(id=session_id, standing=b"%d" % n)
    last_seq = model.kept[session_id][0].head.last_seq
    after = last_seq if random_.random() < 0.8 else random_.randint(0, last_seq)
    body = random_.choice([None, b'{"n":%d}' % n])
    ended_at = random_.choice([None, None, None, 5.0])
    up_to = after + random_.randrange(3)
    return more(
        session_id, after, up_to, said=f"at {n}", body=body, standing=standing, ended_at=ended_at
    )


@settings(
    max_examples=examples.of(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # each example has a place of its own
@given(seed=st.integers(0, 2**32))
def test_whatever_is_written_is_what_is_kept(places: Callable[[], Opening], seed: int) -> None:
    random_, model = random.Random(seed), Model()
    store = places()()
    for n in range(12):
        batch = [
            any_write(random_, model, each, n)
            for each in random_.sample(IDS, random_.randint(1, 3))
        ]
        for _ in range(random_.choice([1, 1, 2])):
            assert store.write(batch) == {}
        for write in batch:
            model.write(write)

        assert {each.id: each for each in store.history()} == {
            each.id: each for each, _ in model.kept.values()
        }
        assert {each: store.messages(each, after_seq=0, up_to_seq=99) for each in model.kept} == {
            each: log for each, (_, log) in model.kept.items()
        }
    store.close()
