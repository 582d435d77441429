"""Clean up after a keeper that was killed: end what it left, and say how that is known. Blocking: call it in a thread.

Found are the members of the cgroup that keeper.json names, the agent itself (pid and start time of the newest `start`
entry), every process that carries the keeper's marker in its environment, and the descendants of all these.

The cgroup is killed at one blow. Without one there is a race to be won: processes are stopped first, so that none can
fork away from the search, and then killed; one that forks and exits faster than /proc can be read is chased by the
pids that the kernel gives out, until none has been seen for a while. What then has neither marker nor a living parent
cannot be found by anyone.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import structlog

from mission_control_desktop.domain.sessions import ProcessInfo
from mission_control_desktop.orchestrator.keeper import processes
from mission_control_desktop.orchestrator.keeper.cgroup import Cgroup, Unusable, leftovers, own_cgroup, recorded
from mission_control_desktop.orchestrator.keeper.client import (
    Identity,
    JournalDamaged,
    KeeperError,
    keeper_alive,
    read_identity,
    read_journal,
)
from mission_control_desktop.orchestrator.keeper.place import JOURNAL, MARKER_VARIABLE
from mission_control_desktop.orchestrator.keeper.processes import Process
from mission_control_desktop.orchestrator.keeper.tree import BLOW_SECONDS

FREEZE_SECONDS = 0.05
"""How long a cgroup is given to stand still, so that what is killed can be named."""
STOP_ROUNDS = 10
QUIET_SECONDS, QUIET_AFTER_CHASE_SECONDS = 0.02, 0.25
_MARK = f"{MARKER_VARIABLE}=".encode()
MAX_NEW_PIDS = 4000
"""More new pids than that are not looked at one by one, but with all others."""
_log = structlog.get_logger(__name__)


class Swept(msgspec.Struct, frozen=True, kw_only=True):
    """What `kill_tree_of_dead_keeper` found: processes that were killed, and those that would not die (a pid 0 stands
    for what cannot be seen from here). `rebooted`: the computer was started anew since, so that there was nothing to
    look for. `held_by` as in the `start` entry."""

    killed: tuple[ProcessInfo, ...]
    left: tuple[ProcessInfo, ...]
    rebooted: bool = False
    held_by: str = "sub-reaper"


def kill_tree_of_dead_keeper(directory: Path, *, seconds: float = 5.0) -> Swept:
    """End what the keeper of this directory left, in `seconds` at most. Raises KeeperError if the keeper lives."""
    if keeper_alive(directory):
        raise KeeperError("the keeper lives: ask it")
    identity = read_identity(directory)
    if identity is not None and not identity.of_this_boot:
        return Swept(killed=(), left=(), rebooted=True)
    group = cgroup_of(directory, identity)
    hunt = _Hunt(_last_start(directory), identity, group)
    left = hunt.run(time.monotonic() + seconds)
    remaining = {process.id for process in left}
    gone = tuple(info for id_, info in hunt.hit.items() if id_ not in remaining)
    stay = tuple(info for id_, info in hunt.hit.items() if id_ in remaining)
    if not stay and (not hunt.quiet or (group is not None and group.populated)):
        stay = (ProcessInfo(pid=0, start_time=0, ppid=0, command="[cannot be seen from here]", state="?"),)
    if group is not None and not stay and not group.remove():
        _log.warning("cgroup not removed", path=group.path)
    held_by = "sub-reaper" if group is None else "cgroup"
    if hunt.hit or stay:
        _log.warning("swept", directory=str(directory), killed=len(gone), left=len(stay), held_by=held_by)
    return Swept(killed=gone, left=stay, held_by=held_by)


def cgroup_of(directory: Path, identity: Identity | None) -> Cgroup | None:
    """The cgroup of the keeper that last held this directory, if it is still there."""
    if identity is None or not identity.of_this_boot:
        return None
    return recorded(str(directory), identity.cgroup, identity.marker)


class _Hunt:
    """`hit`: everything that was found, by pid and start time."""

    def __init__(self, agent: tuple[int, int] | None, identity: Identity | None, group: Cgroup | None) -> None:
        self._agent = agent
        self._marker = None if identity is None else identity.marker
        self._group = group
        self._me = os.getpid()
        self.quiet = True
        """Whether the chase came to an end. If not, more is being forked than can be found."""
        self.hit: dict[tuple[int, int], ProcessInfo] = {}

    def run(self, deadline: float) -> list[Process]:
        """What is left when nothing is found any more, or when the time is over."""
        self._kill_group()
        for _ in range(STOP_ROUNDS):
            newest, found = newest_pid(), self._find()
            new = [process for process in found if process.id not in self.hit]
            for process in new:
                self._take(process, signal.SIGSTOP)
            if not new:
                break
        clean = 0
        while True:
            for process in found:
                self._take(process, signal.SIGKILL)
            self.quiet = self._chase(newest, deadline)
            clean = clean + 1 if self.quiet and not found else 0
            if clean == 2 or time.monotonic() >= deadline:
                return found
            if found:
                time.sleep(0.01)
                self._kill_group()
            newest, found = newest_pid(), self._find()

    def _kill_group(self) -> None:
        """At one blow; what that leaves is found as a member, and killed by itself (see `tree`)."""
        group = self._group
        if group is None or not group.populated or self._me in group.pids():
            return  # who is in it himself kills one by one
        listed = time.monotonic() + FREEZE_SECONDS
        if group.freeze(True):
            while not group.frozen and time.monotonic() < listed:
                time.sleep(0.001)
        members = self._members()
        for process in members:
            self.hit.setdefault(process.id, _info(process))
        if group.kill():
            blow = time.monotonic() + BLOW_SECONDS
            while group.populated and time.monotonic() < blow:
                time.sleep(0.001)

    def _members(self) -> list[Process]:
        pids = [] if self._group is None else self._group.pids()
        found = (processes.read_process(pid) for pid in pids if pid != self._me)
        return [process for process in found if process is not None and not process.ended]

    def _take(self, process: Process, number: int) -> None:
        self.hit.setdefault(process.id, _info(process))
        processes.send_signal(process, number)

    def _marked(self, pid: int) -> bool:
        return self._marker is not None and marker_of(pid) == self._marker

    def _find(self) -> list[Process]:
        everything = processes.all_processes()
        members = {process.pid for process in self._members()}
        roots = [
            process
            for process in everything
            if process.pid != self._me
            and not process.ended
            and (
                process.id == self._agent
                or process.id in self.hit
                or process.pid in members
                or self._marked(process.pid)
            )
        ]
        below = processes.descendants([process.pid for process in roots], everything)
        return roots + [process for process in below if process.pid != self._me]

    def _chase(self, after: int, deadline: float) -> bool:
        """Kill what gets a pid beyond `after` and carries the mark, until none has for a while. False if some still do
        at the deadline, or if too many pids are new to be looked at one by one."""
        if self._marker is None:
            return True
        quiet = time.monotonic() + QUIET_SECONDS
        while (now := time.monotonic()) < quiet:
            if now >= deadline:
                return False
            newest = newest_pid()
            if not 0 <= newest - after <= MAX_NEW_PIDS:
                return False
            for pid in range(newest, after, -1):
                if not self._marked(pid) or not _leads(pid):
                    continue
                if (process := processes.read_process(pid)) is not None:
                    self._take(process, signal.SIGKILL)
                    quiet = time.monotonic() + QUIET_AFTER_CHASE_SECONDS
            after = newest
        return True


def marker_of(pid: int) -> str | None:
    """The marker in the environment of a process: of the keeper that it was started below."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            variables = file.readall().split(b"\0")
    except OSError:  # gone, or another user's
        return None
    return next((one[len(_MARK) :].decode("ascii", "replace") for one in variables if one.startswith(_MARK)), None)


def _leads(pid: int) -> bool:
    """Whether the number is a process's; threads have numbers of the same series."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            return b"\nTgid:\t%d\n" % pid in file.read(4096)
    except OSError:
        return False


def newest_pid() -> int:
    """The pid that was given last."""
    with open("/proc/loadavg", "rb", buffering=0) as file:
        return int(file.read(200).split()[-1])


def remove_leftover_cgroups(agents: Path, known: Iterable[Path]) -> None:
    """Remove the cgroups of this directory's keepers that crashes have left: empty ones, and those of sessions whose
    files are gone. Others are their sessions' (`known`, directories that are still taken care of). For the time when
    no keeper is being started."""
    parents = set()
    try:
        parents.add(own_cgroup())
    except Unusable as reason:
        _log.debug("no cgroup of our own", reason=str(reason))
    keep = {path.name for path in known}
    for path in (agents / name for name in keep):
        identity = read_identity(path)
        if identity is not None and identity.cgroup and identity.of_this_boot:
            parents.add(os.path.dirname(identity.cgroup))
    for session, group in leftovers(str(agents), parents):
        directory = agents / session
        if keeper_alive(directory) or _held(directory) or (group.populated and session in keep):
            continue
        if group.populated:
            _log.warning("processes of a session without files are killed", path=group.path, pids=group.pids())
            hunt = _Hunt(None, None, group)
            hunt.run(time.monotonic() + 5.0)
        if group.remove():
            _log.info("leftover cgroup removed", path=group.path)


def _held(directory: Path) -> bool:
    """Whether a keeper holds the journal of this directory: it may be just starting."""
    try:
        fd = os.open(directory / JOURNAL, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _last_start(directory: Path) -> tuple[int, int] | None:
    found = None
    try:
        for entry in read_journal(directory):
            if entry.kind == "start" and entry.data and "pid" in entry.data:
                found = (int(entry.data["pid"]), int(entry.data["startTime"]))
    except JournalDamaged:
        _log.warning("journal_damaged", directory=str(directory))
    return found


def _info(process: Process) -> ProcessInfo:
    return ProcessInfo(
        pid=process.pid,
        start_time=process.start,
        ppid=process.ppid,
        command=processes.command_line(process),
        state=process.state,
        escaped=True,
    )
