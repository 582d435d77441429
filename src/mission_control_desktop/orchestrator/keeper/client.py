"""Start keepers, attach to them, read what they wrote.

`launch` and `attach` are for an event loop; `read_journal` and `keeper_alive` do plain file and process work: call them
in a thread. What a request to a keeper can raise:

KeeperError
├── KeeperNotStarted  `launch`: the message says why (it is the keeper's own)
├── KeeperGone        nobody listens, or the connection broke
│   └── KeeperReplaced    a newer client attached; do not attach again by yourself
├── KeeperRefused     the keeper said no; `code` is full | gone | busy | detached | bad
└── JournalDamaged    an entry in the middle of the journal cannot be read
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec

from mission_control_desktop.domain.limits import MAX_LINE_BYTES
from mission_control_desktop.domain.sessions import ProcessInfo
from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.environment import OURS
from mission_control_desktop.orchestrator.keeper import processes
from mission_control_desktop.orchestrator.keeper.place import IDENTITY, JOURNAL, LAUNCH, SOCKET

WINDOW_BYTES = 4 << 20
"""How many bytes of entries may be on the way to a client that has not consumed them; one entry may exceed it."""
REPLY_SECONDS = 30.0
READ_BYTES = 1 << 18


class KeeperError(Exception):
    pass


class KeeperNotStarted(KeeperError):
    pass


class KeeperGone(KeeperError):
    pass


class KeeperReplaced(KeeperGone):
    pass


class KeeperRefused(KeeperError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JournalDamaged(KeeperError):
    """`after` is the number of the last entry before the damage."""

    def __init__(self, path: Path, after: int) -> None:
        super().__init__(f"{path}: the entry after number {after} cannot be read")
        self.after = after


class Launch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What launch.json says. `env` is the agent's whole environment (the keeper adds its marker). Sizes in bytes."""

    command: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    max_line_bytes: int = MAX_LINE_BYTES
    stderr_line_bytes: int = 8192
    pending_bytes: int = 4 << 20
    """Beyond so much that cannot be written to the journal, the agent's output is no longer read."""
    stdin_bytes: int = 48 << 20
    """Beyond so much that the agent has not read, `send` is refused."""
    linger_seconds: float = 600.0
    stop_file: str | None = None
    """Where an order to stop everything would lie (see `stopfile`)."""
    provider: str = ""
    """Whose agent it is: a stop file may name one provider alone."""
    cgroup: bool = True
    """Whether a cgroup holds the agent where one can be made."""


class Identity(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """keeper.json."""

    pid: int
    start_time: int
    marker: str
    boot_id: str = ""
    cgroup: str | None = None
    """Where the agent was put, if anywhere."""

    @property
    def of_this_boot(self) -> bool:
        return not self.boot_id or self.boot_id == processes.boot_id()


_entries = msgspec.json.Decoder(Entry)


async def launch(directory: Path, launch: Launch, *, python: str = sys.executable, timeout: float = 20.0) -> None:
    """Start a keeper for this directory, which must exist (mode 0700). Its socket answers when this returns.

    An agent that cannot be started is not an error here: the journal's `start` entry says so. An existing journal is
    continued. Raises KeeperNotStarted.
    """
    file = directory / LAUNCH
    await asyncio.to_thread(_write_private, file, msgspec.json.encode(launch))
    log = os.open(directory / "keeper.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        began = os.fstat(log).st_size
        starter = await asyncio.create_subprocess_exec(
            python,
            "-I",
            "-S",
            str(Path(__file__).with_name("start.py")),
            str(directory),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
            env={name: value for name, value in os.environ.items() if not name.startswith(OURS)},
            start_new_session=True,
        )
    except OSError as error:
        raise KeeperNotStarted(f"the keeper could not be started: {error}") from error
    finally:
        os.close(log)
    try:
        async with asyncio.timeout(timeout):
            code = await starter.wait()
    except TimeoutError:
        starter.kill()
        await starter.wait()
        raise KeeperNotStarted(f"the keeper did not answer within {timeout:.0f} s") from None
    if code != 0:
        said = (directory / "keeper.log").read_bytes()[began:][-2000:].decode("utf-8", "replace").strip()
        raise KeeperNotStarted(said or f"the keeper ended at once with code {code}")


def _write_private(path: Path, content: bytes) -> None:
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        os.fchmod(fd, 0o600)
        file.write(content)
    os.replace(new, path)


def _connect(directory: Path) -> socket.socket:
    """A socket's path is limited to 107 bytes, a directory's is not: go through its descriptor."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sock.connect(f"/proc/self/fd/{fd}/{SOCKET}")
        finally:
            os.close(fd)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise KeeperGone(f"no keeper listens in {directory}: {error.strerror}") from error
    return sock


async def attach(directory: Path, after: int = 0, *, window: int = WINDOW_BYTES) -> KeeperLink:
    """Become the keeper's client, in place of any other; entries follow from number `after` + 1.

    Raises KeeperGone when nobody listens.
    """
    sock = await asyncio.to_thread(_connect, directory)
    _, link = await asyncio.get_running_loop().create_unix_connection(lambda: KeeperLink(window), sock=sock)
    try:
        await link._attach(after)
    except BaseException:
        await link.close()
        raise
    return link


class KeeperLink(asyncio.Protocol):
    """A connection to one keeper. Requests may be made while entries are being handled, and by several tasks."""

    def __init__(self, window: int) -> None:
        self.last = 0
        """Number of the newest entry when this client attached: replay ends there, what follows is live."""
        self.pid = 0
        self.start_time = 0
        self.agent_pid: int | None = None
        self._window = window
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self._lines: deque[bytes] = deque()
        self._consumed = 0
        self._arrived = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._requests = 0
        self._end: KeeperGone | None = None
        self._closed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_unix_connection gives
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if b"\n" not in data:
            self._pieces.append(data)
            return
        first, *lines = data.split(b"\n")
        self._pieces.append(first)
        lines.insert(0, b"".join(self._pieces))
        last = lines.pop()
        self._pieces = [last] if last else []
        for line in lines:
            if line.startswith(b'{"n":'):
                self._lines.append(line)
            else:
                self._replied(msgspec.json.decode(line))
        self._arrived.set()

    def _replied(self, reply: dict[str, Any]) -> None:
        if reply["op"] == "replaced":
            self._end = KeeperReplaced("another client attached to the keeper")
            return
        future = self._waiting.pop(reply.get("id", 0), None)
        if future is None or future.done():
            return
        if reply["op"] == "error":
            future.set_exception(KeeperRefused(reply["code"], reply["message"]))
        else:
            future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._end is None:
            self._end = KeeperGone(f"the connection to the keeper ended{f': {exc}' if exc else ''}")
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._end)
        self._waiting.clear()
        self._arrived.set()
        self._writable.set()
        self._closed.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # -- ours

    async def _attach(self, after: int) -> None:
        reply = await self._request({"op": "attach", "after": after, "window": self._window})
        self.last, self.pid, self.start_time = reply["last"], reply["pid"], reply["startTime"]
        self.agent_pid = reply["agentPid"]

    async def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._end is not None or self._transport is None or self._transport.is_closing():
            raise self._end or KeeperGone("the link was closed")
        self._requests += 1
        number = self._requests
        block = msgspec.json.encode({**request, "id": number}) + b"\n"
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._transport.write(block)
            await self._writable.wait()
            async with asyncio.timeout(REPLY_SECONDS):
                return await future
        except TimeoutError:
            raise KeeperGone(f"the keeper did not answer {request['op']!r} within {REPLY_SECONDS:.0f} s") from None
        finally:
            self._waiting.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()  # seen, also when the caller was cancelled

    async def entries(self) -> AsyncIterator[Entry]:
        """Every entry after the one asked for, in order, then live ones. Never ends by itself: raises KeeperGone when
        the connection breaks, after the entries that had arrived; KeeperReplaced if someone else attached."""
        while True:
            while self._lines:
                line = self._lines.popleft()
                entry = _entries.decode(line)
                self._consumed += len(line) + 1
                del line
                if self._consumed >= self._window // 4:  # not sooner: each report wakes the keeper
                    self._report()
                yield entry
            if self._end is not None:
                raise self._end
            self._arrived.clear()
            await self._arrived.wait()

    def _report(self) -> None:
        """Tell the keeper how much was consumed, so that it sends on."""
        if self._consumed and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b'{"op":"read","bytes":%d}\n' % self._consumed)
        self._consumed = 0

    async def send(self, key: str, line: str) -> None:
        """Have one line written to the agent; done (perhaps later) when the `out` entry appears. A key that was used is
        acknowledged and ignored. Raises KeeperRefused: `full` if the agent does not read, `gone` if it is gone."""
        await self._request({"op": "send", "key": key, "line": line})

    async def command(self, data: dict[str, Any]) -> int:
        """Journal a decision; the number of its entry, which also comes with the other entries."""
        number: int = (await self._request({"op": "cmd", "data": data}))["n"]
        return number

    async def do(self, key: str, what: str) -> None:
        """Start freeze, thaw, eof, term or kill; the result is the `did` entry with this key."""
        await self._request({"op": "do", "key": key, "what": what})

    async def processes(self) -> list[ProcessInfo]:
        """What a stop would hit now."""
        return msgspec.convert((await self._request({"op": "ps"}))["processes"], list[ProcessInfo])

    async def journal_error(self) -> str | None:
        """Why the journal cannot be written at the moment, if so; entries are then kept in the keeper's memory."""
        error: str | None = (await self._request({"op": "ps"}))["journal"]
        return error

    async def quit(self) -> None:
        """End the keeper. KeeperRefused (`busy`) while processes of the agent live."""
        await self._request({"op": "quit"})

    async def close(self) -> None:
        """Detach: the keeper and its agent go on."""
        if self._transport is not None:
            self._transport.abort()
            await self._closed.wait()


# ------------------------------------------------------------------------------------------------ files, processes


def read_journal(directory: Path, after: int = 0) -> Iterator[Entry]:
    """The entries of a journal from its file; blocking. A last line that was written in part is ignored; damage before
    that raises JournalDamaged. No journal: no entries."""
    path = directory / JOURNAL
    number = 0
    try:
        file = open(path, "rb", buffering=READ_BYTES)  # noqa: SIM115 - closed below
    except FileNotFoundError:
        return
    with file:
        for line in file:
            entry = _parse(line)
            if entry is None and not any(_parse(later) for later in file):
                return
            if entry is None or entry.n != number + 1:
                raise JournalDamaged(path, number)
            number = entry.n
            if number > after:
                yield entry


def _parse(line: bytes) -> Entry | None:
    if not line.endswith(b"\n"):
        return None
    try:
        return _entries.decode(line)
    except msgspec.MsgspecError:
        return None


def read_identity(directory: Path) -> Identity | None:
    """keeper.json; None if there is none that can be read."""
    try:
        return msgspec.json.decode((directory / IDENTITY).read_bytes(), type=Identity)
    except (OSError, msgspec.MsgspecError):
        return None


def read_launch(directory: Path) -> Launch:
    """What the keeper of this directory was told. OSError or msgspec.MsgspecError if it cannot be read."""
    return msgspec.json.decode((directory / LAUNCH).read_bytes(), type=Launch)


def keeper_alive(directory: Path) -> bool:
    """Whether the keeper that last held this directory still runs: by pid and start time."""
    identity = read_identity(directory)
    if identity is None or not identity.of_this_boot:
        return False
    process = processes.read_process(identity.pid)
    return process is not None and process.start == identity.start_time and not process.ended
