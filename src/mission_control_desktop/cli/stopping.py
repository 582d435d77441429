"""`kill-all` where the control plane does not answer: the keepers are told by a file, and what is left is looked at."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mission_control_desktop.cli.output import Output
from mission_control_desktop.client.stop_file import clear_stop_file, local_user, write_stop_file
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.kill import CONFIRM_WORDS, SCOPE_ALL
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER

ANSWER_SECONDS = 10.0
"""How long the control plane may take to begin a kill-all before it is done without it."""
DEAD_SECONDS = 20.0
LOOK_SECONDS = 0.2

Living = Callable[[Path], Mapping[str, int]]
"""The sessions of a data directory whose processes live, by native id, and how many; blocking."""
Sweep = Callable[[Path], None]
"""Ends what keepers that are gone have left in a data directory; blocking."""


@dataclass(frozen=True, slots=True)
class Here:
    """How the agents of this computer are looked at, and those ended that nobody holds."""

    living: Living
    sweep: Sweep | None = None


async def clear(data_dir: Path, output: Output) -> int:
    there = await asyncio.to_thread(clear_stop_file, data_dir)
    text = "The stop file is removed; agents can be started again." if there else "There is no stop file."
    if output.json:
        output.document({"cleared": there})
    else:
        output.line(text)
    return 0


async def without_control_plane(data_dir: Path, args: Namespace, output: Output, why: str, here: Here) -> int:
    """0 only if nothing of any agent was seen to live in the end. BadInput for what the control plane would refuse."""
    if args.confirm != CONFIRM_WORDS:
        raise BadInput("confirm", f"To end everything, confirm with the words {CONFIRM_WORDS}.")
    if not args.reason.strip():
        raise BadInput("reason", "Say why: a reason is needed for this.")
    if args.scope not in (SCOPE_ALL, INTERNAL_PROVIDER):
        raise BadInput("scope", f"Without a control plane only agents of this computer are stopped, not {args.scope}.")
    before = await asyncio.to_thread(here.living, data_dir)
    path = await asyncio.to_thread(
        write_stop_file, data_dir, scope=args.scope, reason=args.reason.strip(), actor=local_user()
    )
    output.note(
        f"The control plane does not answer ({why}), so it was done without it: the keepers of the agents obey {path}. "
        "They are killed within seconds; the audit log is written when a control plane runs again. Until "
        "'mission-control kill-all --clear-stop' nothing is started here. Agents elsewhere were not reached."
    )
    if here.sweep is not None:
        await asyncio.to_thread(here.sweep, data_dir)
    deadline = time.monotonic() + DEAD_SECONDS
    dead: set[str] = set()
    left = before
    while True:
        left = await asyncio.to_thread(here.living, data_dir)
        for session in sorted(set(before) - set(left) - dead):
            dead.add(session)
            if not output.json:
                output.line(f"{INTERNAL_PROVIDER}:{session}  dead")
                output.flush()
        if not left or time.monotonic() > deadline:
            break
        await asyncio.sleep(LOOK_SECONDS)
    if output.json:
        output.document({"stopFile": str(path), "dead": sorted(dead), "left": dict(left)})
    else:
        for session, count in sorted(left.items()):
            output.line(f"{INTERNAL_PROVIDER}:{session}  {count} processes are still there")
        output.line(f"{len(dead)} dead, {len(left)} left.")
    return 1 if left else 0
