"""The programs, put together: the one place that knows both the service and its clients."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mission_control_desktop.domain.mission_control import MissionControl

# Everything else is imported where it is needed: `mission-control --help` must not wait for a database or for Qt.


def control(argv: Sequence[str] | None = None) -> int:
    """`mission-control`."""
    lean_imports()
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["serve"]:
        return _serve(words[1:])  # without the command line's modules: a window may be waiting
    from mission_control_desktop.cli.main import Program, main

    return main(
        words,
        programs={"serve": Program(about="run the control plane", run=_serve)},
        at_rest=open_at_rest,
        living=_living,
        sweep=_sweep,
    )


def lean_imports() -> None:
    """Before anything else: keep out what libraries import where they find it and nothing here uses. Together it is
    more CPU time than all of the window until its first paint (`benchmarks/start.py`)."""
    # The command line of httpx, with click and rich; `import httpx` goes on without it.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    # Alembic's templates draw their errors with pygments, where they can.
    sys.modules.setdefault("mako.ext.pygmentplugin", None)  # type: ignore[arg-type]
    # structlog draws tracebacks with rich; msgspec takes from typing_extensions what `typing` has since Python 3.11.
    _import_without("structlog", "rich")
    _import_without("msgspec", "typing_extensions")


def lean_qt() -> None:
    """Before the window's modules: Qt for Python reads the source of every module that is imported after it, to see
    whether it names Qt and so may want `snake_case` or `true_property`, and the standard library keeps all of it in
    memory: 200,000 lines in 18 MiB, and a sixth of what the window's imports cost. Nothing here wants either."""
    importlib.import_module("shiboken6")
    feature = sys.modules.get("shibokensupport.feature")
    if hasattr(feature, "_mod_uses_pyside"):
        feature._mod_uses_pyside = _uses_no_feature  # type: ignore[union-attr]


def _uses_no_feature(_module: object) -> bool:
    return False


def _import_without(name: str, unused: str) -> None:
    """Import a module as if another one that it could do without were not installed."""
    if unused in sys.modules:
        return
    sys.modules[unused] = None  # type: ignore[assignment]
    try:
        importlib.import_module(name)
    finally:
        del sys.modules[unused]


def _living(data_dir: Path) -> Mapping[str, int]:
    from mission_control_desktop.orchestrator.living import living_sessions

    return living_sessions(data_dir)


def _sweep(data_dir: Path) -> None:
    from mission_control_desktop.orchestrator.living import end_what_has_no_keeper

    end_what_has_no_keeper(data_dir)


def desktop(argv: Sequence[str] | None = None) -> int:
    """`mission-control-desktop`."""
    gc.disable()  # what is imported stays: looking for garbage in it is a tenth of the start (`ui.garbage` goes on)
    words = list(sys.argv[1:] if argv is None else argv)
    if "--tray" in words and not {"-h", "--help"} & set(words):
        lean_imports()
        lean_qt()
        from mission_control_desktop.ui.tray.program import run as run_tray  # without a window's modules

        return run_tray(words, living=_living, sweep=_sweep)
    from mission_control_desktop.client import starting
    from mission_control_desktop.client.paths import data_dir
    from mission_control_desktop.ui.arguments import parse

    arguments, folder = parse(words), data_dir()
    named = arguments.connect or arguments.in_process
    # At once: the control plane starts while Qt is imported and the window painted.
    begun = None if named else starting.begin(folder, os.environ)
    lean_imports()
    lean_qt()
    from mission_control_desktop.ui.application import run

    return run(arguments, folder, in_process=open_in_process, begun=begun, living=_living, sweep=_sweep)


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


async def open_at_rest(data_dir: Path, database_url: str | None, *, new: bool = False) -> MissionControl:
    """The record of a data directory that no control plane uses now, for its own account as an admin; closing what is
    returned lets go of it. `new`: make a record if there is none. Raises Unavailable if there is none, if its master
    key is not here, or if a control plane runs."""
    from mission_control_desktop.control import assembly
    from mission_control_desktop.control.embedded import EmbeddedMissionControl
    from mission_control_desktop.domain.errors import Unavailable
    from mission_control_desktop.domain.people import Principal, Role
    from mission_control_desktop.server import place
    from mission_control_desktop.server.local_token import local_user
    from mission_control_desktop.storage.master_keys import ENV_KEY, MasterKeys, take_from_environment

    def check() -> None:
        if database_url is None and not new and not (data_dir / assembly.DATABASE_FILE).exists():
            raise Unavailable(
                f"No control plane runs here, and {data_dir} has no record. Give --data-dir, or --database-url if the "
                "record is in PostgreSQL."
            )
        # The record of other control planes: a key that is made here would be unknown to them.
        if database_url is not None and MasterKeys(data_dir, take_from_environment()).place is None:
            raise Unavailable(
                f"The master key of this record is not here. Give it in {ENV_KEY}, or name the data directory of its "
                "control plane with --data-dir."
            )

    await asyncio.to_thread(check)
    async with AsyncExitStack() as stack:
        path = await asyncio.to_thread(place.prepare, data_dir)
        stack.enter_context(place.exclusive(path))
        plane = await stack.enter_async_context(
            assembly.open_plane(path, database_url=database_url, orchestrator=False, attend=False)
        )
        who = Principal(user_id=local_user(), role=Role.ADMIN)
        return EmbeddedMissionControl(plane, who, stack.pop_all().aclose)


def _serve(argv: list[str]) -> int:
    from mission_control_desktop.client.paths import data_dir
    from mission_control_desktop.server.serve import main

    return main(argv, default_data_dir=data_dir({}))
