"""An actor written for pykka, and what it takes to supervise it."""

from typing import Any

import pykka

from callboard.supervision import ActorSystem, ChildSpec, EventLog, SupervisedActor, Supervisor


# begin before
class Counter(pykka.ThreadingActor):
    def __init__(self, first: int) -> None:
        super().__init__()
        self.count = first

    def on_receive(self, message: Any) -> int:
        self.count += int(message["by"])
        return self.count


# end before


# begin after
class SupervisedCounter(SupervisedActor):
    def __init__(self, first: int) -> None:
        super().__init__()
        self.count = first

    def on_receive(self, message: Any) -> int:
        self.count += int(message["by"])
        return self.count


# end after

if __name__ == "__main__":
    old = Counter.start(first=10)
    print("pykka:", old.ask({"by": 1}))
    old.stop()

    # begin run
    spec = ChildSpec(
        id="counter", start=SupervisedCounter, args=(10,), name="counter", keeps_mailbox=True
    )
    with ActorSystem(on_event=EventLog()) as system:
        root = system.spawn(Supervisor, [spec], intensity=3, period_s=5.0).wait_started()
        counter = system.lookup("counter")
        assert counter is not None
        print(counter.ask({"by": 1}))
        try:
            counter.ask({"by": "nonsense"})
        except ValueError:
            print("crashed")
        print(counter.ask({"by": 1}), "again, from the start")
        print("the root has ended:", root.wait(timeout_s=0))
    # end run
