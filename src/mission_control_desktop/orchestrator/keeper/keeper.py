"""The keeper: holds one agent, so that the agent outlives whoever controls it.

    python -I -S start.py DIR

DIR/launch.json says what to start ({command, cwd, env} and optional limits, see `Limits`). The keeper forks into the
background (own session); the process that was started exits with 0 as soon as the socket answers and the first entry
is in the journal, with another code and a message on standard error if that failed. Standard library and the
files beside this one only, all loaded at the start: a keeper runs on for days while the program around it is replaced.

**Journal.** DIR/journal.jsonl, one entry per line, numbered from 1 without gaps (shapes: `orchestrator.core.entries`;
what happens on a full disk and to floods: `journal`). Beyond `pendingBytes` that cannot be written the keeper stops
reading the agent's output: the agent then waits in its own write.

**Socket.** DIR/keeper.sock, lines of JSON. Any connection may ask `ps` and `quit`; `send`, `cmd` and `do` are for the
one attached client; a newer `attach` replaces it (it reads {"op": "replaced"} and the end). Every request may have an
`id` that its reply repeats.

    {"op":"attach","after":n,"window":bytes?}   {"op":"attached","last":N,"pid","startTime","agentPid","journal":error?}
                                                then the journal's lines from n + 1, live and for ever
    {"op":"read","bytes":n}                     no reply. The client consumed so much: with a `window`, entries are only
                                                sent while fewer bytes than that are on the way; so a client that is
                                                busy with one entry still sees replies
    {"op":"send","key":k,"line":s}              {"op":"ok"}, or {"op":"ok","duplicate":true} if the key is known
    {"op":"cmd","data":{...}}                   {"op":"ok","n":number of the entry}
    {"op":"do","key":k,"what":w}                {"op":"ok"}; the result is the `did` entry
    {"op":"ps"}                                 {"op":"ps","processes":[...],"journal":error?}
    {"op":"quit"}                               {"op":"ok"}, then the keeper exits
    (refusal)                                   {"op":"error","code":"full|gone|busy|detached|bad","message":...}

An agent that says much in small pieces is read every 8 ms (see `agent`), and its entries go out together. What it has
said stands in the journal before what is asked of it then.

`out` is journaled when the last byte of the line is in the agent's pipe. A client is served from the journal file by
position, with 64 KiB read ahead: one that is stuck costs nothing.

**Processes** are the descendants of the keeper, which is their sub-reaper: nothing that the agent starts can leave.
Where a cgroup v2 can be made (see `cgroup`; `cgroup: false` in launch.json forbids it) the agent is in one before it
runs: then it is frozen and killed at one blow, also after the keeper's own death, and `populated 0` verifies that. The
`start` entry says which way it is held (`heldBy`), and why there is no cgroup. Processes are named by pid and start
time and signalled through a pidfd, so that a pid that was given again is never hit. The agent finds
MISSION_CONTROL_KEEPER=marker in its environment, and so do all its descendants; DIR/keeper.json repeats the marker and
names the cgroup, for whoever has to clean up after a keeper that was killed.

**Stop file.** While something of the agent lives, the keeper looks once a second for an order to stop (see `stopfile`)
at the path `stopFile` of launch.json: it journals it (`stop`: who, why), kills the tree, verifies that and journals the
`did`, with or without a client. While one lies there no agent is started.

**Signals.** SIGHUP and SIGINT are ignored. SIGTERM ends the agent in order (SIGTERM to the tree, after 5 s SIGKILL) and
then the keeper: a keeper never leaves its agent alone by choice. **End**: on `quit` (refused while processes live), or
when no process and no client has been there for `lingerSeconds` (10 minutes); the journal stays.

Measured (CPython 3.11, Linux 6.18, x86-64, 2 cores): 5.1 MB PSS each (20 idle keepers), 7 MB after 200 MB of output;
lines of 100 bytes: 440,000 to 560,000/s journaled, and as many replayed to a client and decoded; of 2,000 bytes: 28,000
to 46,000/s and 55,000 to 168,000/s. A line of nearly 32 MiB takes it to 73 MB RSS for a moment.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time

from mission_control_desktop.orchestrator.keeper.acting import Actions
from mission_control_desktop.orchestrator.keeper.agent import Agent
from mission_control_desktop.orchestrator.keeper.cgroup import Unusable, create
from mission_control_desktop.orchestrator.keeper.journal import Journal
from mission_control_desktop.orchestrator.keeper.place import (
    IDENTITY,
    MARKER_VARIABLE,
    Limits,
    complain,
    prepare,
    write_file,
)
from mission_control_desktop.orchestrator.keeper.processes import boot_id, read_process
from mission_control_desktop.orchestrator.keeper.serving import Refused, Server
from mission_control_desktop.orchestrator.keeper.spawn import spawn
from mission_control_desktop.orchestrator.keeper.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from mission_control_desktop.orchestrator.keeper.cgroup import Cgroup

SHUTDOWN_SECONDS = 0.25
"""How far apart the keeper and its agent may get the signals of a shutdown."""
MAX_COMPLAINTS = 50
PR_SET_CHILD_SUBREAPER = 36


class Keeper:
    """The loop. One thread; nothing in it waits for anyone."""

    def __init__(self, directory: int, launch: dict[str, Any], listener: socket.socket, journal_fd: int) -> None:
        self._launch = launch
        self.limits = limits = Limits(launch)
        self._now = time.monotonic
        self._poll = select.epoll()
        self.journal = Journal(journal_fd, self._now)
        self._agent = Agent(self._poll, self.journal, limits, self._now)
        self._server = Server(directory, listener, self._poll, self.journal, self, limits.line)
        self._keys: set[str] = set()
        self._pid = os.getpid()
        self._tree = Tree(self._pid, self._reap)
        self._actions = Actions(self._pid, self._tree, self._agent, self.journal, limits)
        self._ending = self._quit = False
        self._exit_at: float | None = None
        self._no_group: str | None = None
        self._lonely_since: float | None = None
        self._look_at = 0.0
        me = read_process(self._pid)
        self._start_time = me.start if me else 0

    # -- start

    def hold(self, group: Cgroup | None, why_not: str | None = None) -> None:
        """What holds the tree beside the sub-reaper; or why there is no cgroup."""
        if self._tree.group is not None:
            self._tree.group.remove()
        self._tree.group, self._no_group = group, why_not

    def start_agent(self, marker: str, umask: int) -> None:
        """Start the agent and journal that it runs, or why it could not start."""
        command, cwd = self._launch.get("command"), self._launch.get("cwd")
        order = self._actions.stop_order()
        if order is not None:
            how = "mission-control kill-all --clear-stop, or remove the file"
            self.journal.entry("start", data={"error": f"{order.words()}; nothing is started until it is gone: {how}"})
            return
        try:
            if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
                raise ValueError("launch.json names no command")
            environment = dict(self._launch.get("env") or {})
            environment[MARKER_VARIABLE] = marker
            group = self._tree.group
            process, pipes, outside = spawn(command, cwd, environment, umask, group.path if group else None)
        except (OSError, ValueError, TypeError) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            name = command[0] if isinstance(command, list) and command else "the agent"
            self.journal.entry("start", data={"error": f"{name} could not be started: {reason}"})
            return
        if outside is not None:
            self.hold(None, outside)
        data: dict[str, Any] = {
            "pid": process.pid,
            "startTime": process.start,
            "keeperPid": self._pid,
            "keeperStartTime": self._start_time,
            "heldBy": self._tree.held_by,
        }
        if self._no_group is not None:
            data["noCgroup"] = self._no_group
        self.journal.entry("start", data=data)
        self._agent.adopt(process, pipes)

    # -- the loop

    def run(self) -> None:
        wake, signalled = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(signalled, False)
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        self._poll.register(wake, select.EPOLLIN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: None)
        self._reap()
        complaints = 0
        while not self._quit:
            try:
                for fd, events in self._poll.poll(self._timeout()):
                    if fd == wake:
                        self._signals(os.read(wake, 4096))
                    elif not self._agent.handle(fd):
                        self._server.handle(fd, events)
                self._turn()
            except Exception as error:  # noqa: BLE001 - an agent's life hangs on this loop: say it, go on
                complaints += 1
                if complaints <= MAX_COMPLAINTS:
                    complain(error)
                time.sleep(min(1.0, 0.01 * complaints))

    def _timeout(self) -> float:
        now = self._now()
        due = [now + 60.0]
        if self._actions:
            due.append(self._actions.at)
        if self.journal.error is not None:
            due.append(self.journal.retry_at)
        if self._agent.errors.dropped:
            due.append(self._agent.errors.tell_at)
        if not self._busy:
            due.append(self._look_at)
        if self._actions.stop_look_at is not None:
            due.append(self._actions.stop_look_at)
        if self._agent.gather_until is not None:
            due.append(self._agent.gather_until)
        if self._exit_at is not None and self._agent.status is not None:
            due.append(self._exit_at)
        return max(0.0, min(due) - now)

    def _turn(self) -> None:
        """What is due after events: retries, actions, back-pressure, and serving the clients."""
        now = self._now()
        if self.journal.error is not None and now >= self.journal.retry_at:
            self.journal.flush()
        errors = self._agent.errors
        if errors.dropped and now >= errors.tell_at and self.journal.error is None:
            errors.tell()
        self._actions.turn(now)
        self._exit_if_known()
        self._agent.regulate(now)
        self._server.serve_all()
        self._quit = self._quit or self._actions.all_ended
        self._look_whether_alone(now)

    @property
    def _busy(self) -> bool:
        return bool(self._server or self._actions or self.journal.pending or self._agent.process is not None)

    def _look_whether_alone(self, now: float) -> None:
        if self._busy:
            self._lonely_since, self._look_at = None, 0.0
        elif now >= self._look_at:
            self._look_at = now + 5.0
            if not self._tree.empty:
                self._lonely_since = None
                return
            if self._lonely_since is None:
                self._lonely_since = now
            end = self._lonely_since + self.limits.linger
            self._quit = self._quit or now >= end
            self._look_at = min(end, self._look_at)

    # -- signals and exits

    def _signals(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers and not self._ending:
            self._ending = True
            self._actions.end_in_order()
        self._reap()

    def _reap(self) -> None:
        agent = self._agent
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if agent.process is not None and pid == agent.pid:
                agent.status = status

    def _exit_if_known(self) -> None:
        """Journal the exit, after everything that the agent had written."""
        agent = self._agent
        if agent.status is None or not self._exit_ripe(agent.status):
            return
        agent.read_rest()
        status, agent.status, agent.process = agent.status, None, None
        agent.close_stdin()
        data: dict[str, Any] = {
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "left": self._actions.left(),
        }
        if self._ending:
            data["keeperEnding"] = True
        self.journal.entry("exit", data=data)

    def _exit_ripe(self, status: int) -> bool:
        """Whether the exit can be told now. Not amid a kill: what still dies is not left behind. One by SIGTERM waits
        a moment, and while the keeper ends everything until that is done: at a shutdown both get the signal, and the
        entry must say that it was not the agent's doing."""
        if self._actions.killing:
            return False
        if self._ending:
            return self._actions.tree_ended
        if self._quit or (os.waitstatus_to_exitcode(status) not in (-signal.SIGTERM, 143)):
            return True
        now = self._now()
        if self._exit_at is None:
            self._exit_at = now + SHUTDOWN_SECONDS
        return now >= self._exit_at

    # -- what clients ask

    def about(self) -> dict[str, Any]:
        """What an `attached` reply says of the keeper."""
        process = self._agent.process
        return {"pid": self._pid, "startTime": self._start_time, "agentPid": process.pid if process else None}

    def anyone(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Answer to what any connection may ask."""
        match request["op"]:
            case "ps":
                return {"op": "ps", "processes": self._actions.processes(), "journal": self.journal.error}
            case "quit":
                if self._agent.process is not None or not self._tree.empty:
                    raise Refused("busy", "processes of the agent still live")
                self._quit = True
                return {"op": "ok"}
        return None

    def attached(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer to what only the attached client may ask."""
        self._agent.read_gathered()
        match request["op"]:
            case "send":
                return self._once(str(request["key"]), lambda key: self._agent.send(key, str(request["line"])))
            case "do":
                return self._once(str(request["key"]), lambda key: self._actions.do(key, str(request["what"])))
            case "cmd":
                data = request["data"]
                if not isinstance(data, dict):
                    raise Refused("bad", "data is an object")
                if self.journal.pending_bytes > 2 * self.limits.pending:
                    raise Refused("full", f"the journal cannot be written: {self.journal.error}")
                return {"op": "ok", "n": self.journal.entry("cmd", data=data)}
            case other:
                raise Refused("bad", f"unknown request {other!r}")

    def _once(self, key: str, act: Callable[[str], None]) -> dict[str, Any]:
        """Do it unless the key was used; a refusal does not use it."""
        if key in self._keys:
            return {"op": "ok", "duplicate": True}
        act(key)
        self._keys.add(key)
        return {"op": "ok"}

    def close(self) -> None:
        """Say the last replies and remove the socket, and the cgroup if nothing lives in it."""
        self._server.close()
        if self._tree.group is not None:
            self._tree.group.remove()


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -I -S keeper.py DIR\n")
        return 2
    umask = os.umask(0o077)
    try:
        directory, launch, listener, journal = prepare(sys.argv[1])
    except BlockingIOError:
        sys.stderr.write("another keeper holds this directory\n")
        return 3
    except (OSError, ValueError) as error:
        sys.stderr.write(f"the keeper cannot start: {error}\n")
        return 1
    ready, tell = os.pipe()
    if os.fork() != 0:
        os.close(tell)
        return 0 if os.read(ready, 1) else 1
    os.close(ready)
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    keeper = Keeper(directory, launch, listener, journal)
    me = read_process(os.getpid())
    marker = os.urandom(16).hex()
    group, why_not = (None, "switched off")
    if keeper.limits.cgroup:
        try:
            group = create(os.readlink(f"/proc/self/fd/{directory}"), marker)
        except Unusable as reason:
            why_not = str(reason)
    identity = {
        "pid": os.getpid(),
        "startTime": me.start if me else 0,
        "marker": marker,
        "bootId": boot_id(),
        "cgroup": group.path if group else None,
    }
    keeper.hold(group, None if group else why_not)
    try:
        write_file(IDENTITY, json.dumps(identity).encode(), directory)
    except OSError as error:
        sys.stderr.write(f"the keeper cannot start: {error}\n")
        keeper.hold(None)
        return 1
    keeper.start_agent(marker, umask)
    os.write(tell, b"1")
    os.close(tell)
    try:
        keeper.run()
    finally:
        keeper.close()
    return 0
