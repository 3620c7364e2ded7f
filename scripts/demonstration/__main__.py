"""The command line of the demonstration."""

from __future__ import annotations

import argparse
import asyncio
import sys

from scripts.demonstration.conduct import conduct
from scripts.demonstration.crash_one import crash_one
from scripts.demonstration.keeping import STORES
from scripts.demonstration.options import Options
from tests.storage.postgres_server import Missing


def main() -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=Options().seed)
    parser.add_argument("--clients", type=int, default=Options().clients)
    parser.add_argument("--store", choices=STORES, default=Options().store)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--sabotage", action="store_true")
    parser.add_argument("--crash-one", action="store_true")
    given = parser.parse_args()
    if given.crash_one:
        crash_one()
        return 0
    if given.clients < 1:
        parser.error("--clients wants 1 or more")
    options = Options(
        seed=given.seed,
        clients=given.clients,
        is_quick=given.quick,
        is_sabotaged=given.sabotage,
        store=given.store,
    )
    try:
        return 0 if asyncio.run(conduct(options)) else 1
    except Missing as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
