"""Sessions that outlive their process: what a reply has confirmed is in the file."""

import tempfile
from pathlib import Path

from callboard.actors import AppendMessage, CreateSession, Keeping, Role, SessionSystem

folder = Path(tempfile.mkdtemp())

# begin keep
store = folder / "sessions.db"
keeping = Keeping(max_idle_s=30 * 86_400)  # else who is idle for an hour is ended, kept or not

with SessionSystem(store=store, keeping=keeping) as sessions:
    ada = sessions.ask(CreateSession(user_id="ada")).id
    sessions.ask(AppendMessage(ada, Role.USER, "hello"))  # returns when it is on the disk

# Another process, after whatever has happened to this one.
with SessionSystem(store=store, keeping=keeping) as sessions:
    print(sessions.get(ada).presence)
    sessions.ask(AppendMessage(ada, Role.USER, "where were we?"))
    for message in sessions.messages(ada):
        print(message.seq, message.content)
# end keep
