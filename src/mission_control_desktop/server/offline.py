"""Tokens and members of a data directory in which no control plane runs: the same record, the same audit rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mission_control_desktop.control.assembly import open_plane
from mission_control_desktop.control.service import MissionControlService
from mission_control_desktop.domain.people import Principal, Role
from mission_control_desktop.server import place
from mission_control_desktop.server.local_token import local_user


@asynccontextmanager
async def offline(data_dir: Path) -> AsyncIterator[MissionControlService]:
    """The account that may write the directory, as an admin. Holds the directory meanwhile; raises Unavailable if a
    control plane has it."""
    path = await asyncio.to_thread(place.prepare, data_dir)
    with place.exclusive(path):
        async with open_plane(path, orchestrator=False, attend=False) as plane:
            yield plane.bind(Principal(user_id=local_user(), role=Role.ADMIN))
