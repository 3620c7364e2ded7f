"""How does a client follow a session? It gets what it has missed, and then what comes."""

from __future__ import annotations

from callboard.actors.errors import StoreError
from callboard.actors.link_messages import AttachClient, DetachClient
from callboard.actors.sessions.committing import D
from callboard.actors.sessions.internal import LogGrew
from callboard.actors.sessions.linked import LinkedActor
from callboard.actors.sessions.linking import check_replay
from callboard.actors.sessions.links import ClientInfo, LinkState
from callboard.supervision import handles

OLDEST_SEQ = 1
"""The first message that a log in memory can give: it forgets none."""


class FollowedActor(LinkedActor[D]):
    """The part of a session's actor that has to do with the client that is attached to it."""

    @handles(AttachClient)
    def on_attach_client(self, message: AttachClient) -> ClientInfo:
        """Send a client what it has missed and what comes; one that was there is closed."""
        draft = self._working()
        session = draft.session
        check_replay(message.after_seq, oldest_seq=OLDEST_SEQ, last_seq=session.last_seq)
        self._touch()
        number = draft.next_version
        info = ClientInfo(
            kind=message.kind,
            peer=message.peer,
            attached_at=self.system.clock.wall_s(),
            acked_seq=message.after_seq,
            number=number,
        )
        self._services.connections.attach(self._row.id, number, message.sink, message.after_seq)
        self._note({"client": info})
        try:
            self.commit()
        except StoreError:
            self._services.connections.claim(self._row, number)
            raise
        self._look()
        return info

    @handles(DetachClient)
    def on_detach_client(self, message: DetachClient) -> None:
        """Have the client closed; harmless when there is none."""
        del message
        client = self._working().session.client
        if client is not None:
            self._take_away(client)

    def _log_grew(self) -> None:
        """Tell the client, if there is one, that there is more to send."""
        client = self._working().session.client
        if client is not None and client.status is LinkState.UP:
            self._tell(client, LogGrew())
