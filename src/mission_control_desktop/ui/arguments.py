"""The window's arguments; read before Qt is imported."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mission_control_desktop import __version__


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The program's arguments. Exits with 2 on wrong ones."""
    parser = argparse.ArgumentParser(
        prog="mission-control-desktop", description="Watch, steer and stop many AI agents at once."
    )
    parser.add_argument("--demo", action="store_true", help="start the demo mission (real child processes, no key)")
    parser.add_argument("--connect", metavar="URL", help="use the control plane at this address")
    parser.add_argument(
        "--in-process", action="store_true", help="run the control plane inside this program; its agents live on"
    )
    parser.add_argument(
        "--tray", action="store_true", help="only the entry in the system tray, which stops everything without a window"
    )
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args(list(argv))
    if arguments.connect and arguments.in_process:
        parser.error("--connect and --in-process exclude each other")
    return arguments
