"""What was asked for on the command line?"""

from __future__ import annotations

import msgspec

from scripts.demonstration.keeping import StoreName


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is to be.

    Args:
        seed: chooses what crashes when.
        clients: how many client processes.
        is_quick: a tenth of the corpus.
        is_sabotaged: lose one message that was acknowledged.
        store: where the daemon keeps its sessions.
    """

    seed: int = 1
    clients: int = 4
    is_quick: bool = False
    is_sabotaged: bool = False
    store: StoreName = "sqlite"

    def __str__(self) -> str:
        words = [f"--seed {self.seed}", f"--clients {self.clients}"]
        words += [f"--store {self.store}"]
        words += ["--quick"] * self.is_quick + ["--sabotage"] * self.is_sabotaged
        return " ".join(words)
