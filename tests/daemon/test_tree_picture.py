"""The picture of a living tree."""

from __future__ import annotations

import threading

from callboard.actors import AppendMessage, CreateSession, Role, SessionSystem
from callboard.supervision import (
    ActorSystem,
    ChildKind,
    ChildSpec,
    DynamicSupervisor,
    Shutdown,
    StartChild,
    SupervisedActor,
    Supervisor,
)
from callboard.supervision.observe.tree import TreeNode, draw, snapshot


class Worker(SupervisedActor):
    pass


def spec(number: int) -> ChildSpec:
    return ChildSpec(id=f"w{number}", start=Worker)


def names(node: TreeNode) -> list[str]:
    return [node.name, *(name for child in node.children for name in names(child))]


class TestThePicture:
    def test_shows_every_actor_with_its_lives(self) -> None:
        children = [
            ChildSpec(id="line", start=Supervisor, args=([spec(1)],)),
            ChildSpec(id="alone", start=Worker, name="by-name"),
        ]
        with ActorSystem() as system:
            root = system.spawn_named("root", Supervisor, children)
            root.wait_started()

            picture = snapshot(root)

        assert names(picture) == ["root", "line", "w1", "by-name"]
        line = picture.children[0]
        assert (line.path, line.kind, line.state) == ("root/line", ChildKind.SUPERVISOR, "running")
        assert (line.children[0].path, line.children[0].kind) == (
            "root/line/w1",
            ChildKind.WORKER,
        )
        assert (line.children[0].incarnation, line.children[0].restarts) == (1, 0)

    def test_counts_restarts_and_waiting_messages(self) -> None:
        with SessionSystem(partitions=1) as sessions:
            sessions.ask(CreateSession(session_id="ada"))
            ada_now = sessions.address("ada").ref
            assert ada_now is not None
            ada_now.kill()
            sessions.ask(AppendMessage("ada", Role.USER, "x"))

            partition = sessions.tree().children[1].children[0]

        ada = partition.children[0]
        assert (ada.name, ada.incarnation, ada.restarts) == ("session/ada", 2, 1)
        assert ada.mailbox_size == 0

    def test_shows_the_first_of_many_and_how_many_there_are(self) -> None:
        with ActorSystem() as system:
            root = system.spawn_named("root", DynamicSupervisor)
            for number in range(10):
                root.ask(StartChild(spec(number)))

            picture = snapshot(root, children_max=3)

        assert (len(picture.children), picture.children_count) == (3, 10)
        assert draw(picture).endswith("└─ and 7 more")

    def test_is_bounded_broad_before_deep(self) -> None:
        lines = [
            ChildSpec(id=f"line{n}", start=Supervisor, args=([spec(1), spec(2)],)) for n in range(3)
        ]
        with ActorSystem() as system:
            root = system.spawn_named("root", Supervisor, lines)
            root.wait_started()

            picture = snapshot(root, nodes_max=5)

        assert names(picture) == ["root", "line0", "w1", "line1", "line2"]
        assert picture.children[2].children_count == 2

    def test_of_a_dead_actor_says_so(self) -> None:
        with ActorSystem() as system:
            root = system.spawn_named("root", Supervisor)
            root.wait_started()
            root.kill()

            assert snapshot(root).state == "dead"

    def test_is_taken_while_the_tree_changes(self) -> None:
        done = threading.Event()
        with ActorSystem() as system:
            root = system.spawn_named("root", DynamicSupervisor, intensity=None)
            root.wait_started()

            def churn() -> None:
                number = 0
                while not done.is_set():
                    number += 1
                    root.ask(StartChild(spec(number))).exit(Shutdown())

            churner = threading.Thread(target=churn)
            churner.start()
            try:
                for _ in range(200):
                    assert snapshot(root).name == "root"
            finally:
                done.set()
                churner.join()


class TestTheDrawing:
    def test_is_a_line_for_each(self) -> None:
        leaf = TreeNode(
            path="root/a/b",
            name="b\x1b",
            kind=ChildKind.WORKER,
            state="running",
            incarnation=3,
            restarts=2,
            mailbox_size=7,
        )
        line = TreeNode(
            path="root/a",
            name="a",
            kind=ChildKind.SUPERVISOR,
            state="ending",
            incarnation=2,
            restarts=1,
            mailbox_size=0,
            children_count=2,
            children=(leaf, leaf),
        )

        assert draw(line).splitlines() == [
            "a  supervisor, ending, 1 restart",
            "├─ b\\x1b  worker, running, 2 restarts, 7 waiting",
            "└─ b\\x1b  worker, running, 2 restarts, 7 waiting",
        ]
