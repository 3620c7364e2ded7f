"""A store of the host's own: it keeps the last snapshot of each session, and refuses when off."""

from callboard.actors import (
    AppendMessage,
    CommitOutcome,
    CreateSession,
    MemoryStore,
    Role,
    Session,
    SessionEntry,
    SessionState,
    SessionSystem,
    StoreError,
)


# begin store
class Latest:
    """Keeps the last snapshot of each session, as long as it is on."""

    def __init__(self) -> None:
        self.kept: dict[str, Session] = {}
        self.is_on = True

    def commit(self, entry: SessionEntry) -> CommitOutcome:
        if not self.is_on:
            raise StoreError("it is switched off")
        session = entry.version.session
        if session.state is SessionState.CLEANED:
            self.kept.pop(session.id, None)
        else:
            self.kept[session.id] = session
        return MemoryStore().commit(entry)


# end store

# begin system
store = Latest()
with SessionSystem(store=store) as sessions:
    ada = sessions.ask(CreateSession(user_id="ada")).id
    sessions.ask(AppendMessage(ada, Role.USER, "one"))
    store.is_on = False
    try:
        sessions.ask(AppendMessage(ada, Role.USER, "two"))
    except StoreError as error:
        print(error)
    print(sessions.get(ada).last_seq, store.kept[ada].last_seq)
    store.is_on = True
    print(sessions.ask(AppendMessage(ada, Role.USER, "two")))
# end system
