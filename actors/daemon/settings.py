"""How much may a client take? Every bound of the daemon with its name, unit and default."""

from __future__ import annotations

import msgspec

from callboard.supervision.model.errors import InvalidSpec

BACKLOG_MAX = 65_535
"""The longest line of connections that a system keeps, whatever it is asked for."""


class DaemonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of one daemon. What a message may hold is in `SessionLimits`.

    Args:
        body_bytes_max: bytes of one request's body, counted while it is read.
        import_bytes_max: bytes of JSON Lines that one import takes; they lie on the disk meanwhile,
            where temporary files do.
        header_bytes_max: bytes of one request's target and headers.
        page_bytes_max: bytes of JSON after which a page ends early; one entry always fits.
        connections_max: connections that are open at once.
        in_flight_max: requests that are being answered at once.
        header_s: seconds in which a connection's first request must have arrived.
        lasting_max: requests at once that last: event streams, and those that may wait for
            longer than `ask_s`; they have no place among `in_flight_max`.
        request_s: seconds for one request, its body's arrival included.
        ask_s: seconds for an actor's answer; less than `request_s`.
        work_s: seconds for the answer of what may last longer than `ask_s`: a prompt, a tool call,
            an opening, a spawn of many steps.
        send_s: seconds in which a client must take what waits to be sent to it.
        export_s: seconds for a whole export: until it ends, no room of what is written meanwhile
            can be used again.
        beat_s: seconds of silence after which an event stream says that it lives.
        keep_alive_s: seconds that an idle connection is kept.
        retry_after_s: seconds that a client who came at a bad time is told to wait.
        drain_s: seconds that the work in hand gets before the stop.
        stop_s: seconds for the whole of an orderly stop.
        store_start_s: seconds that the store has, at the start, to open and to give back its
            sessions.
        backlog: connections that may wait to be accepted.
        tree_nodes_max: actors in one picture of the tree.
        tree_children_max: sessions that are shown of one partition.

    Raises:
        InvalidSpec: a bound is not above zero, `backlog` is above `BACKLOG_MAX`, or `ask_s` is
            not below `request_s`.
    """

    body_bytes_max: int = 4_194_304
    import_bytes_max: int = 1_073_741_824
    header_bytes_max: int = 16_384
    page_bytes_max: int = 8_388_608
    connections_max: int = 512
    in_flight_max: int = 256
    lasting_max: int = 128
    header_s: float = 10.0
    request_s: float = 30.0
    ask_s: float = 20.0
    work_s: float = 660.0
    send_s: float = 20.0
    export_s: float = 3_600.0
    beat_s: float = 15.0
    keep_alive_s: int = 30
    retry_after_s: int = 1
    drain_s: float = 5.0
    stop_s: float = 30.0
    store_start_s: float = 120.0
    backlog: int = 128
    tree_nodes_max: int = 2_000
    tree_children_max: int = 20

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            bound = getattr(self, field)
            if isinstance(bound, bool) or not isinstance(bound, (int, float)) or not bound > 0:
                raise InvalidSpec(field, bound, "Give a number above zero.")
        if self.backlog > BACKLOG_MAX:
            raise InvalidSpec("backlog", self.backlog, f"Give at most {BACKLOG_MAX}.")
        if self.ask_s >= self.request_s:
            raise InvalidSpec("ask_s", self.ask_s, "Give less than request_s.")
