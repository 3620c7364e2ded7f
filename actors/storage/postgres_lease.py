"""Who may write to the schema? One owner, who says so again and again, by the server's clock.

The protocol:

- There is one row: owner, epoch, until when. Whoever starts takes it when it has run out: a
  killed owner's does, a living one is seen to renew it.
- Every transaction that writes looks for its own owner and epoch in that row and locks it. So
  transactions come one after another, and one of an older epoch is refused.
- Every connection has an epoch of its own. What a lost one may have left behind in the
  server, a batch that nobody has read yet, is refused when it comes to be done.
"""

from __future__ import annotations

from typing import Final

from callboard.actors.errors import StoreFenced, StoreLocked
from callboard.actors.storage.postgres_port import Link, Rows, Statement

LEASE_S: Final = 6.0
"""How long a lease lasts after it was renewed, in seconds: after a kill, a start waits as long."""

RENEW_EVERY_S: Final = 2.0
"""How often it is renewed, in seconds."""

LEASE_S_MAX: Final = 60.0
"""The longest lease, in seconds."""

LOOK_EVERY_S: Final = 0.1
"""How often a start looks whether another's lease has run out, in seconds."""

_TAKE: Final = """
    INSERT INTO lease (owner, pid, host, epoch, since, until)
    VALUES (%s::uuid, %s, %s, 1, clock_timestamp(), clock_timestamp() + make_interval(secs => %s))
    ON CONFLICT (one) DO UPDATE SET owner = excluded.owner, pid = excluded.pid,
        host = excluded.host,
        epoch = lease.epoch + 1, since = clock_timestamp(),
        until = clock_timestamp() + make_interval(secs => %s)
    WHERE lease.until < clock_timestamp() OR lease.owner = excluded.owner
    RETURNING epoch
"""

_LOOK: Final = """
    SELECT pid, host, extract(epoch FROM since)::float8, until::text,
        extract(epoch FROM until - clock_timestamp())::float8
    FROM lease
"""

_AGAIN: Final = """
    UPDATE lease SET epoch = epoch + 1,
        until = clock_timestamp() + make_interval(secs => %s)
    WHERE owner = %s::uuid RETURNING epoch
"""

_HOLD: Final = """
    SELECT extract(epoch FROM until - clock_timestamp())::float8 FROM lease
    WHERE owner = %s::uuid AND epoch = %s FOR NO KEY UPDATE
"""

_RENEW: Final = """
    UPDATE lease SET until = clock_timestamp() + make_interval(secs => %s)
    WHERE owner = %s::uuid AND epoch = %s
"""

_REMEDY: Final = (
    "The lease lasts for another {s:.0f} s, longer than any does: the server's clock has been put"
    " back. Stop that process. If it is dead, release the lease:"
    """ UPDATE "{schema}".lease SET until = '-infinity'."""
)

_RELEASE: Final = "UPDATE lease SET until = '-infinity' WHERE owner = %s::uuid AND epoch = %s"


class Lease:
    """What one owner knows of its right to write.

    Args:
        place: what it is about, for people.
        pid: our process, for people.
        host: our machine, for people.
        lease_s: how long it lasts after it was renewed, in seconds.
        renew_every_s: how often to renew it, in seconds.
    """

    def __init__(
        self, place: str, *, pid: int, host: str, lease_s: float, renew_every_s: float
    ) -> None:
        self._place = place
        self._pid, self._host = pid, host
        self._lease_s = lease_s
        self._rest_s = lease_s - renew_every_s
        self._owner: str | None = None
        self._epoch = 0

    @property
    def was_ours(self) -> bool:
        """Whether this owner has had it."""
        return bool(self._epoch)

    def claim(self, link: Link) -> None:
        """Have the lease on a new connection: for the first time, or again.

        For the first time it waits until the lease of an owner who says nothing any more has run
        out: at most `LEASE_S_MAX`.

        Raises:
            StoreLocked: somebody else has it and lives.
            StoreFenced: it was ours, and somebody else has taken it.
            Lost, Refused: by the server.
        """
        if not self._epoch:
            self._take(link)
            return
        rows = link.rows(_AGAIN, (self._lease_s, self._owner))
        if not rows:
            link.drop()
            raise StoreFenced(self._place)
        self._epoch = rows[0][0]

    def hold(self) -> Statement:
        """Return what keeps the right to write until the end of a transaction."""
        return Statement(_HOLD, (self._owner, self._epoch))

    def is_due(self, rows: Rows) -> bool:
        """Say whether the lease is to be renewed soon.

        Args:
            rows: what `hold` has given.

        Raises:
            StoreFenced: somebody else has taken it.
        """
        if not rows:
            raise StoreFenced(self._place)
        remaining_s: float = rows[0][0]
        return remaining_s < self._rest_s

    def renewal(self) -> Statement:
        """Return what renews it, in a transaction that holds it."""
        return Statement(_RENEW, (self._lease_s, self._owner, self._epoch))

    def release(self) -> Statement:
        """Return what lets the next owner start at once."""
        return Statement(_RELEASE, (self._owner, self._epoch))

    def _take(self, link: Link) -> None:
        if self._owner is None:
            # Known before it is written: should that answer be lost, the row is ours all the same.
            self._owner = link.rows("SELECT gen_random_uuid()::text")[0][0]
        seen: str | None = None
        while True:
            rows = link.rows(
                _TAKE, (self._owner, self._pid, self._host, self._lease_s, self._lease_s)
            )
            if rows:
                self._epoch = rows[0][0]
                return
            for pid, host, since, until, remaining_s in link.rows(_LOOK):
                # It was renewed while we looked, or it lasts for longer than we would wait.
                if seen not in (None, until) or remaining_s > LEASE_S_MAX:
                    link.drop()
                    locked = StoreLocked(self._place, pid=pid, host=host, since=since)
                    if remaining_s > LEASE_S_MAX:  # no living owner has said so by this clock
                        locked.remedy = _REMEDY.format(s=remaining_s, schema=self._place)
                    raise locked
                seen = until
                link.rows("SELECT pg_sleep(%s)", (min(LOOK_EVERY_S, max(remaining_s, 0.0)),))
