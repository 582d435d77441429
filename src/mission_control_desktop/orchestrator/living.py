"""Which sessions of a data directory have living processes, by /proc: for those who do not ask the control plane."""

from __future__ import annotations

from pathlib import Path

from mission_control_desktop.orchestrator.directories import session_directories
from mission_control_desktop.orchestrator.keeper.client import keeper_alive, read_identity
from mission_control_desktop.orchestrator.keeper.processes import all_processes, descendants


def living_sessions(data_dir: Path) -> dict[str, int]:
    """By native id, how many processes live below its keeper. Blocking."""
    everything = all_processes()
    found: dict[str, int] = {}
    for directory in session_directories(data_dir / "agents"):
        identity = None if directory.ended else read_identity(directory.path)
        if identity is None or not keeper_alive(directory.path):
            continue
        count = len(descendants([identity.pid], everything))
        if count:
            found[directory.session_id] = count
    return found
