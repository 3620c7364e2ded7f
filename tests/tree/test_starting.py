"""A supervisor starts its children in order, or not at all."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import pytest

from callboard.supervision import (
    ActorRef,
    ActorSystem,
    ChildSpec,
    ChildStartFailed,
    Crashed,
    DynamicSupervisor,
    ExitReason,
    InvalidSpec,
    Normal,
    PartitionSupervisor,
    RestartChild,
    RestartType,
    Shutdown,
    StartChild,
    StartFailed,
    Strategy,
    SupervisedActor,
    Supervisor,
    WhichChildren,
)
from callboard.supervision.model.events import ChildFailedToStart, ChildWasIgnored, ChildWasStarted
from callboard.supervision.model.starting import START_TIMED_OUT
from tests.both import World
from tests.runtime.kit import Boom, Gate, Puppet, reason_of
from tests.tree.kit import (
    WITHIN_S,
    Member,
    Times,
    Tree,
    choose_not_to_run,
    fail_to_start,
    refuse_to_start,
)


def cause_of(failed: StartFailed) -> tuple[Any, ExitReason]:
    """Return which child kept the supervisor from starting, and why."""
    reason = failed.reason
    assert isinstance(reason, Shutdown)
    assert reason.cause is not None
    return reason.cause.child_id, reason.cause.reason


def is_late(reason: ExitReason) -> bool:
    """Say whether a start failed because its time had passed."""
    return isinstance(reason, Crashed) and reason.error == START_TIMED_OUT


class TestTheFirstStart:
    def test_takes_the_children_in_the_order_of_their_specs(self, tree: Tree) -> None:
        tree.grow(*tree.specs("abc"))

        assert tree.diary == ["start a", "start b", "start c"]
        assert tree.running() == "abc"

    def test_begins_with_a_child_only_when_the_one_before_has_started(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("a").on_start = gate.wait
        top = tree.plant_later(*tree.specs("ab"))
        tree.world.settle()

        before = list(tree.diary)
        gate.open()
        top.wait_started()

        assert before == ["start a"]
        assert tree.diary == ["start a", "start b"]

    def test_waits_for_an_async_on_start_too(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("a").on_start = gate.passed
        top = tree.plant_later(*tree.specs("ab"))
        tree.world.settle()

        before = list(tree.diary)
        gate.open()
        top.wait_started()

        assert before == ["start a"]
        assert tree.diary == ["start a", "start b"]

    def test_of_a_supervisor_without_children_succeeds(self, tree: Tree) -> None:
        tree.grow()

        assert tree.running() == ""

    def test_is_reported_child_by_child(self, tree: Tree) -> None:
        tree.grow(*tree.specs("ab"))

        started = tree.seen(ChildWasStarted)
        assert [(each.child_id, each.incarnation) for each in started] == [("a", 1), ("b", 1)]

    def test_includes_the_whole_tree_below(self, tree: Tree) -> None:
        tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("bc")), tree.spec("d"))

        assert tree.diary == ["start a", "start b", "start c", "start d"]


class TestAFailingStart:
    def test_stops_the_earlier_children_in_reverse_and_never_starts_the_later_ones(
        self, tree: Tree
    ) -> None:
        tree.behaviour("c").on_start = fail_to_start

        with pytest.raises(StartFailed):
            tree.grow(*tree.specs("abcd"))

        assert tree.diary == ["start a", "start b", "start c", "end c", "end b", "end a"]

    def test_is_the_reason_of_the_supervisors_own_failed_start(self, tree: Tree) -> None:
        tree.behaviour("b").on_start = fail_to_start

        with pytest.raises(StartFailed) as failed:
            tree.grow(*tree.specs("ab"))

        child, reason = cause_of(failed.value)
        assert child == "b"
        assert isinstance(reason, Crashed)
        assert reason.error.endswith("Boom")

    def test_nests_the_reasons_of_the_supervisors_above(self, tree: Tree) -> None:
        tree.behaviour("b").on_start = fail_to_start

        with pytest.raises(StartFailed) as failed:
            tree.grow(tree.spec("a"), tree.sub("inner", *tree.specs("b")))

        child, reason = cause_of(failed.value)
        assert child == "inner"
        assert isinstance(reason, Shutdown)
        assert reason.cause is not None
        assert reason.cause.child_id == "b"
        assert isinstance(reason.cause.reason, Crashed)
        assert tree.diary == ["start a", "start b", "end b", "end a"]

    @pytest.mark.parametrize("reason", [Normal(), Shutdown(), Shutdown(detail="no")], ids=str)
    def test_is_one_even_when_the_child_declines_in_an_orderly_way(
        self, tree: Tree, reason: ExitReason
    ) -> None:
        tree.behaviour("a").on_start = refuse_to_start(reason)

        with pytest.raises(StartFailed) as failed:
            tree.grow(*tree.specs("a"))

        assert cause_of(failed.value) == ("a", reason)

    @pytest.mark.parametrize("restart", RestartType, ids=lambda each: each.name)
    def test_is_one_whatever_the_childs_restart_type(
        self, tree: Tree, restart: RestartType
    ) -> None:
        tree.behaviour("a").on_start = fail_to_start

        with pytest.raises(StartFailed):
            tree.grow(*tree.specs("a", restart=restart))

    def test_is_not_tried_again_however_many_restarts_there_may_be(self, tree: Tree) -> None:
        tree.behaviour("a").on_start = Times(1, fail_to_start)

        with pytest.raises(StartFailed):
            tree.grow(*tree.specs("a"), intensity=10)

        assert tree.diary.count("start a") == 1
        assert len(tree.seen(ChildFailedToStart)) == 1

    def test_comes_from_an_init_that_raises_as_well(self, tree: Tree) -> None:
        def broken() -> Puppet:
            msg = "cannot be made"
            raise LookupError(msg)

        with pytest.raises(StartFailed) as failed:
            tree.grow(ChildSpec(id="a", start=broken))

        _, reason = cause_of(failed.value)
        assert isinstance(reason, Crashed)
        assert (reason.error, reason.message) == ("LookupError", "cannot be made")

    def test_comes_from_a_start_that_makes_no_actor(self, tree: Tree) -> None:
        with pytest.raises(StartFailed) as failed:
            tree.grow(ChildSpec(id="a", start=lambda: "no actor"))

        _, reason = cause_of(failed.value)
        assert isinstance(reason, Crashed)
        assert reason.error.endswith("InvalidSpec")

    def test_comes_from_a_child_that_is_killed_while_it_starts(self, tree: Tree) -> None:
        tree.behaviour("b").on_start = lambda actor: actor.actor_ref.kill()

        with pytest.raises(StartFailed) as failed:
            tree.grow(*tree.specs("abc"))

        child, _ = cause_of(failed.value)
        assert child == "b"
        assert tree.diary == ["start a", "start b", "end a"]

    def test_of_the_last_child_leaves_nothing_alive(self, tree: Tree) -> None:
        refs: list[ActorRef[Any]] = []
        tree.behaviour("a").on_start = lambda actor: refs.append(actor.actor_ref)
        tree.behaviour("b").on_start = fail_to_start

        with pytest.raises(StartFailed):
            tree.grow(*tree.specs("ab", name=None))

        assert [each.is_alive() for each in refs] == [False]
        assert tree.system.roots == {}


class TestAChildThatChoosesNotToRun:
    @pytest.mark.parametrize("restart", [RestartType.PERMANENT, RestartType.TRANSIENT])
    def test_is_kept_stopped_and_may_be_started_later(
        self, tree: Tree, restart: RestartType
    ) -> None:
        tree.behaviour("a").on_start = Times(1, choose_not_to_run)
        top = tree.grow(tree.spec("a", restart=restart), tree.spec("b"))
        before = tree.running()

        top.ask(RestartChild("a"))

        assert before == "b"
        assert tree.running() == "ab"

    def test_leaves_nothing_behind_when_it_is_temporary(self, tree: Tree) -> None:
        tree.behaviour("a").on_start = choose_not_to_run

        tree.grow(tree.spec("a", restart=RestartType.TEMPORARY), tree.spec("b"))

        assert list(tree.children()) == ["b"]

    def test_is_reported(self, tree: Tree) -> None:
        tree.behaviour("a").on_start = choose_not_to_run

        tree.grow(*tree.specs("a"))

        assert [each.child_id for each in tree.seen(ChildWasIgnored)] == ["a"]


class TestASpecThatCannotBe:
    def test_fails_the_supervisors_start_before_any_child_starts(self, tree: Tree) -> None:
        with pytest.raises(StartFailed) as failed:
            tree.grow(tree.spec("a"), tree.spec("a"))

        reason = failed.value.reason
        assert isinstance(reason, Crashed)
        assert reason.error.endswith("InvalidSpec")
        assert tree.diary == []

    def test_is_a_name_that_two_children_have(self, tree: Tree) -> None:
        with pytest.raises(StartFailed, match="name='it'"):
            tree.grow(tree.spec("a", name="it"), tree.spec("b", name="it"))

        assert tree.diary == []

    @pytest.mark.parametrize("nonsense", [dict, object, Puppet.start])
    def test_is_a_start_that_can_be_seen_to_make_no_actor(self, tree: Tree, nonsense: Any) -> None:
        with pytest.raises(StartFailed, match=r"start=.*child 'b'"):
            tree.grow(tree.spec("a"), ChildSpec(id="b", start=nonsense))

        assert tree.diary == []

    @pytest.mark.parametrize("children", [None, 5])
    def test_is_what_holds_no_specs(self, tree: Tree, children: Any) -> None:
        top = tree.system.spawn(Supervisor, children)

        with pytest.raises(StartFailed, match="children="):
            top.wait_started()

    @pytest.mark.parametrize(
        "flags",
        [{"intensity": -1}, {"period_s": 0}, {"strategy": "one_for_one"}],
        ids=["a negative intensity", "no period", "an unknown strategy"],
    )
    def test_is_one_flag_of_the_supervisor_as_well(self, tree: Tree, flags: dict[str, Any]) -> None:
        with pytest.raises(StartFailed):
            tree.grow(*tree.specs("a"), **flags)

        assert tree.diary == []

    def test_names_field_value_and_remedy(self, world: World) -> None:
        del world

        with pytest.raises(InvalidSpec) as refused:
            ChildSpec(id="a", start=Puppet, shutdown_s=-1.0)

        assert (refused.value.field, refused.value.value) == ("shutdown_s", -1.0)
        assert "BRUTAL_KILL" in refused.value.remedy


class TestAStartThatTakesTooLong:
    """It is killed when `start_s` has passed, and has failed like any other."""

    def test_keeps_its_supervisor_from_starting(self, tree: Tree) -> None:
        tree.behaviour("b").on_start = Gate(tree.system).wait
        top = tree.plant_later(tree.spec("a"), tree.spec("b", start_s=2.0), tree.spec("c"))

        tree.world.advance(1.9)
        before = top.reason
        tree.world.advance(0.2)

        reason = reason_of(top)
        assert before is None
        assert isinstance(reason, Shutdown)
        assert reason.cause is not None
        assert is_late(reason.cause.reason)
        assert tree.diary == ["start a", "start b", "end a"]

    def test_fails_to_whoever_asked_for_the_child(self, tree: Tree) -> None:
        top = tree.grow()
        tree.behaviour("a").on_start = Gate(tree.system).wait
        answer = top.ask(StartChild(tree.spec("a", start_s=2.0)), block=False, timeout=60.0)

        tree.world.advance(2.1)

        with pytest.raises(ChildStartFailed) as failed:
            answer.get(timeout=WITHIN_S)
        assert is_late(failed.value.reason)
        assert tree.children() == {}

    def test_is_tried_again_and_counted_in_a_restart(self, tree: Tree) -> None:
        tree.grow(tree.spec("a", start_s=2.0), intensity=2, period_s=60.0)
        tree.behaviour("a").on_start = Times(1, Gate(tree.system).wait)
        tree.crash("a")

        tree.world.advance(2.1)

        assert tree.running() == "a"
        assert tree.children()["a"].incarnation == 3
        (failed,) = tree.seen(ChildFailedToStart)
        assert is_late(failed.reason)

    def test_does_not_hold_what_its_supervisor_is_asked(self, tree: Tree) -> None:
        top = tree.grow(tree.spec("a"), tree.spec("b", start_s=2.0), intensity=2, period_s=60.0)
        tree.behaviour("b").on_start = Times(1, Gate(tree.system).wait)
        tree.crash("b")

        answer = top.ask(WhichChildren(), block=False, timeout=60.0)
        tree.world.advance(2.1)

        assert len(answer.get(timeout=WITHIN_S)) == 2

    def test_is_killed_in_its_init_as_well(self, tree: Tree) -> None:
        top = tree.grow()
        gate = Gate(tree.system)

        class Slow(Puppet):
            def __init__(self) -> None:
                gate.wait()

        spec = ChildSpec(id="slow", start=Slow, start_s=2.0)
        answer = top.ask(StartChild(spec), block=False, timeout=60.0)

        tree.world.advance(2.1)

        with pytest.raises(ChildStartFailed) as failed:
            answer.get(timeout=WITHIN_S)
        assert is_late(failed.value.reason)

    def test_is_killed_though_its_handlers_are_short(self, tree: Tree) -> None:
        class SlowAtFirst(Member):
            hand_off = True

        top = tree.grow()
        tree.behaviour("a").on_start = Gate(tree.system).wait
        spec = ChildSpec(id="a", start=SlowAtFirst, args=(tree, "a"), start_s=2.0)
        answer = top.ask(StartChild(spec), block=False, timeout=60.0)

        tree.world.advance(2.1)

        with pytest.raises(ChildStartFailed) as failed:
            answer.get(timeout=WITHIN_S)
        assert is_late(failed.value.reason)

    def test_takes_a_half_started_tree_along(self, tree: Tree) -> None:
        top = tree.grow()
        tree.behaviour("b").on_start = Gate(tree.system).passed
        inner = tree.sub("inner", *tree.specs("ab"), start_s=2.0)
        answer = top.ask(StartChild(inner), block=False, timeout=60.0)

        tree.world.advance(2.1)

        with pytest.raises(ChildStartFailed) as failed:
            answer.get(timeout=WITHIN_S)
        assert is_late(failed.value.reason)
        tree.world.settle()
        assert "end a" in tree.diary
        tree.world.advance(6.0)  # the other one's shutdown time: a stop would wait for it

    def test_is_what_a_start_in_time_is_not(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("a").on_start = gate.wait
        top = tree.plant_later(tree.spec("a", start_s=2.0))
        tree.world.advance(1.9)

        gate.open()
        tree.world.advance(60.0)

        assert top.is_alive()
        assert tree.running() == "a"


class TestAnOnStartOfASubclass:
    def test_starts_the_children_where_it_says_so(self, tree: Tree) -> None:
        class Polite(Supervisor):
            def on_start(self) -> Any:
                tree.diary.append("before")
                yield from super().on_start()
                tree.diary.append("behind")

        class Lazy(Supervisor):
            def on_start(self) -> Any:
                return super().on_start()

        tree.plant(tree.system.spawn(Polite, tree.specs("a")))
        tree.plant(tree.system.spawn(Lazy, tree.specs("b")))

        assert tree.diary == ["before", "start a", "behind", "start b"]

    def test_that_leaves_the_children_out_fails(self, system: ActorSystem) -> None:
        class Forgetful(Supervisor):
            def on_start(self) -> Any:
                self.is_ready = True

        class Halfway(Supervisor):
            def on_start(self) -> Any:
                super().on_start()  # a generator, and nobody goes through it

        class Hasty(Supervisor):
            async def on_start(self) -> Any:  # type: ignore[override]  # nor would it do
                pass

        for kind in (Forgetful, Halfway, Hasty):
            with pytest.raises(StartFailed, match=r"InvalidSpec.*yield from super\(\)"):
                system.spawn(kind).wait_started(timeout=WITHIN_S)

    def test_that_fails_by_itself_says_why(self, system: ActorSystem) -> None:
        class Broken(Supervisor):
            def on_start(self) -> Any:
                raise Boom

        with pytest.raises(StartFailed, match="Boom"):
            system.spawn(Broken).wait_started(timeout=WITHIN_S)


class TestChildrenThatCannotBeReadTwice:
    def test_are_refused(self, tree: Tree) -> None:
        with pytest.raises(StartFailed, match=r"InvalidSpec.*list or a tuple"):
            tree.plant(tree.system.spawn(Supervisor, iter(tree.specs("a"))))

        assert tree.diary == []


class Prim(SupervisedActor):
    """Takes no argument."""

    def __init__(self) -> None:
        super().__init__()


def sub(*args: Any, kind: type[Supervisor] = Supervisor, **kwargs: Any) -> ChildSpec:
    return ChildSpec(id="sub", start=kind, args=args, kwargs=kwargs)


class TestChildrenThatCannotStart:
    """What can be seen beforehand is, and nothing has been started then."""

    @pytest.mark.parametrize(
        ("unable", "said"),
        [
            (
                ChildSpec(id="b", start=object),
                r"start=<class 'object'>.* Give child 'b' an actor's class",
            ),
            (ChildSpec(id="b", start=Prim.start), r"start=.* Give child 'b' the class itself"),
            (
                ChildSpec(id="b", start=partial(Prim.start)),
                r"start=.* Give child 'b' the class itself",
            ),
            (sub(3), r"children=3 .* Give a list or a tuple of ChildSpecs"),
            (sub(sub()), r"children=ChildSpec.* Give a list or a tuple of ChildSpecs"),
            (sub([sub(), sub()]), r"id='sub'"),
            (sub([sub([sub(), sub()])]), r"id='sub'"),
            (sub(max_restarts=3), r"args=.*Supervisor.*max_restarts"),
            (sub(kind=DynamicSupervisor, max_children=-1), r"max_children=-1"),
            (sub([sub()], kind=PartitionSupervisor, partitions=2), r"spec=\[.* Give a ChildSpec"),
            (sub(sub(), kind=PartitionSupervisor, partitions=0), r"partitions=0"),
            (
                sub(sub(), kind=PartitionSupervisor, partitions=2, with_arguments="x"),
                r"with_arguments='x'",
            ),
        ],
        ids=str,
    )
    def test_keep_their_supervisor_from_starting_any(
        self, tree: Tree, unable: ChildSpec, said: str
    ) -> None:
        with pytest.raises(StartFailed, match=f"InvalidSpec: {said}"):
            tree.grow(tree.spec("a"), unable)

        assert tree.diary == []
        assert not tree.seen(ChildFailedToStart)

    def test_of_one_name_keep_their_supervisor_from_starting_any(self, tree: Tree) -> None:
        with pytest.raises(StartFailed, match="InvalidSpec: name='ada'"):
            tree.grow(tree.spec("a", name="ada"), tree.spec("b", name="ada"))

        assert tree.diary == []

    def test_that_are_no_list_are_refused(self, tree: Tree) -> None:
        for given in (tree.spec("a"), None, 3):
            with pytest.raises(
                StartFailed, match=r"InvalidSpec: children=.*list or a tuple of ChildSpecs"
            ):
                tree.plant(tree.system.spawn(Supervisor, cast("Any", given)))

        assert tree.diary == []


class TestASupervisorThatIsEndedWhileItStarts:
    def test_stops_what_it_has_started(self, tree: Tree) -> None:
        gate = Gate(tree.system)
        tree.behaviour("b").on_start = gate.wait
        top = tree.plant_later(*tree.specs("abc"))
        tree.world.settle()

        top.exit(Shutdown())
        tree.world.settle()
        gate.open()

        assert reason_of(top) == Shutdown()
        assert sorted(tree.diary[-2:]) == ["end a", "end b"] or tree.diary[-3:] == [
            "end c",
            "end b",
            "end a",
        ]
        assert tree.system.roots == {}

    def test_by_a_kill_leaves_no_orphan(self, tree: Tree) -> None:
        refs: list[ActorRef[Any]] = []
        gate = Gate(tree.system)

        def wait(actor: Any) -> None:
            refs.append(actor.actor_ref)
            gate.wait()

        tree.behaviour("a").on_start = lambda actor: refs.append(actor.actor_ref)
        tree.behaviour("b").on_start = wait
        top = tree.plant_later(*tree.specs("abc"))
        tree.world.settle()

        top.kill()
        gate.open()
        tree.world.settle()

        assert [each.is_alive() for each in refs] == [False, False]
        assert "start c" not in tree.diary


class TestASupervisorOfAnotherSystem:
    def test_can_be_a_root_of_its_own(self, system: ActorSystem) -> None:
        one = system.spawn(Supervisor).wait_started()
        two = system.spawn(Supervisor, strategy=Strategy.ONE_FOR_ALL).wait_started()

        assert one.is_alive()
        assert two.is_alive()
