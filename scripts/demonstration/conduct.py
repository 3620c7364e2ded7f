"""The demonstration from its beginning to its verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scripts.demonstration.corpus import read_corpus
from scripts.demonstration.crew import ClientLostError
from scripts.demonstration.daemon import Daemon, DaemonError
from scripts.demonstration.door import RefusedError
from scripts.demonstration.giving_up import give_up_and_return
from scripts.demonstration.insisting import leaves
from scripts.demonstration.keeping import StoreName, keeping
from scripts.demonstration.options import Options
from scripts.demonstration.replaying import Run
from scripts.demonstration.showing import WRONG_SHOWN_MAX, Ticker
from scripts.demonstration.striking import NotHealedError
from scripts.demonstration.wire import NoAnswerError

QUICK: Final = 10
"""`--quick` replays one conversation of so many; so does the second daemon in any case."""

STORED: Final[Mapping[StoreName, str]] = {
    "memory": "none: what the daemon holds ends with it",
    "sqlite": "an SQLite file, which outlives the daemon",
    "postgres": "a PostgreSQL server of its own, which outlives the daemon",
}
"""Where sessions are kept, for people."""

FAILED: Final = (ClientLostError, DaemonError, NoAnswerError, NotHealedError, RefusedError)
"""What ends a run early, as a failure."""


async def conduct(options: Options) -> bool:
    """Run the whole demonstration; say whether all is well."""
    corpus = read_corpus(every=QUICK if options.is_quick else 1)
    messages = sum(len(each.messages) for each in corpus)
    ticker = Ticker(messages_max=messages)
    languages = len({each.language for each in corpus})
    share = f"each {QUICK}th of those of" if options.is_quick else "those of"
    ticker.say("A daemon hosts real conversations, while its parts are made to crash.")
    ticker.say(
        f"conversations  {len(corpus):,} with {messages:,} messages in {languages} languages:"
        f" {share} PyPI's chatterbot-corpus"
    )
    ticker.say(f"clients        {options.clients} processes; a session for each conversation")
    ticker.say(f"store          {STORED[options.store]}")
    wrong: list[str] = []
    with _daemon(options.store) as daemon:
        run = Run(daemon, options=options, corpus=corpus, ticker=ticker)
        try:
            await run.carry_out()
        except* FAILED as group:
            wrong += [f"{type(each).__name__}: {each}" for each in leaves(group)]
            wrong.append(f"the daemon's last words:\n{daemon.last_lines()}")
        lines = run.figures.lines()
        if lines:
            ticker.say("\nWhat came of it")
        for line in lines:
            ticker.say(line)
        wrong += run.wrong
    ticker.say(
        "\nTo give up on purpose: a second daemon, with more crashes of a part than its root bears"
    )
    with _daemon(options.store) as daemon:
        talks = corpus if options.is_quick else corpus[::QUICK]
        try:
            came = await give_up_and_return(daemon, talks, wrong)
            for title, sentence in zip(("ended", "back"), came, strict=False):
                ticker.say(f"{title:<14} {sentence}")
        except FAILED as error:
            wrong.append(f"{type(error).__name__}: {error}")
    ticker.say("\nVerdict")
    for sentence in wrong[:WRONG_SHOWN_MAX]:
        ticker.say(f"WRONG          {sentence}")
    if len(wrong) > WRONG_SHOWN_MAX:
        ticker.say(f"               and {len(wrong) - WRONG_SHOWN_MAX:,} more")
    ticker.say(
        f"not as it should be; the same crashes again: scripts/demo {options}"
        if wrong
        else f"all is well: of {messages:,} acknowledged messages none is missing, doubled"
        " or out of order"
    )
    return not wrong


@contextmanager
def _daemon(store: StoreName) -> Generator[Daemon]:
    with (
        tempfile.TemporaryDirectory(prefix="callboard-demo-") as folder,
        keeping(store, Path(folder)) as keeper,
    ):
        daemon = Daemon(Path(folder), keeper)
        try:
            yield daemon
        finally:
            daemon.kill()
