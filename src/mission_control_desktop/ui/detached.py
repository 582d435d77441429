"""Our programs as processes of their own, which outlive the one that started them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mission_control_desktop.client import paths
from mission_control_desktop.client.processes import start_detached

PROGRAM = (sys.executable, "-m", "mission_control_desktop.desktop")


def start_tray(folder: Path, connect: str | None) -> int:
    """Start the tray of a data directory; its pid. One that runs already makes it end at once. Blocking; Unavailable if
    it cannot be started."""
    return _start(folder, connect, folder / paths.TRAY_LOG, "--tray")


def start_window(folder: Path, connect: str | None) -> int:
    """Start a window on a data directory; its pid. Blocking; Unavailable if it cannot be started."""
    return _start(folder, connect, folder / paths.WINDOW_LOG)


def _start(folder: Path, connect: str | None, log: Path, *arguments: str) -> int:
    where = ("--connect", connect) if connect else ()
    environ = {**os.environ, paths.ENV_DATA_DIR: str(folder)}
    return start_detached((*PROGRAM, *arguments, *where), environ=environ, log=log)
