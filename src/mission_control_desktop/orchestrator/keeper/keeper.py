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

`out` is journaled when the last byte of the line is in the agent's pipe. A client is served from the journal file by
position, with 64 KiB read ahead: one that is stuck costs nothing.

**Processes** are the descendants of the keeper, which is their sub-reaper: nothing that the agent starts can leave.
They are named by pid and start time and signalled through a pidfd, so that a pid that was given again is never hit.
The agent finds MISSION_CONTROL_KEEPER=marker in its environment, and so do all its descendants; DIR/keeper.json
repeats the marker, for whoever has to clean up after a keeper that was killed.

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
import fcntl
import json
import os
import select
import signal
import socket
import sys
import time
from collections import deque

from mission_control_desktop.orchestrator.keeper.journal import READ_BYTES, Errors, Journal, Output
from mission_control_desktop.orchestrator.keeper.processes import Process, boot_id, command_line, read_process
from mission_control_desktop.orchestrator.keeper.spawn import spawn
from mission_control_desktop.orchestrator.keeper.stopfile import StopFile, StopOrder
from mission_control_desktop.orchestrator.keeper.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from mission_control_desktop.orchestrator.keeper.tree import Action

MARKER_VARIABLE = "MISSION_CONTROL_KEEPER"
JOURNAL, SOCKET, LAUNCH, IDENTITY = "journal.jsonl", "keeper.sock", "launch.json", "keeper.json"

STDIN_LINES = 1024
MAX_CONNECTIONS = 16
REPLY_BYTES = 1 << 20
"""A client that leaves so many bytes of replies unread is not read from either."""
MAX_PIDS = 1000
END_SECONDS = 5.0
STOP_LOOK_SECONDS, STOP_AGAIN_SECONDS = 1.0, 2.0
SHUTDOWN_SECONDS = 0.25
"""How far apart the keeper and its agent may get the signals of a shutdown."""
PR_SET_CHILD_SUBREAPER = 36


class Limits:
    """What launch.json may set beside the command; sizes in bytes, times in seconds."""

    def __init__(self, launch: dict[str, Any]) -> None:
        self.line = int(launch.get("maxLineBytes") or 32 << 20)
        self.stderr_line = int(launch.get("stderrLineBytes") or 8192)
        self.pending = int(launch.get("pendingBytes") or 4 << 20)
        self.stdin = int(launch.get("stdinBytes") or 48 << 20)
        self.linger = float(launch.get("lingerSeconds") or 600)
        path = launch.get("stopFile")
        self.stop_file = StopFile(path) if isinstance(path, str) and path else None
        self.provider = str(launch.get("provider") or "")


# ------------------------------------------------------------------------------------------------------- clients


class Client:
    """One connection; `position` is None until it attaches."""

    def __init__(self, sock: socket.socket, longest: int) -> None:
        self.sock = sock
        self.incoming = bytearray()
        self.longest = longest
        self.out = b""
        self.replies: deque[bytes] = deque()
        self.reply_bytes = 0
        self.position: int | None = None
        self.credit: int | None = None
        self.within_entry = False
        self.mask = select.EPOLLIN

    def reply(self, message: dict[str, Any]) -> None:
        block = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"
        self.replies.append(block)
        self.reply_bytes += len(block)

    def fill(self, journal: Journal) -> None:
        """Have the next piece ready to be sent: replies first, but never within an entry."""
        if self.out:
            return
        if self.replies and not self.within_entry:
            self.out = b"".join(self.replies)
            self.replies.clear()
            self.reply_bytes = 0
            return
        if self.position is None or self.position >= journal.length:
            return
        if not self.within_entry and self.credit is not None and self.credit <= 0:
            return
        chunk = journal.read(self.position, READ_BYTES)
        end = chunk.rfind(b"\n") + 1
        if end:
            chunk = chunk[:end]
        self.within_entry = not end
        self.position += len(chunk)
        if self.credit is not None:
            self.credit -= len(chunk)
        self.out = chunk


class Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# -------------------------------------------------------------------------------------------------------- keeper


class Keeper:
    """The loop. One thread; nothing in it waits for anyone."""

    def __init__(self, directory: int, launch: dict[str, Any], listener: socket.socket, journal_fd: int) -> None:
        self._launch = launch
        self._limits = limits = Limits(launch)
        self._directory = directory
        self._now = time.monotonic
        self._poll = select.epoll()
        self._listener = listener
        self.journal = Journal(journal_fd, self._now)
        self._output = Output(self.journal, limits.line)
        self._errors = Errors(self.journal, limits.stderr_line, self._now, limits.pending)
        self._clients: dict[int, Client] = {}
        self._attached: Client | None = None
        self._keys: set[str] = set()
        self._stdin = self._stdout = self._stderr = -1
        self._reading_stdout = False
        self._queue: deque[tuple[str, str, bytes]] = deque()
        self._queue_bytes = 0
        self._written = 0
        self._agent: Process | None = None
        self._agent_pid = -1
        """Also when it has ended: what it left is judged by its group."""
        self._agent_status: int | None = None
        self._actions: deque[Generator[float, None, None]] = deque()
        self._action_at = 0.0
        self._ending = self._tree_ended = False
        self._stop_look_at: float | None = 0.0
        self._stopped_by: str | None = None
        self._exit_at: float | None = None
        self._quit = False
        self._lonely_since: float | None = None
        self._look_at = 0.0
        self._pid = os.getpid()
        self._tree = Tree(self._pid, self._reap)
        me = read_process(self._pid)
        self._start_time = me.start if me else 0

    # -- start

    def start_agent(self, marker: str, umask: int) -> None:
        """Start the agent and journal that it runs, or why it could not start."""
        command, cwd = self._launch.get("command"), self._launch.get("cwd")
        order = self._stop_order()
        if order is not None:
            how = "mission-control kill-all --clear-stop, or remove the file"
            self.journal.entry("start", data={"error": f"{order.words()}; nothing is started until it is gone: {how}"})
            return
        try:
            if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
                raise ValueError("launch.json names no command")
            environment = dict(self._launch.get("env") or {})
            environment[MARKER_VARIABLE] = marker
            self._agent, (self._stdin, self._stdout, self._stderr) = spawn(command, cwd, environment, umask)
        except (OSError, ValueError, TypeError) as error:
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            name = command[0] if isinstance(command, list) and command else "the agent"
            self.journal.entry("start", data={"error": f"{name} could not be started: {reason}"})
            return
        self._agent_pid = self._agent.pid
        self.journal.entry(
            "start",
            data={
                "pid": self._agent.pid,
                "startTime": self._agent.start,
                "keeperPid": self._pid,
                "keeperStartTime": self._start_time,
            },
        )
        self._poll.register(self._stdout, select.EPOLLIN)
        self._reading_stdout = True
        self._poll.register(self._stderr, select.EPOLLIN)

    # -- the loop

    def run(self) -> None:
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
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
                    elif fd == self._stdout:
                        self._read_stdout()
                    elif fd == self._stderr:
                        self._read_stderr()
                    elif fd == self._stdin:
                        self._write_stdin()
                    elif fd == self._listener.fileno():
                        self._accept()
                    elif client := self._clients.get(fd):
                        if client.mask & select.EPOLLIN:
                            self._read_client(client)
                        elif events & (select.EPOLLHUP | select.EPOLLERR):
                            self._drop(client)
                self._turn()
            except Exception as error:  # noqa: BLE001 - an agent's life hangs on this loop: say it, go on
                complaints += 1
                if complaints <= 50:
                    self._complain(error)
                time.sleep(min(1.0, 0.01 * complaints))

    def _complain(self, error: Exception) -> None:
        place, trace = "?", error.__traceback__
        while trace is not None:
            place, trace = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}", trace.tb_next
        sys.stderr.write(f"{time.time():.3f} {type(error).__name__}: {error} ({place})\n")
        sys.stderr.flush()

    def _timeout(self) -> float:
        now = self._now()
        due = [now + 60.0]
        if self._actions:
            due.append(self._action_at)
        if self.journal.error is not None:
            due.append(self.journal.retry_at)
        if self._errors.dropped:
            due.append(self._errors.tell_at)
        if not self._busy:
            due.append(self._look_at)
        if self._stop_look_at is not None:
            due.append(self._stop_look_at)
        if self._exit_at is not None and self._agent_status is not None:
            due.append(self._exit_at)
        return max(0.0, min(due) - now)

    def _turn(self) -> None:
        """What is due after events: retries, actions, back-pressure, and serving the clients."""
        now = self._now()
        if self.journal.error is not None and now >= self.journal.retry_at:
            self.journal.flush()
        if self._errors.dropped and now >= self._errors.tell_at and self.journal.error is None:
            self._errors.tell()
        if self._actions and now >= self._action_at:
            self._step()
        self._look_for_stop(now)
        self._exit_if_known()
        self._press_back()
        for client in list(self._clients.values()):
            self._serve(client)
        self._look_whether_alone(now)

    # -- the stop file

    def _stop_order(self) -> StopOrder | None:
        limits = self._limits
        order = limits.stop_file.look() if limits.stop_file is not None else None
        return order if order is not None and order.covers(limits.provider) else None

    def _look_for_stop(self, now: float) -> None:
        """Once a second while something lives, all keepers at the same moment: then the machine wakes once for all."""
        if self._limits.stop_file is None or self._agent is None:
            self._stop_look_at = None
            return
        if self._stop_look_at is not None and now < self._stop_look_at:
            return
        self._stop_look_at = now + STOP_LOOK_SECONDS - time.time() % STOP_LOOK_SECONDS
        order = self._stop_order()
        if order is None or order.id == self._stopped_by:
            return
        self._stopped_by = order.id
        key = f"stop-file:{order.id}"
        self.journal.entry("stop", data=order.data() | {"key": key})
        self._actions.appendleft(self._stop(key))
        self._action_at = 0.0

    def _stop(self, key: str) -> Generator[float, None, None]:
        yield from self._act(key, "kill", self._tree.kill())
        while self._stopped_by is not None and self._tree.walk() and self._stop_order() is not None:
            yield STOP_AGAIN_SECONDS
            yield from self._tree.kill()

    def _press_back(self) -> None:
        if self._stdout < 0:
            return
        reading = self.journal.pending_bytes <= self._limits.pending
        if reading != self._reading_stdout:
            # Unregistered, not merely masked: a hang-up is reported whatever the mask, and would spin.
            if reading:
                self._poll.register(self._stdout, select.EPOLLIN)
            else:
                self._poll.unregister(self._stdout)
            self._reading_stdout = reading

    @property
    def _busy(self) -> bool:
        return bool(self._clients or self._actions or self.journal.pending or not self._agent_gone)

    def _look_whether_alone(self, now: float) -> None:
        if self._busy:
            self._lonely_since, self._look_at = None, 0.0
        elif now >= self._look_at:
            self._look_at = now + 5.0
            if self._tree.walk():
                self._lonely_since = None
                return
            if self._lonely_since is None:
                self._lonely_since = now
            end = self._lonely_since + self._limits.linger
            self._quit = self._quit or now >= end
            self._look_at = min(end, self._look_at)

    @property
    def _agent_gone(self) -> bool:
        return self._agent is None

    # -- signals and exits

    def _signals(self, numbers: bytes) -> None:
        if signal.SIGTERM in numbers and not self._ending:
            self._ending = True
            self._actions.append(self._end_in_order())
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._agent is not None and pid == self._agent.pid:
                self._agent_status = status

    def _exit_if_known(self) -> None:
        """Journal the exit, after everything that the agent had written."""
        if self._agent_status is None or not self._exit_ripe():
            return
        for _ in range(64):  # a descendant may hold the pipe and go on writing: no more than 4 MiB of it
            if not self._read_stdout():
                break
        for _ in range(64):
            if not self._read_stderr():
                break
        self._output.end()
        self._errors.end()
        status, self._agent_status, self._agent = self._agent_status, None, None
        self._close_stdin()
        data: dict[str, Any] = {
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "left": [process.pid for process in self._tree.walk()[:MAX_PIDS]],
        }
        if self._ending:
            data["keeperEnding"] = True
        self.journal.entry("exit", data=data)

    def _exit_ripe(self) -> bool:
        """Whether the exit can be told now. One by SIGTERM waits a moment, and while the keeper ends everything until
        that is done: at a shutdown both get the signal, and the entry must say that it was not the agent's doing."""
        status = self._agent_status
        if self._ending:
            return self._tree_ended
        if status is None or self._quit or (os.waitstatus_to_exitcode(status) not in (-signal.SIGTERM, 143)):
            return True
        now = self._now()
        if self._exit_at is None:
            self._exit_at = now + SHUTDOWN_SECONDS
        return now >= self._exit_at

    def _end_in_order(self) -> Generator[float, None, None]:
        yield from self._act("keeper:sigterm", "term", self._tree.term())
        deadline = self._now() + END_SECONDS
        while self._tree.walk() and self._now() < deadline:
            yield 0.05
        if self._tree.walk():
            yield from self._act("keeper:sigkill", "kill", self._tree.kill())
        self._tree_ended = True
        deadline = self._now() + END_SECONDS
        while (self._agent is not None or self.journal.pending) and self._now() < deadline:
            yield 0.05
        self._quit = True

    # -- the agent's pipes

    def _read_stdout(self) -> bool:
        """Read once; whether there may be more."""
        if self._stdout < 0:
            return False
        try:
            data = os.read(self._stdout, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._output.feed(data)
            return True
        self._output.end()
        if self._reading_stdout:
            self._poll.unregister(self._stdout)
        os.close(self._stdout)
        self._stdout = -1
        return False

    def _read_stderr(self) -> bool:
        if self._stderr < 0:
            return False
        try:
            data = os.read(self._stderr, READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._errors.feed(data)
            return True
        self._errors.end()
        self._poll.unregister(self._stderr)
        os.close(self._stderr)
        self._stderr = -1
        return False

    def _send(self, key: str, line: str) -> bool:
        """Queue a line for the agent; False if the key was used before."""
        if key in self._keys:
            return False
        if "\n" in line:
            raise Refused("bad", "a line has no line break within")
        if self._agent_gone or self._stdin < 0:
            raise Refused("gone", "the agent does not take input any more")
        raw = line.encode("utf-8", "replace") + b"\n"
        if self._queue and (len(self._queue) >= STDIN_LINES or self._queue_bytes + len(raw) > self._limits.stdin):
            raise Refused("full", "the agent does not read its input: too much is waiting for it")
        if self.journal.pending_bytes > 2 * self._limits.pending:
            raise Refused("full", f"the journal cannot be written: {self.journal.error}")
        self._keys.add(key)
        self._queue.append((key, line, raw))
        self._queue_bytes += len(raw)
        if len(self._queue) == 1:
            self._poll.register(self._stdin, select.EPOLLOUT)
            self._write_stdin()
        return True

    def _write_stdin(self) -> None:
        while self._queue and self._stdin >= 0:
            key, line, raw = self._queue[0]
            try:
                self._written += os.write(self._stdin, memoryview(raw)[self._written : self._written + (1 << 20)])
            except BlockingIOError:
                return
            except OSError:
                lines = self._close_stdin()
                reason = "the agent closed its standard input"
                self.journal.entry(
                    "did",
                    data={"what": "eof", "key": None, "ok": True, "pids": [], "left": [], "ms": 0, "error": reason}
                    | {"dropped": lines},
                )
                return
            if self._written == len(raw):
                self._written = 0
                self._queue_bytes -= len(raw)
                self._queue.popleft()
                self.journal.entry("out", line=line, key=key)
        if self._stdin >= 0:
            self._poll.unregister(self._stdin)

    def _close_stdin(self) -> int:
        """Close the agent's input; how many lines that it has not taken are dropped."""
        lines = len(self._queue)
        if self._stdin >= 0:
            if self._queue:
                self._poll.unregister(self._stdin)
            os.close(self._stdin)
            self._stdin = -1
        self._queue.clear()
        self._queue_bytes = self._written = 0
        return lines

    # -- actions on the process tree: generators that yield the seconds until they want to go on

    def _step(self) -> None:
        try:
            self._action_at = self._now() + next(self._actions[0])
        except StopIteration:
            self._actions.popleft()
            self._action_at = 0.0

    def _act(self, key: str, what: str, action: Action) -> Generator[float, None, None]:
        began = self._now()
        try:
            hit, left, errors = yield from action
        except Exception as error:  # noqa: BLE001 - who asked must get an answer
            self._complain(error)
            hit, left, errors = [], self._tree.walk(), [f"{type(error).__name__}: {error}"]
        data: dict[str, Any] = {
            "what": what,
            "key": key,
            "ok": not errors if what == "term" else not left,
            "pids": [process.pid for process in hit[:MAX_PIDS]],
            "left": [process.pid for process in left[:MAX_PIDS]],
            "ms": round((self._now() - began) * 1000),
        }
        if what in ("term", "kill"):
            data["escaped"] = sum(map(self._escaped, hit))
        if errors:
            data["error"] = "; ".join(errors[:10])
        self.journal.entry("did", key=key, data=data)

    def _eof(self) -> Action:
        lines = self._close_stdin()
        yield 0.0
        return [], [], [f"{lines} lines had not been taken and were dropped"] if lines else []

    # -- clients

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CONNECTIONS:
            for other in list(self._clients.values()):
                if other is not self._attached:
                    self._drop(other)
                    break
        sock.setblocking(False)
        client = Client(sock, 6 * self._limits.line + READ_BYTES)
        self._clients[sock.fileno()] = client
        self._poll.register(sock.fileno(), client.mask)

    def _drop(self, client: Client) -> None:
        fd = client.sock.fileno()
        if self._clients.pop(fd, None) is None:
            return
        self._poll.unregister(fd)
        client.sock.close()
        if self._attached is client:
            self._attached = None

    def _read_client(self, client: Client) -> None:
        try:
            data = client.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(client)
            return
        client.incoming += data
        if b"\n" not in data:
            if len(client.incoming) > client.longest:
                self._drop(client)
            return
        *lines, client.incoming = client.incoming.split(b"\n")
        for line in lines:
            self._request(client, line)

    def _request(self, client: Client, line: bytearray) -> None:
        request: dict[str, Any] = {}
        try:
            parsed = json.loads(line)
            if not isinstance(parsed, dict):
                raise Refused("bad", "a request is an object")
            request = parsed
            answer = self._answer(client, request)
        except Refused as refusal:
            answer = {"op": "error", "code": refusal.code, "message": str(refusal)}
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            answer = {"op": "error", "code": "bad", "message": f"{type(error).__name__}: {error}"}
        if answer is not None:
            if "id" in request:
                answer["id"] = request["id"]
            client.reply(answer)

    def _answer(self, client: Client, request: dict[str, Any]) -> dict[str, Any] | None:
        match request["op"]:
            case "attach":
                return self._attach(client, int(request["after"]), request.get("window"))
            case "ps":
                return {"op": "ps", "processes": self._processes(), "journal": self.journal.error}
            case "quit":
                if self._agent is not None or self._tree.walk():
                    raise Refused("busy", "processes of the agent still live")
                self._quit = True
                return {"op": "ok"}
        if client is not self._attached:
            raise Refused("detached", "another client has taken over, or this one never attached")
        match request["op"]:
            case "read":
                if client.credit is not None:
                    client.credit += int(request["bytes"])
                return None
            case "send":
                fresh = self._send(str(request["key"]), str(request["line"]))
                return {"op": "ok"} if fresh else {"op": "ok", "duplicate": True}
            case "cmd":
                data = request["data"]
                if not isinstance(data, dict):
                    raise Refused("bad", "data is an object")
                if self.journal.pending_bytes > 2 * self._limits.pending:
                    raise Refused("full", f"the journal cannot be written: {self.journal.error}")
                return {"op": "ok", "n": self.journal.entry("cmd", data=data)}
            case "do":
                return self._do(str(request["key"]), str(request["what"]))
            case other:
                raise Refused("bad", f"unknown request {other!r}")

    def _attach(self, client: Client, after: int, window: int | None) -> dict[str, Any]:
        if after < 0:
            raise Refused("bad", "entries are numbered from 1")
        if client.within_entry:
            raise Refused("bad", "this connection is attached already")
        if self._attached is not None and self._attached is not client:
            older, self._attached = self._attached, client
            older.position = None
            older.reply({"op": "replaced"})
            self._serve(older)
            self._drop(older)
        self._attached = client
        client.position = self.journal.position_after(after)
        client.credit = int(window) if window is not None else None
        return {
            "op": "attached",
            "last": self.journal.number,
            "pid": self._pid,
            "startTime": self._start_time,
            "agentPid": self._agent.pid if self._agent else None,
            "journal": self.journal.error,
        }

    def _do(self, key: str, what: str) -> dict[str, Any]:
        if key in self._keys:
            return {"op": "ok", "duplicate": True}
        actions = {
            "freeze": self._tree.freeze,
            "thaw": self._tree.thaw,
            "term": self._tree.term,
            "kill": self._tree.kill,
            "eof": self._eof,
        }
        if what not in actions:
            raise Refused("bad", f"cannot {what!r}")
        if len(self._actions) >= 64:
            raise Refused("full", "too many actions are waiting")
        self._keys.add(key)
        action = self._act(key, what, actions[what]())
        if what == "kill":  # waits for nobody; what it interrupts finds nothing left to do
            self._actions.appendleft(action)
            self._action_at = 0.0
        else:
            self._actions.append(action)
        return {"op": "ok"}

    def _processes(self) -> list[dict[str, Any]]:
        return [
            {
                "pid": process.pid,
                "startTime": process.start,
                "ppid": process.ppid,
                "command": command_line(process),
                "state": process.state,
                "escaped": self._escaped(process),
            }
            for process in self._tree.walk()
        ]

    def _escaped(self, process: Process) -> bool:
        """Out of reach of a signal to the agent's process group: it left the group, or its parent died."""
        agent = self._agent_pid
        return process.pid != agent and (process.group != agent or process.ppid == self._pid)

    def _serve(self, client: Client) -> None:
        for _ in range(8):  # then someone else's turn
            client.fill(self.journal)
            if not client.out:
                break
            try:
                sent = client.sock.send(client.out)
            except BlockingIOError:
                break
            except OSError:
                self._drop(client)
                return
            client.out = client.out[sent:]
        mask = 0
        if client.reply_bytes < REPLY_BYTES:
            mask |= select.EPOLLIN
        client.fill(self.journal)
        if client.out:
            mask |= select.EPOLLOUT
        if mask != client.mask:
            client.mask = mask
            self._poll.modify(client.sock.fileno(), mask)

    def close(self) -> None:
        """Say the last replies and remove the socket."""
        for client in list(self._clients.values()):
            self._serve(client)
            self._drop(client)
        self._listener.close()
        try:
            os.unlink(SOCKET, dir_fd=self._directory)
        except OSError:
            return


# ---------------------------------------------------------------------------------------------------------- main


def write_file(name: str, content: bytes, directory: int) -> None:
    """Whole or not at all, mode 0600."""
    fd = os.open(name + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)
    os.replace(name + ".new", name, src_dir_fd=directory, dst_dir_fd=directory)


def prepare(path: str) -> tuple[int, dict[str, Any], socket.socket, int]:
    """Directory, launch data, listening socket and locked journal; raises OSError, ValueError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fd = os.open(LAUNCH, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with open(fd, "rb") as file:
        launch = json.loads(file.read())
    if not isinstance(launch, dict):
        raise ValueError("launch.json is no object")
    journal = os.open(JOURNAL, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory)
    fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until the keeper ends: there is one per directory
    if SOCKET in os.listdir(directory):
        os.unlink(SOCKET, dir_fd=directory)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.fchdir(directory)  # a socket's path is limited to 107 bytes: bind by its bare name
    listener.bind(SOCKET)
    os.chmod(SOCKET, 0o600)
    os.chdir("/")
    listener.listen(16)
    listener.setblocking(False)
    return directory, launch, listener, journal


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
    identity = {"pid": os.getpid(), "startTime": me.start if me else 0, "marker": marker, "bootId": boot_id()}
    try:
        write_file(IDENTITY, json.dumps(identity).encode(), directory)
    except OSError as error:
        sys.stderr.write(f"the keeper cannot start: {error}\n")
        return 1
    keeper.start_agent(marker, umask)
    os.write(tell, b"1")
    os.close(tell)
    try:
        keeper.run()
    finally:
        keeper.close()
    return 0
