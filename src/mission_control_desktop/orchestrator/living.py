"""What lives of a data directory's sessions, by /proc, and an end for what no keeper holds any more: for those who
cannot ask the control plane. Blocking."""

from __future__ import annotations

from pathlib import Path

from mission_control_desktop.orchestrator.directories import session_directories
from mission_control_desktop.orchestrator.keeper.client import KeeperError, keeper_alive, read_identity
from mission_control_desktop.orchestrator.keeper.processes import Process, all_processes, descendants
from mission_control_desktop.orchestrator.sweep import cgroup_of, kill_tree_of_dead_keeper, marker_of


def living_sessions(data_dir: Path) -> dict[str, int]:
    """By native id, how many processes live below its keeper, in its cgroup, or with the mark of a keeper that was
    killed."""
    everything = [process for process in all_processes() if not process.ended]
    found: dict[str, int] = {}
    marked: dict[str, list[Process]] | None = None
    for directory in session_directories(data_dir / "agents"):
        identity = None if directory.ended else read_identity(directory.path)
        if identity is None or not identity.of_this_boot:
            continue
        group = cgroup_of(directory.path, identity)
        members = set(group.pids()) if group is not None else set()
        if keeper_alive(directory.path):
            below = descendants([identity.pid], everything)
        else:
            marked = _by_mark(everything) if marked is None else marked
            roots = marked.get(identity.marker, [])
            below = roots + descendants([process.pid for process in roots], everything)
        living = {process.pid for process in below} | {one.pid for one in everything if one.pid in members}
        if living:
            found[directory.session_id] = len(living)
    return found


def end_what_has_no_keeper(data_dir: Path) -> None:
    """Kill what keepers that were killed have left: no stop file reaches it. What the next start makes of its sessions
    is the same as if it had found the processes itself."""
    for directory in session_directories(data_dir / "agents"):
        if not directory.ended and not keeper_alive(directory.path):
            try:
                kill_tree_of_dead_keeper(directory.path)
            except KeeperError:  # one has been started meanwhile: it sees the file
                continue


def _by_mark(everything: list[Process]) -> dict[str, list[Process]]:
    """Processes by the marker of the keeper that they were started below."""
    found: dict[str, list[Process]] = {}
    for process in everything:
        if (marker := marker_of(process.pid)) is not None:
            found.setdefault(marker, []).append(process)
    return found
