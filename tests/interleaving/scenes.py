"""The races: what meets, in which code, and the law that holds whoever comes first."""

from __future__ import annotations

# A function that is named by its class, which is generic, is typed only in part.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from callboard.supervision import (
    ActorDeadError,
    CallboardError,
    Future,
    IdleTimeout,
    Killed,
    Normal,
    SupervisedActor,
    Timeout,
    handles,
)
from callboard.supervision.runtime import (
    futures,
    idle,
    mailbox,
    names,
    operations,
    timers,
    waiting,
    watcher,
)
from callboard.supervision.runtime.actors import SystemActor
from callboard.supervision.runtime.cell import Cell
from callboard.supervision.runtime.dead_letters import DeadLetters
from callboard.supervision.runtime.ending import EndingCell
from callboard.supervision.runtime.handoff import HandOffCell
from callboard.supervision.runtime.incarnation import Incarnation
from callboard.supervision.runtime.mailbox import MailboxCell
from callboard.supervision.runtime.operations import Deaths, Steps, Until
from callboard.supervision.runtime.pool import Pool
from callboard.supervision.runtime.system import ActorSystem
from callboard.supervision.runtime.timers import ThreadTimers, Timer
from callboard.supervision.runtime.turns import TurningCell
from tests.interleaving.exploring import PREEMPTIONS_MAX, Scenario, explore
from tests.interleaving.fibres import World
from tests.interleaving.stage import Doing, Hearing, Lent, Log, Sent, Stage
from tests.interleaving.watching import Watched

DEADLINE_S = 1.0
"""When an asker gives up, in the world's time, which begins at 0."""


class Race(NamedTuple):
    """What meets, and where.

    Args:
        scenario: spawns who meets; returns the law.
        watched: the code in which each line is a place to come in. Asked for when it begins, for
            a test may have put something in its place.
        at_least: orders there are; a test that explores fewer has gone blind.
        time_flies: whether a wait may time out while others could go on.
        is_long: whether two pre-emptions are left to those who have more time.
        wider: more of the code, for them.
    """

    scenario: Scenario
    watched: Callable[[], Iterable[Watched]]
    at_least: int
    time_flies: bool = False
    is_long: bool = False
    wider: Callable[[], Iterable[Watched]] = tuple

    def explore(self, preemptions_max: int = PREEMPTIONS_MAX) -> int:
        """Run it in every order."""
        return explore(
            self.scenario,
            self.watched(),
            preemptions_max=preemptions_max,
            time_flies=self.time_flies,
        )

    def explore_wider(self, preemptions_max: int = PREEMPTIONS_MAX) -> int:
        """Run it in every order, with more of the code, and with places within its lines."""
        return explore(
            self.scenario,
            (*self.watched(), *self.wider()),
            preemptions_max=preemptions_max,
            time_flies=self.time_flies,
            after_calls=True,
        )


RACES: dict[str, Race] = {}


def race(
    watched: Callable[[], Iterable[Watched]],
    at_least: int,
    *,
    time_flies: bool = False,
    is_long: bool = False,
    wider: Callable[[], Iterable[Watched]] = tuple,
) -> Callable[[Scenario], Scenario]:
    """Add a scenario to the races, under its name."""

    def add(scenario: Scenario) -> Scenario:
        name = scenario.__name__.replace("_", " ")
        RACES[name] = Race(scenario, watched, at_least, time_flies, is_long, wider)
        return scenario

    return add


# -- one mailbox -----------------------------------------------------------------------------


def _turns() -> Iterable[Watched]:
    return (MailboxCell.schedule, TurningCell._release, TurningCell._look_again)


def _more_of_turns() -> Iterable[Watched]:
    return (Cell.tell, TurningCell.activate, TurningCell._turn)


@race(_turns, 3_500, wider=_more_of_turns)
def two_senders_and_two_workers(world: World) -> Callable[[], None]:
    stage = Stage.kept(world, workers=2, batch_max=1)
    log = Log()
    cell = stage.spawn(Hearing, log)
    sent = Sent(stage, log)
    world.spawn("ada", lambda: sent.tell(cell, "ada's"))
    world.spawn("ben", lambda: sent.tell(cell, "ben's"))

    def law() -> None:
        sent.check()
        assert len(log.heard) == 2
        assert not cell.is_scheduled, "the next message would wake nobody"

    return law


@race(lambda: (Cell.tell, MailboxCell._open_mailbox), 800, wider=_turns)
def two_first_senders(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    cell = stage.spawn(Hearing, log)
    sent = Sent(stage, log)
    world.spawn("ada", lambda: sent.tell(cell, "ada's"))
    world.spawn("ben", lambda: sent.tell(cell, "ben's"))

    def law() -> None:
        sent.check()
        assert len(log.heard) == 2

    return law


@race(lambda: (MailboxCell.schedule, TurningCell.activate), 1_300, wider=_turns)
def two_senders_and_handlers_that_rest(world: World) -> Callable[[], None]:
    stage = Stage.kept(world, workers=2)
    log = Log()
    cell = stage.spawn(Hearing, log, world.rest)
    sent = Sent(stage, log)
    world.spawn("ada", lambda: sent.tell(cell, "ada's"))
    world.spawn("ben", lambda: sent.tell(cell, "ben's"))

    def law() -> None:
        sent.check()
        assert len(log.heard) == 2

    return law


@race(_turns, 180, wider=_more_of_turns)
def one_sender_and_two_workers(world: World) -> Callable[[], None]:
    stage = Stage.kept(world, workers=2, batch_max=1)
    log = Log()
    cell = stage.spawn(Hearing, log)
    sent = Sent(stage, log)

    def ada() -> None:
        for number in range(3):
            sent.tell(cell, number)

    world.spawn("ada", ada)

    def law() -> None:
        sent.check()
        assert log.heard == [0, 1, 2]
        assert not cell.is_scheduled

    return law


def _ends() -> Iterable[Watched]:
    return (
        Cell.tell,
        Cell._ask_later,
        MailboxCell._put,
        MailboxCell._open_mailbox,
        MailboxCell._take_back,
        mailbox.drain,
        Incarnation._claim,
        EndingCell.exit,
        EndingCell.obey_asked_exit,
        EndingCell._end,
        EndingCell._die,
        EndingCell._give_up,
        EndingCell.end_at_once,
        TurningCell._turn,
        TurningCell._take_in_hand,
        TurningCell._refuse_reply,
    )


def _ways_in() -> Iterable[Watched]:
    return (MailboxCell.schedule, TurningCell.activate, TurningCell._release)


@race(_ends, 1_900, wider=_ways_in)
def a_tell_and_a_kill(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    cell = stage.spawn(Hearing, log)
    sent = Sent(stage, log)
    world.spawn("ada", lambda: sent.tell(cell, "told"))
    world.spawn("killer", cell.kill)
    return sent.check


@race(_ends, 2_300, wider=_ways_in)
def an_ask_and_a_kill(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    cell = stage.spawn(Hearing, log)
    sent = Sent(stage, log)
    world.spawn("ada", lambda: sent.ask(cell, "asked"))
    world.spawn("killer", cell.kill)
    return sent.check


@race(_ends, 170, is_long=True, wider=_ways_in)
def sends_and_an_orderly_end(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    cell = stage.spawn(Hearing, log)
    sent = Sent(stage, log)

    def ada() -> None:
        sent.tell(cell, "first")
        sent.tell(cell, "second")

    world.spawn("ada", ada)
    world.spawn("host", lambda: cell.exit(Normal()))

    def law() -> None:
        sent.check()
        assert cell.reason == Normal()

    return law


# -- hand-off --------------------------------------------------------------------------------


def _hand_off() -> Iterable[Watched]:
    return (
        Cell.ask,
        HandOffCell.hand_off,
        Cell.tell,
        MailboxCell.schedule,
        TurningCell._look_again,
        Hearing.on_receive,
    )


@race(
    _hand_off,
    150,
    is_long=True,
    wider=lambda: (TurningCell.activate, TurningCell._turn, TurningCell._release),
)
def a_hand_off_and_a_send(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    cell = stage.spawn(Lent, log)
    sent = Sent(stage, log)
    world.spawn("ada", lambda: sent.ask_and_wait(cell, "asked"))
    world.spawn("ben", lambda: sent.tell(cell, "told"))

    def law() -> None:
        sent.check()
        assert sorted(log.heard) == ["asked", "told"]
        assert not cell.is_scheduled

    return law


@race(
    lambda: (HandOffCell.hand_off, EndingCell.end_at_once),
    450,
    is_long=True,
    wider=lambda: (
        Cell.tell,
        Incarnation._claim,
        TurningCell._look_again,
        TurningCell.activate,
        TurningCell._turn,
    ),
)
def a_hand_off_and_a_send_and_a_kill(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    cell = stage.spawn(Lent, log)
    sent = Sent(stage, log)
    world.spawn("ada", lambda: sent.ask_and_wait(cell, "asked"))
    world.spawn("ben", lambda: sent.tell(cell, "told"))
    world.spawn("killer", cell.kill)

    def law() -> None:
        sent.check()
        assert not cell.is_at_work
        assert cell.actor is None, "the dead actor is kept"

    return law


# -- hearing of a death ----------------------------------------------------------------------


@race(
    lambda: (Incarnation.when_dead, Incarnation.forget_bond, Incarnation._claim),
    1_500,
    wider=lambda: (EndingCell.end_at_once, EndingCell._tell_of_the_end),
)
def a_bond_and_a_death(world: World) -> Callable[[], None]:
    """Of when_dead, forget_bond and a kill."""
    stage = Stage.kept(world)
    cell = stage.spawn(Hearing, Log())
    paid: list[Any] = []
    made: list[bool] = []
    forgotten: list[bool] = []

    def witness() -> None:
        made.append(cell.when_dead("bond", paid.append))

    def forgetful() -> None:
        forgotten.append(cell.forget_bond("bond"))

    world.spawn("witness", witness)
    world.spawn("forgetful", forgetful)
    world.spawn("killer", cell.kill)

    def law() -> None:
        owed = made == [True] and forgotten == [False]
        assert paid == ([Killed()] if owed else []), (made, forgotten, paid)

    return law


class Watching(SupervisedActor):
    """Monitors whom it is told to, and notes each `Down`."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Cell):
            self.monitor(message)
        else:
            self.log.heard.append(message)


@race(
    lambda: (
        SupervisedActor.monitor,
        Incarnation.when_dead,
        Incarnation._claim,
        EndingCell.end_at_once,
        EndingCell._tell_of_the_end,
        MailboxCell.notify,
        MailboxCell._put,
    ),
    2_000,
    wider=lambda: (TurningCell._release, TurningCell._look_again, MailboxCell.schedule),
)
def a_monitor_and_a_death(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    target = stage.spawn(Hearing, Log())
    witness = stage.spawn(Watching, log)
    world.spawn("host", lambda: witness.tell(target))
    world.spawn("killer", target.kill)

    def law() -> None:
        assert [type(each).__name__ for each in log.heard] == ["Down"]

    return law


@race(
    lambda: (
        EndingCell.linked,
        Incarnation.when_dead,
        Incarnation.forget_bond,
        Incarnation._claim,
        EndingCell.end_at_once,
    ),
    800,
    wider=lambda: (EndingCell._tell_of_the_end, EndingCell.link_broke, MailboxCell.signal),
)
def a_link_and_two_deaths(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    one, other = stage.spawn(Hearing, Log()), stage.spawn(Hearing, Log())
    made: list[bool] = []

    def link() -> None:
        try:
            made.append(one.linked(other))
        except CallboardError:
            made.append(False)

    world.spawn("link", link)
    world.spawn("killer", one.kill)

    def law() -> None:
        assert one.is_dead
        assert other.is_dead or made == [False], "linked, and one of the two lives on"
        assert not other.bonds

    return law


# -- futures ---------------------------------------------------------------------------------


@race(lambda: (futures,), 190, is_long=True, time_flies=True)
def a_reply_and_its_deadline(world: World) -> Callable[[], None]:
    future: Future[str] = Future(None, DEADLINE_S)
    taken: list[bool] = []
    got: list[Any] = []
    called: list[None] = []
    registered: list[bool] = []

    def wait() -> None:
        try:
            got.append(future.get())
        except Timeout:
            got.append(Timeout)

    world.spawn("waiter", wait)
    world.spawn("setter", lambda: taken.append(future.offer("reply")))
    world.spawn(
        "listener", lambda: registered.append(future.add_waiter(lambda: called.append(None)))
    )

    def law() -> None:
        # Between its two statements a setter may be held up for longer than anybody waits.
        may_be_late = world.now_s >= DEADLINE_S + futures._CLAIMED_S
        assert got == (["reply"] if taken == [True] else [Timeout]) or (
            may_be_late and got == [Timeout]
        )
        assert len(called) == registered.count(True), "called once, or told that it is there"
        assert future._waiters == []

    return law


@race(
    lambda: (Future.offer, Future.rouse, Future.add_waiter, futures.wait_on_thread),
    1_000,
    wider=lambda: (futures,),
)
def two_replies_and_a_waiter(world: World) -> Callable[[], None]:
    future: Future[str] = Future()
    taken: dict[str, bool] = {}
    got: list[Any] = []

    def reply(name: str) -> None:
        taken[name] = future.offer(name)

    world.spawn("waiter", lambda: got.append(future.get()))
    world.spawn("one", lambda: reply("one"))
    world.spawn("other", lambda: reply("other"))

    def law() -> None:
        winners = [name for name, was_taken in taken.items() if was_taken]
        assert len(winners) == 1
        assert got == winners
        assert world.now_s == 0.0, "it waited although the reply was there"

    return law


@race(
    lambda: (
        waiting.wait_as_actor,
        EndingCell.end_at_once,
    ),
    550,
    is_long=True,
    wider=lambda: (
        Future.offer,
        Future.add_waiter,
        Future.rouse,
        futures.wait_on_thread,
        Future.remove_waiter,
        Incarnation._claim,
    ),
)
def a_reply_and_the_death_of_one_who_waits(world: World) -> Callable[[], None]:
    stage = Stage.kept(world, workers=2)
    asker = stage.spawn(Doing)
    reply: Future[str] = Future()
    answer = asker.ask(reply.get, block=False)
    world.settle()
    assert asker.waiting is reply
    got: list[str] = []
    called: list[str] = []
    reply.when_done(lambda: called.append(reply.get()))
    world.spawn("another who waits", lambda: got.append(reply.get()))
    world.spawn("killer", asker.kill)
    world.spawn("setter", lambda: reply.offer("reply"))

    def law() -> None:
        assert not asker.is_at_work, "a worker waits in the name of the dead"
        assert answer.is_done
        assert got == called == ["reply"]
        assert reply._waiters == []

    return law


# -- the pool --------------------------------------------------------------------------------


def _pool() -> Iterable[Watched]:
    return (Pool._take, Pool._may_go, Pool.add_worker, Pool.make_room, Pool.has_left)


@race(_pool, 510, time_flies=True)
def a_worker_that_goes_and_new_work(world: World) -> Callable[[], None]:
    stage = Stage(world, workers=1, worker_idle_s=1.0, workers_max=2, workers_ceiling=2)
    log = Log()
    one, other = stage.spawn(Hearing, log), stage.spawn(Hearing, log)
    workers = stage.pool
    workers.add_worker()
    world.settle()

    def ada() -> None:
        one.tell("one")
        other.tell("other")

    world.spawn("ada", ada)

    def law() -> None:
        assert sorted(log.heard) == ["one", "other"]
        assert log.slips == []
        living = [each for each in workers.workers if each.thread.is_alive()]
        assert len(living) == len(workers.workers), "a worker that left is counted"
        assert 1 <= len(living) <= 2

    return law


@race(_pool, 800, time_flies=True)
def a_worker_that_goes_and_one_that_waits(world: World) -> Callable[[], None]:
    """Whoever waits for an answer leaves somebody behind to give it, without the watcher."""
    stage = Stage(world, workers=1, worker_idle_s=1.0)
    log = Log()
    answering = stage.spawn(Hearing, log)
    asker = stage.spawn(Doing)
    stage.pool.add_worker()
    world.settle()
    answer: list[Future[Any]] = []

    def ask() -> Any:
        return answering.ask("question", timeout=math.inf)

    world.spawn("host", lambda: answer.append(asker.ask(ask, block=False, timeout=math.inf)))

    def law() -> None:
        assert answer[0].is_done, "it waits for an answer that nobody is there to give"
        assert log.heard == ["question"]

    return law


@race(lambda: (watcher.Watcher._run, watcher.Watcher.wake, Cell.tell, MailboxCell.schedule), 260)
def a_watcher_that_falls_asleep_and_new_work(world: World) -> Callable[[], None]:
    """It looks again within a tick when something waits that no worker takes."""
    stage = Stage(world)
    log = Log()
    stuck, other = stage.spawn(Doing), stage.spawn(Hearing, log)
    awake = world.spawn("watcher", stage.pool.watcher._run, is_server=True)
    world.settle()
    stuck.tell(lambda: world.wait(lambda: False))
    world.settle()
    while not stage.pool.is_asleep:
        world.pass_time(watcher._TICK_S)
    world.end_wait_of(awake)
    world.spawn("ada", lambda: other.tell("work"))

    def law() -> None:
        assert log.heard == []
        assert awake.due_s is not None
        assert awake.due_s - world.now_s < 2 * watcher._TICK_S, "it naps while work waits"

    return law


# -- an address and its incarnations ---------------------------------------------------------


def _address() -> Iterable[Watched]:
    return (
        names.Address.open,
        names.Address.take_back,
        names.Address._wait_in_line,
        names.Address.enter,
        names.Address.leave,
        names.Address.close,
        names.Address.poke,
    )


def _more_of_an_address() -> Iterable[Watched]:
    return (
        TurningCell._take_kept,
        TurningCell._turn,
        EndingCell.end_at_once,
        Incarnation._claim,
        MailboxCell._open_mailbox,
    )


def _next_life(stage: Stage, cell: Cell[Any], log: Log) -> None:
    """End one incarnation and begin the next, as a supervisor does."""
    cell.kill()
    stage.system.start_child(None, Hearing, (log,), address=cell.address)


@race(_address, 170, is_long=True, wider=_more_of_an_address)
def a_kept_mailbox_and_the_next_incarnation(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    address = stage.system.reserve("kept", keeps_mailbox=True, owner=stage.system)
    cell = stage.system.start_child(None, Hearing, (log,), address=address)
    world.settle()
    sent = Sent(stage, log)

    def ada() -> None:
        sent.tell(address, ("ada", 1))
        sent.tell(address, ("ada", 2))

    world.spawn("ada", ada)
    world.spawn("supervisor", lambda: _next_life(stage, cell, log))

    def law() -> None:
        sent.check()
        assert log.heard == sorted(log.heard)
        assert len(stage.dead_letters) <= 1, "only what was in hand may be lost"
        assert not address.mailbox_size

    return law


@race(
    lambda: (
        names.Address.open,
        names.Address.leave,
    ),
    900,
    is_long=True,
    wider=lambda: (*_address(), *_more_of_an_address()),
)
def a_ref_and_an_address_and_the_next_incarnation(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    address = stage.system.reserve("kept", keeps_mailbox=True, owner=stage.system)
    cell = stage.system.start_child(None, Hearing, (log,), address=address)
    world.settle()
    sent = Sent(stage, log)
    world.spawn("supervisor", lambda: _next_life(stage, cell, log))
    world.spawn("ada", lambda: sent.tell(address, "by the address"))
    world.spawn("ben", lambda: sent.tell(cell, "by the ref"))

    def law() -> None:
        sent.check()
        assert not address.mailbox_size

    return law


@race(_address, 1_700, wider=_more_of_an_address)
def a_kept_mailbox_and_the_end_of_its_address(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    log = Log()
    address = stage.system.reserve("kept", keeps_mailbox=True, owner=stage.system)
    cell = stage.system.start_child(None, Hearing, (log,), address=address)
    world.settle()
    sent = Sent(stage, log)

    def supervisor() -> None:
        cell.kill()
        stage.system.release(address)

    def ada() -> None:
        sent.tell(address, "told")
        sent.ask(address, "asked")

    world.spawn("ada", ada)
    world.spawn("supervisor", supervisor)

    def law() -> None:
        sent.check()
        assert not address.mailbox_size

    return law


# -- names -----------------------------------------------------------------------------------


def _names() -> Iterable[Watched]:
    return (
        ActorSystem.spawn_named,
        ActorSystem.reserve,
        ActorSystem.release,
        ActorSystem.register,
        ActorSystem.unregister,
        names.Address.enter,
        names.Address.leave,
    )


@race(_names, 2_500, wider=lambda: (ActorSystem.start_child, EndingCell.end_at_once))
def a_name_that_is_given_back_and_claimed(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    system = stage.system
    first = system.spawn_named("name", Hearing, Log())
    world.settle()
    got: list[Cell[Any]] = []

    def claim() -> None:
        try:
            got.append(system.spawn_named("name", Hearing, Log()))
        except names.NameTaken:
            return

    world.spawn("killer", first.kill)
    world.spawn("one", claim)
    world.spawn("other", claim)

    def law() -> None:
        holder = system.lookup("name")
        assert len(got) <= 1, "two have one name"
        assert (None if holder is None else holder.ref) is (got[0] if got else None)
        assert system.spawn_named("another", Hearing, Log()).name == "another"

    return law


@race(lambda: (ActorSystem.reserve, ActorSystem.release, names.Address.leave), 2_000, wider=_names)
def a_name_that_is_given_back_twice_and_claimed(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    system = stage.system
    cell = stage.spawn(Hearing, Log())
    address = system.register("name", cell)
    got: list[Cell[Any]] = []

    def claim() -> None:
        try:
            got.append(system.spawn_named("name", Hearing, Log()))
        except names.NameTaken:
            return

    world.spawn("giver", lambda: system.release(address))
    world.spawn("killer", cell.kill)
    world.spawn("claim", claim)

    def law() -> None:
        holder = system.lookup("name")
        named = None if holder is None else holder.ref
        assert named is (got[0] if got else None), f"{named} has the name, not {got}"

    return law


@race(
    lambda: (ActorSystem.register, ActorSystem.unregister, ActorSystem.release),
    1_400,
    wider=lambda: (*_names(), EndingCell._tell_of_the_end, Incarnation.when_dead),
)
def a_name_for_one_who_dies(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    system = stage.system
    cell = stage.spawn(Hearing, Log())

    def register() -> None:
        try:
            system.register("name", cell)
        except (ActorDeadError, CallboardError):
            return

    def unregister() -> None:
        try:
            system.unregister("name")
        except CallboardError:
            return

    world.spawn("register", register)
    world.spawn("unregister", unregister)
    world.spawn("killer", cell.kill)

    def law() -> None:
        assert system.lookup("name") is None, "the dead has a name"

    return law


# -- timers ----------------------------------------------------------------------------------


@race(lambda: (timers,), 900)
def a_timer_that_goes_off_and_is_cancelled(world: World) -> Callable[[], None]:
    stage = Stage(world)
    fired: list[str] = []
    cancelled: list[bool] = []
    timer = stage.system.timers.call_at(0.0, fired.append, "fired")
    for name in ("one", "other"):
        world.spawn(name, lambda: cancelled.append(timer.cancel()))

    def law() -> None:
        assert len(fired) + cancelled.count(True) == 1, (fired, cancelled)
        assert not timer.is_pending

    return law


@race(lambda: (ThreadTimers.call_at, ThreadTimers._next, Timer.fire), 800)
def two_timers_and_the_thread_that_waits_for_them(world: World) -> Callable[[], None]:
    stage = Stage.kept(world)
    clock = stage.system.timers
    clock.call_at(0.0, str)  # its thread is there
    world.settle()
    fired: list[str] = []
    world.spawn("one", lambda: clock.call_at(0.0, fired.append, "one"))
    world.spawn("other", lambda: clock.call_at(0.0, fired.append, "other"))

    def law() -> None:
        assert sorted(fired) == ["one", "other"]

    return law


class Resting(SupervisedActor):
    """Sets its idle timeout as it is told, and notes when it comes."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def on_receive(self, message: Any) -> Any:
        self.set_idle_timeout(message)

    @handles(IdleTimeout)
    def on_idle(self, _message: IdleTimeout) -> None:
        self.log.heard.append(self.system.clock.now_s())


@race(
    lambda: (idle, TurningCell._release, TurningCell._look_again, SupervisedActor.set_idle_timeout),
    120,
    is_long=True,
)
def an_idle_timeout_and_a_message_that_sets_it_anew(world: World) -> Callable[[], None]:
    stage = Stage(world)
    log = Log()
    cell = stage.spawn(Resting, log)
    cell.tell(1.0)
    world.settle()
    began_s = world.now_s
    timer_thread = next(each for each in world.fibres if each.name.endswith("timers"))
    world.end_wait_of(timer_thread)
    world.spawn("ada", lambda: cell.tell(5.0))

    def law() -> None:
        before = len(log.heard)
        assert before <= 1
        assert cell.idle is not None, "nobody watches over the new time"
        world.pass_time(4.0)
        cell.tell(5.0)
        world.settle()
        world.pass_time(4.0)
        assert len(log.heard) == before, "it came although there was a message meanwhile"
        world.pass_time(2.0)
        assert len(log.heard) == before + 1, began_s

    return law


# -- a supervisor that waits -----------------------------------------------------------------


class Waiting(SystemActor):
    """Waits until all of its children are dead, without a thread."""

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, list):
            yield Until(Deaths(message))
        return "all dead"


@race(
    lambda: (
        MailboxCell.learn,
        Deaths.__call__,
        Steps.is_over,
        Steps.has_missed,
    ),
    380,
    is_long=True,
    wider=lambda: (
        operations,
        TurningCell._look_again,
        EndingCell._waits_for,
        MailboxCell.poke,
        MailboxCell.notify,
        TurningCell._release,
    ),
)
def a_parent_that_waits_and_the_deaths_of_two_children(world: World) -> Callable[[], None]:
    stage = Stage.kept(world, workers=2)
    parent = stage.spawn(Waiting)
    children = [
        stage.system.start_child(parent, Hearing, (Log(),), tag=number) for number in (1, 2)
    ]
    world.settle()
    answer: list[Future[Any]] = []
    world.spawn("host", lambda: answer.append(parent.ask(children, block=False, timeout=math.inf)))
    for child in children:
        world.spawn(f"killer of {child.tag}", child.kill)

    def law() -> None:
        assert answer[0].is_done, "its parent was not told"
        assert answer[0].get() == "all dead"

    return law


# -- what nobody hears -----------------------------------------------------------------------


@race(lambda: (DeadLetters.record,), 10)
def two_dead_letters_at_one_moment(world: World) -> Callable[[], None]:
    letters = DeadLetters(1, lambda _: None)
    for name in ("ada", "ben"):
        world.spawn(name, lambda: letters.record("never heard", address="gone"))

    def law() -> None:
        assert letters.count == 2

    return law
