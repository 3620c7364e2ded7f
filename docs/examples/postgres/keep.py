"""Keeps sessions in PostgreSQL: `python keep.py 'host=localhost dbname=guide'`."""

import sys

from callboard.actors import AppendMessage, CreateSession, PostgresStore, Role, SessionSystem

dsn = sys.argv[1]

# begin keep
with SessionSystem(store=PostgresStore(dsn, schema="guide")) as sessions:
    ada = sessions.ask(CreateSession(user_id="ada")).id
    sessions.ask(AppendMessage(ada, Role.USER, "hello"))  # returns when it is on the disk

# Another process, after whatever has happened to this one.
with SessionSystem(store=PostgresStore(dsn, schema="guide")) as sessions:
    sessions.ask(AppendMessage(ada, Role.USER, "where were we?"))
    for message in sessions.messages(ada):
        print(message.seq, message.content)
# end keep
