"""`python -m mission_control_desktop.providers.conformance KIND --peer MODULE:NAME`."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from mission_control_desktop.providers.conformance.checks import CHECKS
from mission_control_desktop.providers.conformance.peer import Peer
from mission_control_desktop.providers.conformance.running import all_kept, run_checks, table
from mission_control_desktop.providers.conformance.verdict import Outcome, Verdict


def main(argv: Sequence[str] | None = None) -> int:
    """0 if every promise that applies is kept, 1 if one is broken, 2 if the checks could not be run."""
    parser = argparse.ArgumentParser(
        prog="python -m mission_control_desktop.providers.conformance",
        description="Check an adapter (entry point group mission_control.providers) against the provider contract.",
    )
    parser.add_argument("kind", nargs="?", help="the name of the adapter's entry point")
    parser.add_argument("--peer", metavar="MODULE:NAME", help="what makes the peer, called without arguments")
    parser.add_argument("--only", metavar="CHECK", action="append", help="run this check alone; can be given often")
    parser.add_argument("--list", action="store_true", help="print the checks and what each promises")
    given = parser.parse_args(argv)
    if given.list:
        print("\n".join(f"{one.name}\n    {one.promise}" for one in CHECKS))
        return 0
    if given.kind is None or given.peer is None:
        parser.error("KIND and --peer are needed")
    try:
        make = _load(given.peer)
        outcomes = asyncio.run(run_checks(given.kind, make(), only=given.only, told=_tell))
    except (ImportError, AttributeError, ValueError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(table(outcomes, title=f"conformance of {given.kind}"))
    return 0 if all_kept(outcomes) else 1


def _load(place: str) -> Callable[[], Peer]:
    module, colon, name = place.partition(":")
    if not colon:
        raise ValueError(f"--peer takes MODULE:NAME, not {place}")
    sys.path.insert(0, str(Path.cwd()))
    found: Any = getattr(importlib.import_module(module), name)
    return cast(Callable[[], Peer], found)


def _tell(outcome: Outcome) -> None:
    if outcome.verdict is Verdict.BROKEN:
        print(f"BROKEN {outcome.check.name}: {outcome.check.promise}\n    {outcome.detail}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
