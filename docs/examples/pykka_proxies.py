"""Proxies of an actor that is supervised: what becomes of their futures, and of themselves."""

from time import sleep
from typing import Any

import pykka

from callboard.supervision import ActorSystem, ChildSpec, EventLog, SupervisedActor, Supervisor


class Counter(SupervisedActor):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def add(self, by: int) -> int:
        self.count += int(by)
        return self.count


# begin proxy
def proxy_of(system: ActorSystem, name: str) -> Any:
    address = system.lookup(name)
    assert address is not None
    while address.ref is None or not address.is_alive():  # between two lives
        sleep(0.001)
    return address.ref.proxy()


# end proxy

if __name__ == "__main__":
    # begin run
    with ActorSystem(on_event=EventLog()) as system:
        spec = ChildSpec(id="counter", start=Counter, name="counter")
        system.spawn(Supervisor, [spec], intensity=3).wait_started()

        first = proxy_of(system, "counter")
        print(first.add(1).get(), "by the first life")
        first.add("nonsense")  # nobody reads this future: the crash is in the log alone
        try:
            first.add(1).get()
        except pykka.ActorDeadError:
            print("the first proxy is dead")

        second = proxy_of(system, "counter")
        second.add.defer(1)  # a tell: there is no future that could be forgotten
        print(second.count.get(), "by the second life")
    # end run
