"""The races of the journal: sessions hand in commits while the writer takes and settles them."""

from __future__ import annotations

# A function that is named by its class, which is generic, is typed only in part.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
from collections.abc import Callable, Iterable

from callboard.actors.errors import StoreError
from callboard.actors.storage.chain import DurableLedger, Pending
from callboard.actors.storage.commits import CommitOutcome
from callboard.actors.storage.journal import Journal
from tests.interleaving.fibres import World
from tests.interleaving.scenes import race
from tests.interleaving.watching import Watched
from tests.storage.journals import DISK_FULL, Case, Incarnation, Row


def _taking() -> Iterable[Watched]:
    return (Journal.take, Journal._part, Journal.mark, DurableLedger.waiting)


def _settling() -> Iterable[Watched]:
    return (Journal._publish, DurableLedger.advance, DurableLedger.give_up, Pending.settle)


class Words:
    """What sessions of one journal say, and what they are told of it."""

    def __init__(self) -> None:
        self.case = Case()
        self.refused: list[str] = []

    def say(self, session: Incarnation, *words: str) -> None:
        """Hand in a commit for each word; go on as an actor does whose commit is refused."""
        for word in words:
            try:
                outcome = session.say(word)
            except StoreError:
                self.refused.append(word)
                session.go_back()
            else:
                if outcome is CommitOutcome.FENCED:
                    self.refused.append(word)

    def check(self, *said: str, others: Iterable[Row] = ()) -> None:
        """Assert that, once the writer has no more to do, everybody was told, once, and truly."""
        case = self.case
        while case.journal.has_more:
            case.write()
        told = [word for word, _ in case.told]
        assert sorted([*told, *self.refused]) == sorted(said)
        kept: list[str] = []
        for row in (case.row, *others):
            assert row.waiting() == [], "what waits is in no mark"
            assert row.latest().log == case.disk.words(row.id)
            kept += row.latest().log
        assert sorted(case.acknowledged) == sorted(kept)
        assert [word for word in case.acknowledged if word in case.words] == list(case.words)


@race(_taking, 300, wider=lambda: (Journal.commit, DurableLedger.claim, *_settling()))
def commits_of_a_session_that_is_being_taken(world: World) -> Callable[[], None]:
    words = Words()
    ada = words.case.begin(1)
    words.say(ada, "first")
    world.spawn("ada", lambda: words.say(ada, "second", "third"))
    world.spawn("writer", words.case.write)

    return lambda: words.check("first", "second", "third")


@race(_taking, 100, wider=lambda: (Journal.commit, DurableLedger.claim, *_settling()))
def a_commit_of_another_session_than_those_that_are_being_taken(
    world: World,
) -> Callable[[], None]:
    words = Words()
    case = words.case
    ben = Row("ben", case.journal)
    words.say(case.begin(1), "first")
    of_ben = case.begin(1, ben)
    world.spawn("ben", lambda: words.say(of_ben, "second"))
    world.spawn("writer", case.write)

    return lambda: words.check("first", "second", others=(ben,))


@race(
    lambda: (*_settling(), *_taking()),
    500,
    wider=lambda: (Journal.commit, DurableLedger.claim),
)
def commits_upon_one_that_is_not_kept(world: World) -> Callable[[], None]:
    words = Words()
    ada = words.case.begin(1)
    words.say(ada, "first")
    world.spawn("ada", lambda: words.say(ada, "second", "third"))
    world.spawn("writer", lambda: words.case.write(DISK_FULL))

    return lambda: words.check("first", "second", "third")


@race(
    _settling,
    100,
    is_long=True,
    wider=lambda: (DurableLedger.begin, DurableLedger.claim, *_taking()),
)
def an_incarnation_that_begins_upon_one_that_is_not_kept(world: World) -> Callable[[], None]:
    words = Words()
    case = words.case
    ada = case.begin(1)
    words.say(ada, "first")
    world.spawn("ada", lambda: words.say(ada, "second"))
    world.spawn("next ada", lambda: words.say(case.begin(2), "third"))
    world.spawn("writer", lambda: case.write(DISK_FULL))

    return lambda: words.check("first", "second", "third")


@race(lambda: (Pending, Pending.when_settled, Pending.settle), 1_000)
def two_who_wait_for_a_commit_that_is_settled(world: World) -> Callable[[], None]:
    words = Words()
    case = words.case
    words.say(case.begin(1), "first")
    (handed,) = case.row.waiting()
    told: list[str] = []
    for name in ("ada", "ben"):

        def wait(name: str = name) -> None:
            handed.pending.when_settled(lambda _: told.append(name))

        world.spawn(name, wait)
    world.spawn("writer", case.write)

    def law() -> None:
        assert sorted(told) == ["ada", "ben"]
        words.check("first")

    return law
