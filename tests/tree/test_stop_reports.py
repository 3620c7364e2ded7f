"""What did not stop stands in the report: on real threads under the real clock, and simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from callboard.supervision import (
    BRUTAL_KILL,
    ActorSystem,
    ChildSpec,
    Future,
    Supervisor,
    Timeout,
)
from tests.both import SimulatedWorld
from tests.runtime.kit import Gate, Puppet

MakeSystem = Callable[[], ActorSystem]


@pytest.fixture(params=["threads", "simulated"])
def system(request: pytest.FixtureRequest) -> Iterator[ActorSystem]:
    """Return a system whose time passes by itself."""
    if request.param == "threads":
        with ActorSystem("under-test") as system:
            yield system
        return
    world = SimulatedWorld(0, None)
    yield world.system
    world.close()


class TestAStopReport:
    def test_names_the_child_that_had_to_be_killed_by_its_path(self, system: ActorSystem) -> None:
        gate = Gate(system)
        inner = ChildSpec(
            id="inner",
            start=Supervisor,
            args=(
                (
                    ChildSpec(id="quick", start=Puppet),
                    ChildSpec(
                        id="stuck", start=Puppet, kwargs={"ends": gate.wait}, shutdown_s=0.02
                    ),
                ),
            ),
        )
        system.spawn_named("root", Supervisor, (inner,)).wait_started()

        report = system.stop()

        assert not report.is_clean
        assert report.unstopped == ("root/inner/stuck",)
        assert report.abandoned == ()
        assert str(report) == "killed: root/inner/stuck"

    def test_names_what_used_up_the_time_of_the_whole_stop(self, system: ActorSystem) -> None:
        gate = Gate(system)
        specs = (
            ChildSpec(id="quick", start=Puppet),
            ChildSpec(id="stuck", start=Puppet, kwargs={"ends": gate.wait}),
        )
        root = system.spawn_named("root", Supervisor, specs).wait_started()

        report = system.stop(timeout_s=0.05)

        assert "root/stuck" in report.unstopped
        assert not root.is_alive()

    def test_names_the_children_of_a_supervisor_that_was_killed_before(
        self, system: ActorSystem
    ) -> None:
        gate = Gate(system)
        stuck = ChildSpec(id="stuck", start=Puppet, kwargs={"ends": gate.wait}, shutdown_s=0.02)
        root = system.spawn_named("root", Supervisor, (stuck,)).wait_started()
        root.kill()

        report = system.stop()

        assert report.unstopped == ("root/stuck",)

    def test_names_the_children_of_a_supervisor_that_is_killed_on_the_way(
        self, system: ActorSystem
    ) -> None:
        gate = Gate(system)
        stuck = ChildSpec(id="stuck", start=Puppet, kwargs={"ends": gate.wait}, shutdown_s=0.02)
        inner = ChildSpec(id="inner", start=Supervisor, args=((stuck,),), shutdown_s=BRUTAL_KILL)
        system.spawn_named("root", Supervisor, (inner,)).wait_started()

        report = system.stop()

        assert report.unstopped == ("root/inner/stuck",)

    def test_is_given_when_those_have_cleaned_up_whose_supervisor_was_killed(
        self, system: ActorSystem
    ) -> None:
        ended: list[str] = []

        def clean_up(_reason: object) -> None:
            with pytest.raises(Timeout):
                Future[None](blocker=system.dispatcher).get(timeout=0.1)  # it takes this long
            ended.append("a")

        child = ChildSpec(id="a", start=Puppet, kwargs={"ends": clean_up})
        system.spawn_named("root", Supervisor, (child,)).wait_started().kill()

        report = system.stop()

        assert ended == ["a"]
        assert report.is_clean

    def test_of_a_second_stop_is_the_first_one(self, system: ActorSystem) -> None:
        system.spawn_named("root", Supervisor).wait_started()

        assert system.stop() == system.stop()
