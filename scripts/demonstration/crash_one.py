"""An actor crashes while it answers; its asker gets the error, its monitor the `Down`."""

from __future__ import annotations

from callboard.supervision import ActorRef, ActorSystem, Down, Request, SupervisedActor, handles


class Divide(Request[float], frozen=True):
    """Ask for a quotient."""

    left: float
    right: float


class Calculator(SupervisedActor):
    """Divides, and knows nothing of what cannot be divided."""

    @handles(Divide)
    def on_divide(self, message: Divide) -> float:
        """Answer, or crash."""
        return message.left / message.right


class Watch(SupervisedActor):
    """Prints the end of whoever it watches.

    Args:
        watched: the ref.
    """

    def __init__(self, watched: ActorRef[Calculator]) -> None:
        super().__init__()
        self._watched = watched

    def on_start(self) -> None:
        """Begin to watch."""
        self.monitor(self._watched)

    @handles(Down)
    def on_down(self, message: Down) -> None:
        """Say who ended, and why."""
        print(f"monitor: {message.who} is down: {message.reason}")
        self.stop()


def crash_one() -> None:
    """Run the demonstration."""
    with ActorSystem("demo") as system:
        calculator = system.spawn_named("calculator", Calculator)
        watch = system.spawn(Watch, calculator).wait_started()
        print(f"asker:   6 / 3 = {calculator.ask(Divide(6, 3))}")
        try:
            calculator.ask(Divide(1, 0))
        except ZeroDivisionError as error:
            print(f"asker:   1 / 0 raised {type(error).__name__}: {error}")
        watch.actor_stopped.wait(5)
        print(f"asker:   the calculator is {'alive' if calculator.is_alive() else 'dead'}")
    print("system:  stopped")
