"""Children that come and go: one spec each, one template for all, one place for each key."""

from callboard.supervision import (
    ActorSystem,
    ChildSpec,
    CountChildren,
    DynamicSupervisor,
    EventLog,
    MaxChildrenReached,
    PartitionSupervisor,
    Request,
    RestartType,
    SimpleOneForOneSupervisor,
    StartAnother,
    StartChild,
    SupervisedActor,
    Supervisor,
    TerminateChild,
    WhichChildren,
    handles,
    partition_of,
)


# begin worker
class Who(Request[str], frozen=True):
    pass


class Room(SupervisedActor):
    def __init__(self, *words: object) -> None:
        super().__init__()
        self.words = words

    @handles(Who)
    def on_who(self, _message: Who) -> str:
        return " ".join(map(str, self.words))


def numbered(args: tuple[object, ...], partition: int) -> tuple[object, ...]:
    return (*args, partition)


# end worker


def dynamic(system: ActorSystem) -> None:
    # begin dynamic
    rooms = system.spawn(DynamicSupervisor, max_children=2, extra_args=("room",))
    blue = rooms.ask(
        StartChild(ChildSpec(id="blue", start=Room, args=("blue",), restart=RestartType.TRANSIENT))
    )
    rooms.ask(StartChild(ChildSpec(id="red", start=Room, args=("red",))))
    print(blue.ask(Who()))
    try:
        rooms.ask(StartChild(ChildSpec(id="green", start=Room)))
    except MaxChildrenReached as refusal:
        print("refused:", refusal.code)
    rooms.ask(TerminateChild(blue))
    print([child.id for child in rooms.ask(WhichChildren())], "is left")
    # end dynamic


def simple(system: ActorSystem) -> None:
    # begin simple
    template = ChildSpec(id="guest", start=Room, args=("guest",), restart=RestartType.TEMPORARY)
    guests = system.spawn(SimpleOneForOneSupervisor, template)
    refs = [guests.ask(StartAnother((name,))) for name in ("ada", "bob")]
    print([ref.ask(Who()) for ref in refs])
    guests.ask(TerminateChild(refs[0]))
    print(guests.ask(CountChildren()).active, "guest is left")
    # end simple


def partitions(system: ActorSystem) -> None:
    # begin partitions
    shelf = ChildSpec(id="shelf", start=Room, args=("shelf",), name="shelf")
    system.spawn(PartitionSupervisor, shelf, partitions=4, with_arguments=numbered).wait_started()
    place = system.lookup(f"shelf/{partition_of('ada', 4)}")
    assert place is not None
    print(place.ask(Who()))
    # end partitions


def many(system: ActorSystem) -> None:
    # begin many
    line = ChildSpec(id="line", start=DynamicSupervisor, kwargs={"intensity": 10}, name="line")
    partitioned = ChildSpec(
        id="lines", start=PartitionSupervisor, args=(line,), kwargs={"partitions": 4}
    )
    system.spawn(Supervisor, [partitioned]).wait_started()
    mine = system.lookup(f"line/{partition_of('ada', 4)}")
    assert mine is not None
    ada = mine.ask(StartChild(ChildSpec(id="ada", start=Room, args=("ada",))))
    print(ada.ask(Who()), "has a supervisor with a quarter of all")
    # end many


if __name__ == "__main__":
    with ActorSystem(on_event=EventLog()) as the_system:
        dynamic(the_system)
        simple(the_system)
        partitions(the_system)
        many(the_system)
