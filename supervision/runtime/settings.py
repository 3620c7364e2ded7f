"""Every bound of the runtime: its name, its unit and its default."""

from __future__ import annotations

import msgspec

from callboard.supervision.model.errors import InvalidSpec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one actor system.

    Raises:
        InvalidSpec: a value that cannot be, with the field and the remedy.
    """

    ask_timeout_s: float = 5.0
    """How long `ask` waits when it is not told, as in OTP's `gen_server:call`."""

    mailbox_max: int = 10_000
    """Messages that may wait in one mailbox. Notices are never refused; signals do not wait."""

    batch_max: int = 64
    """Messages an actor may handle before it lets others have the worker."""

    workers_min: int = 1
    """Workers that stay when there is nothing to do, the reserved one not counted."""

    workers_max: int = 256
    """Workers that run handlers; those that wait for an answer are not counted."""

    workers_ceiling: int = 1_024
    """Workers in all, those that wait for an answer included."""

    worker_idle_s: float = 10.0
    """After this time without work a worker beyond `workers_min` goes."""

    kill_grace_s: float = 1.0
    """How long a killed handler has to give up its worker before it is abandoned."""

    abandoned_max: int = 64
    """Abandoned workers that are replaced by new ones."""

    handoff_max_s: float = 0.001
    """A handler that took longer on its asker's thread is reported."""

    handoff_depth_max: int = 8
    """Hand-offs within hand-offs on one thread; deeper asks go through the pool."""

    dead_letters_kept: int = 100
    """Dead letters of which the details are kept; all are counted."""

    stop_timeout_s: float = 30.0
    """How long `stop` takes at most when it is not told."""

    def __post_init__(self) -> None:
        for field, default in zip(self.__struct_fields__, self.__struct_defaults__, strict=True):
            value = getattr(self, field)
            kind = int if isinstance(default, int) else (int, float)
            if isinstance(value, bool) or not isinstance(value, kind) or not value > 0:
                what = "a whole number" if kind is int else "a number"
                raise InvalidSpec(field, value, f"Give {what} greater than zero.")
        if self.workers_max > self.workers_ceiling:
            raise InvalidSpec("workers_max", self.workers_max, "It may not exceed workers_ceiling.")
        if self.workers_min > self.workers_max:
            raise InvalidSpec("workers_min", self.workers_min, "It may not exceed workers_max.")
