"""The ten laws of the design, at least one test each; the chaos checks most of them too.

Each test fails when its law is broken on purpose. Whoever waits, waits for the system to come to
rest (`settle`) or for an answer, never for a while.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import logging
import os
import signal
import threading
from functools import partial
from typing import Any

import pykka
import pytest

from callboard.actors import (
    AppendMessage,
    CreateSession,
    GetSession,
    MaxSessionsReached,
    Role,
    SessionLimits,
    SessionNotFound,
    SessionSystem,
    TerminateSession,
)
from callboard.supervision import (
    ActorDeadError,
    ActorSystem,
    ChildSpec,
    Crashed,
    Down,
    FencedError,
    Killed,
    NoActor,
    Normal,
    Request,
    Shutdown,
    Supervisor,
    Timeout,
)
from callboard.supervision.testing import ManualClock, Simulation, simulate
from tests.both import World, settings, system, world
from tests.house import sources, tree_of
from tests.laws import Watch, broken_laws, left_behind, parts_of, services_of
from tests.runtime.kit import Box, Do, Gate, Puppet, boom, idle, reason_of, refuse
from tests.sessions.stage import (
    Hold,
    Say,
    SayLater,
    Stage,
    Tally,
    cell_of,
    later,
    part_of,
    stage,
    texts,
)
from tests.tree.kit import Tree

__all__ = ["settings", "stage", "system", "world"]  # fixtures


class Note(Request[object], frozen=True):
    """Something for a puppet to hear."""

    text: object


@pytest.fixture
def sessions(stage: Stage) -> SessionSystem:
    """Return a session system that runs, on real threads or in a simulation."""
    return stage.open()


def create(sessions: SessionSystem, user_id: str = "ada") -> str:
    return sessions.ask(CreateSession(user_id=user_id, org_id="acme", agent_role="guide")).id


def _write_down(seen: list[object], message: Note) -> None:
    seen.append(message.text)


class TestLaw1EveryAskEnds:
    @pytest.mark.parametrize("death", ["crash", "kill", "exit", "stop of the system"])
    def test_whatever_dies_while_it_waits(self, world: World, death: str) -> None:
        gate = Gate(world.system)
        ref = world.system.spawn(Puppet).wait_started()
        in_hand = ref.ask(Do(gate.wait), block=False, timeout=60)
        world.settle()
        behind = [ref.ask(Do(boom), block=False, timeout=60) for _ in range(3)]

        if death == "crash":
            behind.insert(0, ref.ask(Do(boom), block=False, timeout=60))
            gate.open()
        elif death == "kill":
            ref.kill()
        elif death == "exit":
            ref.exit(Crashed("told to"))
            gate.open()
        else:
            gate.open()
            world.system.stop()
        world.settle()

        assert in_hand.is_done
        assert all(each.is_done for each in behind)

    @simulate(schedules=5, replayed=1)
    def test_in_its_time_when_nobody_answers(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            gate = Gate(system)
            ref = system.spawn(Puppet).wait_started()
            began_s = sim.now_s

            with pytest.raises(Timeout):
                ref.ask(Do(gate.wait), timeout=0.5)

            assert sim.now_s - began_s == 0.5

    @simulate(schedules=5, replayed=1)
    def test_and_a_message_whose_asker_gave_up_is_dropped_and_counted(
        self, sim: Simulation
    ) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            seen: list[object] = []
            ref = system.spawn(Puppet, hears=partial(_write_down, seen)).wait_started()
            ref.tell(Do(lambda _: sim.sleep(2.0)))
            sim.settle()

            with pytest.raises(Timeout):
                ref.ask(Note("too late"), timeout=1.0)
            ref.tell(Note("after it"))
            sim.advance(5.0)

            assert seen == ["after it"]
            assert system.counts["expired_messages"] == 1

    @simulate(schedules=5, replayed=1)
    def test_and_a_nested_ask_gets_what_is_left(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            gate, box = Gate(system), Box(system)
            inner, outer = system.spawn(Puppet), system.spawn(Puppet)

            def ask_on(_actor: object) -> None:
                began_s = sim.now_s
                sim.sleep(0.25)
                try:
                    inner.ask(Do(gate.wait), timeout=60)
                except Timeout:
                    box.put(sim.now_s - began_s)

            with pytest.raises(Timeout):
                outer.ask(Do(ask_on), timeout=1.0)

            # The asker's second began before the handler did, if only by a scheduler's whim.
            assert 0.9 <= box.take() <= 1.0


class TestLaw2NothingVanishesSilently:
    def test_what_waits_when_an_actor_ends_is_answered_or_a_dead_letter(self, world: World) -> None:
        system = world.system
        ref = system.spawn(Puppet).wait_started()
        ref.suspend()
        world.settle()
        ref.tell(Note("told"))
        asked = ref.ask(Note("asked"), block=False)

        ref.kill()
        world.settle()

        assert isinstance(asked.error, ActorDeadError)
        assert [letter.message for letter in system.dead_letters.latest] == [Note("told")]
        assert system.dead_letters.count == 1

    def test_what_is_sent_to_the_dead_is_refused(self, world: World) -> None:
        ref = world.system.spawn(Puppet).wait_started()
        ref.stop()

        with pytest.raises(ActorDeadError):
            ref.tell(Note("too late"))

    def test_what_nobody_can_be_told_of_is_a_dead_letter(self, world: World) -> None:
        ref = world.system.spawn(Puppet, hears=refuse).wait_started()

        ref.tell(Note("refused"))
        idle(ref)

        (letter,) = world.system.dead_letters.latest
        assert (letter.message, letter.why) == (Note("refused"), "no")


class TestLaw3OneThreadInOrder:
    def test_messages_of_one_sender_keep_their_order(self, world: World) -> None:
        seen: list[object] = []
        ref = world.system.spawn(Puppet, hears=partial(_write_down, seen))

        for number in range(200):
            ref.tell(Note(number))
        world.settle()

        assert seen == list(range(200))

    def test_no_two_handlers_run_at_once(self, world: World) -> None:
        system = world.system
        gate = Gate(system)
        inside: list[int] = []
        most: list[int] = []

        def work(_actor: object) -> None:
            inside.append(1)
            most.append(len(inside))
            gate.wait()
            inside.pop()

        def send_all(_actor: object) -> None:
            for _ in range(5):
                ref.tell(Do(work))

        ref = system.spawn(Puppet).wait_started()
        for _ in range(4):
            system.spawn(Puppet).tell(Do(send_all))
        world.settle()
        begun = len(most)
        gate.open()
        world.settle()

        assert begun == 1
        assert most == [1] * 20

    def test_signals_overtake_messages(self, world: World) -> None:
        seen: list[object] = []
        gate = Gate(world.system)
        ref = world.system.spawn(Puppet, hears=partial(_write_down, seen)).wait_started()
        ref.tell(Do(gate.wait))
        world.settle()
        for number in range(10):
            ref.tell(Note(number))

        ref.exit(Shutdown())
        gate.open()
        world.settle()

        assert reason_of(ref) == Shutdown()
        assert seen == []


class TestLaw4OneEnd:
    def test_every_incarnation_has_one_reason_and_every_monitor_one_down(
        self, world: World
    ) -> None:
        watch = Watch(world.system)
        refs = [world.system.spawn(Puppet).wait_started() for _ in range(4)]
        for _ in range(3):
            watch.look_at(refs)

        refs[0].kill()
        refs[1].exit(Normal())
        refs[2].tell(Do(boom))
        for each in refs[:3]:
            each.kill()
            each.exit(Shutdown())
        world.settle()

        assert list(watch.broken()) == []
        assert len(watch.downs) == 9
        for ref in refs[:3]:
            reasons = {str(each.reason) for each in watch.downs if each.who is ref}
            assert reasons == {str(ref.reason)}

    def test_of_the_dead_a_monitor_hears_at_once(self, world: World) -> None:
        box = Box(world.system)
        watcher = world.system.spawn(Puppet, hears=box.put)
        ref = world.system.spawn(Puppet).wait_started()
        ref.stop()

        number = watcher.ask(Do(lambda actor: actor.monitor(ref)))

        assert box.take() == Down(number, ref, NoActor())

    def test_a_new_incarnation_begins_when_the_old_one_has_cleaned_up(self, world: World) -> None:
        tree = Tree(world)
        gate = Gate(world.system)
        tree.behaviour("a").on_end = gate.wait
        tree.grow(*tree.specs("a"))

        tree.crash("a")
        before = list(tree.diary)
        gate.open()
        world.settle()

        assert before == ["start a", "end a"]
        assert tree.diary == ["start a", "end a", "start a"]

    def test_what_an_old_incarnation_still_writes_is_refused_and_counted(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        ada = create(sessions)
        cell = cell_of(sessions, ada)
        old: Any = cell.actor
        draft = old._working()
        cell.kill()
        stage.settle()
        sessions.ask(Say(ada, text="from the new one"))

        draft.append(Role.USER, "from the old one", wall_s=0, now_s=0)
        with pytest.raises(FencedError):
            old._keep(draft)

        assert texts(sessions, ada) == ["from the new one"]
        assert sessions.system.counts["fenced_commits"] == 1

    @simulate(schedules=5, replayed=1)
    def test_what_the_killed_still_send_is_refused_and_counted(self, sim: Simulation) -> None:
        with ActorSystem(runtime=sim.runtime) as system:
            seen: list[object] = []
            box = Box(system)
            other = system.spawn(Puppet, hears=partial(_write_down, seen))

            def go_on(actor: Any) -> None:
                actor.actor_ref.kill()
                try:
                    other.tell(Note("from the dead"))
                except FencedError as error:
                    box.put(error)

            system.spawn(Puppet).tell(Do(go_on))
            sim.settle()

            assert isinstance(box.take(), FencedError)
            assert seen == []
            assert system.counts["fenced_sends"] == 1


class TestLaw5RefsDieAddressesLive:
    def test_a_ref_says_dead_for_ever_and_the_address_answers(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        ada = create(sessions)
        address, old = sessions.address(ada), cell_of(sessions, ada)

        old.kill()
        seq = sessions.ask(AppendMessage(ada, Role.USER, "hello"))
        stage.settle()

        assert seq == 1
        assert sessions.address(ada) is address
        assert address.is_alive()
        assert not old.is_alive()
        with pytest.raises(ActorDeadError):
            old.ask(AppendMessage(ada, Role.USER, "to the old one"))


class TestLaw6OnlySupervisorsStartAndStop:
    def test_children_start_in_order_and_stop_in_reverse_each_within_its_time(
        self, world: World
    ) -> None:
        tree = Tree(world)
        gate = Gate(world.system)
        tree.behaviour("b").on_end = gate.wait
        top = tree.grow(tree.spec("a"), tree.spec("b", shutdown_s=1.0), tree.spec("c"))
        late = tree.ref("b")

        top.exit(Shutdown())
        world.settle()
        world.advance(1.5)

        assert tree.diary == ["start a", "start b", "start c", "end c", "end b", "end a"]
        assert reason_of(late) == Killed()
        assert reason_of(top) == Shutdown()

    @simulate(schedules=5, replayed=1)
    def test_what_does_not_stop_is_abandoned_and_named(self, sim: Simulation) -> None:
        system = ActorSystem(runtime=sim.runtime)
        gate = Gate(system)
        end = ChildSpec(id="a", start=Puppet, kwargs={"ends": gate.wait}, shutdown_s=1.0)
        top = system.spawn(Supervisor, [end]).wait_started()
        began_s = sim.now_s

        report = system.stop()

        assert report.unstopped == (f"{top.path}/a",)
        assert sim.now_s - began_s < 2.0

    def test_what_somebody_else_ended_is_started_again_by_its_supervisor(
        self, world: World
    ) -> None:
        tree = Tree(world)
        tree.grow(*tree.specs("ab"), intensity=2)

        for each in ("a", "b"):
            tree.ref(each).stop()
            world.settle()

        started = ["start a", "start b"]
        assert tree.diary == [*started, "end a", "start a", "end b", "start b"]
        assert all(tree.ref(each).is_alive() for each in ("a", "b"))


class TestLaw7AcknowledgedMeansKept:
    @pytest.mark.parametrize(
        "part", ["the session", "front/manager", "front/janitor", "front", "sessions/0", "sessions"]
    )
    def test_over_the_death_of(self, stage: Stage, sessions: SessionSystem, part: str) -> None:
        ids = [create(sessions, f"user-{number}") for number in range(4)]
        for each in ids:
            sessions.ask(Say(each, text="told"))
            sessions.ask(SayLater(each, text="told later"))

        if part == "the session":
            for each in ids:
                cell_of(sessions, each).kill()
        else:
            part_of(sessions, part).kill()
        stage.settle()

        kept = [texts(sessions, each) for each in ids]
        numbers = [sessions.ask(Say(each, text="after")) for each in ids]
        assert kept == [["told", "told later"]] * 4
        assert numbers == [3] * 4

    def test_and_what_was_not_acknowledged_is_kept_whole_or_not_at_all(
        self, stage: Stage, sessions: SessionSystem
    ) -> None:
        ada = create(sessions)
        sessions.ask(Say(ada, text="told"))
        held = later(sessions, Hold(ada, text="in hand"))
        stage.settle()

        cell_of(sessions, ada).kill()
        stage.settle()

        assert held.error is not None
        assert texts(sessions, ada) == ["told"]
        assert sessions.get(ada).data == Tally(said=1)


class TestLaw8ARowFromReservationToCleanup:
    def test_it_is_there_from_the_reservation_on(self, stage: Stage) -> None:
        sessions = stage.open(limits=SessionLimits(sessions_per_user_max=1))
        stage.play.starts_at_the_gate.add("ada")

        asked = later(sessions, CreateSession(user_id="ada", session_id="ada"))
        stage.settle()
        there = sessions.get("ada")
        with pytest.raises(MaxSessionsReached):
            create(sessions)
        was_answered = asked.is_done
        stage.play.gate.open()

        assert not was_answered
        assert there.user_id == "ada"
        assert asked.get().id == "ada"

    def test_to_the_end_of_its_cleanup(self, stage: Stage, sessions: SessionSystem) -> None:
        ada = create(sessions)
        held = later(sessions, Hold(ada, text="in hand"))
        stage.settle()

        ended = later(sessions, TerminateSession(ada))
        stage.settle()
        still_there = sessions.get(ada)
        was_answered = ended.is_done
        stage.play.gate.open()
        stage.settle()

        assert not was_answered
        assert still_there.id == ada
        assert held.get() == 1
        assert ended.get().id == ada
        with pytest.raises(SessionNotFound):
            sessions.get(ada)

    def test_and_no_longer(self, stage: Stage, sessions: SessionSystem) -> None:
        ada = create(sessions)

        sessions.ask(TerminateSession(ada))

        # At the reply it is gone for everybody; its partition learns of its end a moment later.
        with pytest.raises(SessionNotFound):
            sessions.get(ada)
        table = services_of(sessions).table
        assert (dict(table.per_user), dict(table.per_org)) == ({}, {})
        stage.settle()
        assert broken_laws(sessions) == []

    def test_a_read_needs_no_actor_at_all(self, stage: Stage, sessions: SessionSystem) -> None:
        ada = create(sessions)
        sessions.ask(AppendMessage(ada, Role.USER, "hello"))
        parts = parts_of(sessions).values()
        for each in parts:
            each.suspend()
        stage.settle()

        read = sessions.ask(GetSession(ada, messages=1))
        waiting = sum(each.mailbox_size for each in parts)
        for each in parts:
            each.resume()

        assert [each.content for each in read.messages] == ["hello"]
        assert waiting == 0

    @pytest.mark.parametrize("kind", [Say, SayLater])
    def test_whoever_got_a_reply_reads_what_it_confirmed(
        self, sessions: SessionSystem, kind: type[Say]
    ) -> None:
        ada = create(sessions)

        for number in range(1, 50):
            seq = sessions.ask(kind(ada, text=f"{number}"))
            assert sessions.get(ada).last_seq == seq == number


class TestLaw9EverythingComesFromThePorts:
    def test_no_module_above_the_runtime_reaches_for_time_threads_or_chance(self) -> None:
        banned = {
            *("time", "random", "uuid", "uuid6", "secrets", "threading", "_thread"),
            *("queue", "multiprocessing", "concurrent"),
        }
        # The test kit stands in for the ports; the daemon is the edge, with real clients.
        edges = ("supervision.runtime", "supervision.testing", "actors.daemon", "actors.testing")
        found: list[str] = []
        for name, path in sources().items():
            if any(f".{edge}" in f".{name.removeprefix('callboard.')}" for edge in edges):
                continue
            for node in ast.walk(tree_of(path)):
                modules: list[str] = []
                if isinstance(node, ast.Import):
                    modules = [each.name for each in node.names]
                elif isinstance(node, ast.ImportFrom):
                    modules = [node.module or ""]
                found += [f"{name}: {each}" for each in modules if each.split(".")[0] in banned]

        assert found == []

    def test_so_a_run_replays_from_its_seed(self) -> None:
        def digest(seed: int) -> str:
            with (
                Simulation(seed) as sim,
                SessionSystem(name="laws", partitions=2, runtime=sim.runtime) as sessions,
            ):
                clients = [sim.spawn(f"client-{n}", partial(_work, sessions, n)) for n in range(3)]
                services_of(sessions).find_part("front/manager").kill()
                sim.run(until=lambda: all(each.is_done for each in clients))
                sim.note(*sorted(row.id for row in services_of(sessions).table.rows()))
            return sim.trace.digest

        assert digest(1) == digest(1)
        assert digest(1) != digest(2)

    def test_and_time_is_what_a_test_says(self) -> None:
        clock = ManualClock()
        with SessionSystem(name="laws", partitions=1, runtime=clock.runtime) as sessions:
            ada = sessions.ask(CreateSession(user_id="ada"))
            clock.advance(60)
            sessions.ask(AppendMessage(ada.id, Role.USER, "later"))

            assert sessions.get(ada.id).last_active_at - ada.created_at == 60


def _work(sessions: SessionSystem, number: int) -> None:
    made = sessions.ask(CreateSession(user_id=f"user-{number}"), timeout=60)
    for text in "abc":
        sessions.ask(AppendMessage(made.id, Role.USER, text), timeout=60)


class TestLaw10NoGlobalState:
    def test_two_systems_in_one_process_never_meet(self) -> None:
        with (
            SessionSystem(name="one", partitions=1) as one,
            SessionSystem(name="other", partitions=1) as other,
        ):
            ada = one.ask(CreateSession(user_id="ada", session_id="ada"))

            with pytest.raises(SessionNotFound):
                other.get(ada.id)
            assert other.ask(CreateSession(session_id="ada")).user_id is None

            one.stop()
            assert other.ask(AppendMessage("ada", Role.USER, "still here")) == 1

    def test_a_stop_leaves_no_thread_no_name_and_no_descriptor(self) -> None:
        threads = set(threading.enumerate())
        descriptors = _descriptors()
        for _ in range(3):
            with SessionSystem(name="laws", partitions=2) as sessions:
                system = sessions.system
                for number in range(5):
                    made = sessions.ask(CreateSession(user_id=f"{number}"))
                    asyncio.run(sessions.ask_async(AppendMessage(made.id, Role.USER, "x")))
            assert left_behind(system) == []

        assert set(threading.enumerate()) <= threads
        gc.collect()
        assert _descriptors() <= descriptors

    def test_embedding_leaves_the_hosts_handlers_and_loops_alone(self) -> None:
        before = (
            signal.getsignal(signal.SIGTERM),
            signal.getsignal(signal.SIGINT),
            list(logging.getLogger().handlers),
            logging.getLogger().level,
        )

        with SessionSystem(name="laws", partitions=1) as sessions:
            sessions.ask(CreateSession(user_id="ada"))
            after = (
                signal.getsignal(signal.SIGTERM),
                signal.getsignal(signal.SIGINT),
                list(logging.getLogger().handlers),
                logging.getLogger().level,
            )

        assert after == before
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()

    def test_pykkas_registry_is_not_entered(self) -> None:
        before = pykka.ActorRegistry.get_all()

        with SessionSystem(name="laws", partitions=1) as sessions:
            sessions.ask(CreateSession(user_id="ada"))

            assert pykka.ActorRegistry.get_all() == before


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 -- a Path would open one more


class TestTheCheckers:
    """Green proves nothing unless a broken law turns it red."""

    def test_see_a_presence_that_is_not_true(self, sessions: SessionSystem) -> None:
        ada = sessions.ask(CreateSession(user_id="ada"))
        row = services_of(sessions).table.row(ada.id)
        address: Any = row.address
        address.cell = None

        assert any("awake" in each for each in broken_laws(sessions))

    def test_see_a_count_that_is_wrong(self, sessions: SessionSystem) -> None:
        sessions.ask(CreateSession(user_id="ada"))
        services_of(sessions).table._index.users["ada"] = {"s1": None, "s2": None}

        assert any("per user" in each for each in broken_laws(sessions))

    def test_see_a_name_that_is_left(self, sessions: SessionSystem) -> None:
        sessions.system.reserve("session/nobody")

        assert any("session/nobody" in each for each in broken_laws(sessions))

    def test_see_a_down_that_never_came(self, system: ActorSystem) -> None:
        watch = Watch(system)
        ref = system.spawn(Puppet).wait_started()
        watch.look_at([ref])
        ref.bonds = {}
        ref.kill()

        assert any("heard 0 times" in each for each in watch.broken())
