"""One session: its states, its data, its place in the table and the actor that runs it."""
