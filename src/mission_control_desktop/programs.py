"""The programs, put together: the one place that knows both the service and its clients."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from mission_control_desktop.domain.mission_control import MissionControl, People

# Everything else is imported where it is needed: `mission-control --help` must not wait for a database or for Qt.


def control(argv: Sequence[str] | None = None) -> int:
    """`mission-control`."""
    from mission_control_desktop.cli.main import Program, main

    return main(
        sys.argv[1:] if argv is None else argv,
        programs={"serve": Program(about="run the control plane", run=_serve)},
        offline=_offline,
        at_rest=open_at_rest,
    )


def desktop(argv: Sequence[str] | None = None) -> int:
    """`mission-control-desktop`."""
    from mission_control_desktop.ui.application import run

    return run(sys.argv[1:] if argv is None else argv, in_process=open_in_process)


async def open_in_process() -> MissionControl:
    """A whole control plane on this event loop; closing what is returned closes it. Its agents live on.

    It has its own door on a loopback port as well: agents reach their sub-agents through it.
    """
    from mission_control_desktop.client.paths import data_dir
    from mission_control_desktop.control.embedded import EmbeddedMissionControl
    from mission_control_desktop.domain.people import Principal, Role
    from mission_control_desktop.server.local_token import local_user
    from mission_control_desktop.server.running import Options, running

    stack = AsyncExitStack()
    served = await stack.enter_async_context(running(Options(data_dir=data_dir())))
    who = Principal(user_id=local_user(), role=Role.ADMIN)
    return EmbeddedMissionControl(served.plane, who, stack.aclose)


def _offline(data_dir: Path) -> AbstractAsyncContextManager[People]:
    from mission_control_desktop.server.offline import offline

    return offline(data_dir)


async def open_at_rest(data_dir: Path, database_url: str | None) -> MissionControl:
    """The record of a data directory that no control plane uses now, for its own account as an admin; closing what is
    returned lets go of it. Raises Unavailable if there is none, or if one runs."""
    from mission_control_desktop.control import assembly
    from mission_control_desktop.control.embedded import EmbeddedMissionControl
    from mission_control_desktop.domain.errors import Unavailable
    from mission_control_desktop.domain.people import Principal, Role
    from mission_control_desktop.server import place
    from mission_control_desktop.server.local_token import local_user

    if database_url is None and not (data_dir / assembly.DATABASE_FILE).exists():
        raise Unavailable(
            f"No control plane runs here, and {data_dir} has no record. Give --data-dir, or --database-url if the "
            "record is in PostgreSQL."
        )
    async with AsyncExitStack() as stack:
        stack.enter_context(place.exclusive(place.prepare(data_dir)))
        plane = await stack.enter_async_context(
            assembly.open_plane(data_dir, database_url=database_url, orchestrator=False, attend=False)
        )
        who = Principal(user_id=local_user(), role=Role.ADMIN)
        return EmbeddedMissionControl(plane, who, stack.pop_all().aclose)


def _serve(argv: list[str]) -> int:
    from mission_control_desktop.client.paths import data_dir
    from mission_control_desktop.server.serve import main

    return main(argv, default_data_dir=data_dir({}))
