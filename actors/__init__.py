"""Supervised sessions for a long-running daemon: state that outlives every crash.

This is the public door; `callboard.actors.testing` is the test kit.
What is behind neither may change any day.
"""

if __name__ != "callboard.actors":
    msg = (
        "this folder is callboard.actors: install the project (scripts/setup),"
        " then import callboard.actors"
    )
    raise ImportError(msg)

__all__: list[str] = []
