"""Rooms that are found by their name, and readers that are found by their topic."""

from time import sleep
from typing import Any

from callboard.supervision import (
    ActorSystem,
    ChildSpec,
    Keys,
    Registry,
    RegistryEntry,
    Request,
    Strategy,
    SupervisedActor,
    Supervisor,
    handles,
)


# begin room
class Enter(Request[int], frozen=True):
    guest: str


class Room(SupervisedActor):
    def __init__(self, rooms: Registry[str, int]) -> None:
        self.rooms = rooms

    @handles(Enter)
    def on_enter(self, message: Enter) -> int:
        if message.guest == "a bull":
            raise ValueError(message.guest)
        guests, _ = self.rooms.update_value("lobby", lambda guests: guests + 1)
        return guests


# end room


# begin reader
class Reader(SupervisedActor):
    def __init__(self, name: str, topics: Registry[str, str]) -> None:
        self.name = name
        self.topics = topics

    def on_start(self) -> None:
        self.topics.register("news", self.name)

    def on_receive(self, message: Any) -> str:
        return f"{self.name} reads {message!r}"


# end reader

if __name__ == "__main__":
    # begin rooms
    with ActorSystem() as system:
        rooms: Registry[str, int] = Registry(system, "rooms")
        lobby = rooms.via("lobby", 0)
        children = [
            rooms.child_spec(),
            ChildSpec(id="lobby", start=lobby.as_start(Room), args=(rooms,)),
        ]
        system.spawn(Supervisor, children, strategy=Strategy.REST_FOR_ONE).wait_started()

        lobby.ask(Enter("ada"))
        print(lobby.ask(Enter("bob")), "guests")
        print([entry.value for entry in rooms.lookup("lobby")], "by a read")
        try:
            lobby.ask(Enter("a bull"))
        except ValueError:
            print("crashed")
        while not lobby.is_alive():
            sleep(0.001)
        print(lobby.ask(Enter("cyd")), "guest, in a new room")
    # end rooms

    # begin topics
    with ActorSystem() as system:
        topics: Registry[str, str] = Registry(system, "topics", keys=Keys.DUPLICATE)
        topics.start()
        for name in ("ada", "bob"):
            system.spawn(Reader, name, topics).wait_started()

        def extra(readers: tuple[RegistryEntry[str], ...]) -> None:
            for reader in readers:
                print(reader.owner.ask("extra"))

        def is_early(name: str) -> bool:
            return name < "b"

        topics.dispatch("news", extra)
        print(topics.count_match("news", is_early), "of", topics.count())
    # end topics
