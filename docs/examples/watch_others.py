"""What an actor learns of another one's end, and what it tells itself later."""

from typing import Any

from callboard.supervision import ActorSystem, Down, Exit, Shutdown, SupervisedActor


# begin monitor
class Worker(SupervisedActor):
    def on_receive(self, message: Any) -> None:
        raise ValueError(message)


class Watcher(SupervisedActor):
    def on_start(self) -> None:
        self.worker = self.system.spawn(Worker)
        self.number = self.monitor(self.worker)
        self.worker.tell("a mistake")

    def on_receive(self, message: Any) -> None:
        if isinstance(message, Down):
            assert message.who is self.worker
            print("down:", message.monitor == self.number, type(message.reason).__name__)
            self.stop()


# end monitor


# begin link
class Pair(SupervisedActor):
    trap_exit = True

    def on_start(self) -> None:
        self.other = self.system.spawn(Worker)
        self.link(self.other)
        self.link("nobody")

    def on_receive(self, message: Any) -> None:
        if not isinstance(message, Exit):
            return
        if message.who is not self.other:
            print("exit of", message.who, "with", type(message.reason).__name__)
            self.other.exit(Shutdown())
        else:
            print("exit of the other one:", message.reason)
            self.stop()


# end link


# begin timer
TICKS = 3


class Clock(SupervisedActor):
    def on_start(self) -> None:
        self.ticks = 0
        self.send_after(0, "tick")  # begins anew in every life
        self.never = self.send_after(3600.0, "in an hour")

    def on_receive(self, message: Any) -> None:
        self.ticks += 1
        print(message, self.ticks)
        if self.ticks < TICKS:
            self.send_after(0.01, "tick")
        else:
            print("cancelled:", self.never.cancel())
            self.stop()


# end timer

if __name__ == "__main__":
    with ActorSystem() as system:
        for kind in (Watcher, Pair, Clock):
            # begin wait
            reason = system.spawn(kind).wait(timeout_s=10.0)
            print(kind.__name__, "has ended:", reason)
            # end wait
