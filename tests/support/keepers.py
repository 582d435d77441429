"""Real keepers around small agents written in place, and cleaned up after whatever the test did to them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType

import pytest

from mission_control_desktop.orchestrator.core.entries import Entry
from mission_control_desktop.orchestrator.keeper.cgroup import Unusable, create
from mission_control_desktop.orchestrator.keeper.client import (
    KeeperGone,
    KeeperLink,
    KeeperRefused,
    Launch,
    attach,
    keeper_alive,
    launch,
    read_identity,
    read_journal,
)
from mission_control_desktop.orchestrator.sweep import kill_tree_of_dead_keeper

PATIENCE = 40.0
"""Seconds that a state may take to come about on a busy computer."""

ECHO = """
import sys
for line in sys.stdin:
    print("heard", line.strip(), flush=True)
"""


class Reader:
    """Takes entries off a link and keeps them."""

    def __init__(self, link: KeeperLink) -> None:
        self.link = link
        self.seen: list[Entry] = []
        self._entries = link.entries()

    async def until(self, wanted: Callable[[Entry], bool]) -> Entry:
        async with asyncio.timeout(PATIENCE):
            async for entry in self._entries:
                self.seen.append(entry)
                if wanted(entry):
                    return entry
        raise AssertionError("entries ended")

    async def until_number(self, number: int) -> Entry:
        return await self.until(lambda entry: entry.n >= number)

    async def until_kind(self, kind: str) -> Entry:
        return await self.until(lambda entry: entry.kind == kind)

    async def until_line(self, text: str) -> Entry:
        return await self.until(lambda entry: entry.line is not None and text in entry.line)

    async def until_did(self, key: str) -> Entry:
        return await self.until(lambda entry: entry.kind == "did" and entry.key == key)

    async def close(self) -> None:
        await self._entries.aclose()  # type: ignore[attr-defined]
        await self.link.close()


class Kept:
    """One keeper with one agent, in a directory of its own."""

    def __init__(self, directory: Path, command: tuple[str, ...], **options: object) -> None:
        self.directory = directory
        self.launch = Launch(
            command=command,
            **{"cwd": str(directory), "env": {"PATH": os.environ["PATH"]}, **options},  # type: ignore[arg-type]
        )
        self._readers: list[Reader] = []

    @classmethod
    def python(cls, directory: Path, source: str, **options: object) -> Kept:
        return cls(directory, (sys.executable, "-I", "-S", "-c", source), **options)

    async def __aenter__(self) -> Kept:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        await launch(self.directory, self.launch)
        return self

    async def attach(self, after: int = 0, *, window: int = 4 << 20) -> Reader:
        reader = Reader(await attach(self.directory, after, window=window))
        self._readers.append(reader)
        return reader

    @property
    def keeper_pid(self) -> int:
        identity = read_identity(self.directory)
        assert identity is not None
        return identity.pid

    def journal(self) -> list[Entry]:
        entries = list(read_journal(self.directory))
        assert [entry.n for entry in entries] == list(range(1, len(entries) + 1))
        return entries

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reader in self._readers:
            await reader.close()
        identity = read_identity(self.directory)
        with contextlib.suppress(KeeperGone):
            link = await attach(self.directory, 10**9)
            await link.do("test:clean-up", "kill")
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        await link.quit()
                        break
                    except KeeperRefused:
                        await asyncio.sleep(0.01)
            await link.close()
        if identity is not None:
            try:
                await until(lambda: not keeper_alive(self.directory))
            finally:
                if keeper_alive(self.directory):
                    os.kill(identity.pid, signal.SIGKILL)
        swept = await asyncio.to_thread(kill_tree_of_dead_keeper, self.directory)
        assert not swept.left
        log = (self.directory / "keeper.log").read_text()
        assert not log, log


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether the process exists and something of it can run: it is no zombie, or one with threads."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0] not in "ZX" or (fields[0] == "Z" and int(fields[17]) > 1)
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.asynccontextmanager
async def kept(directory: Path, source: str, **options: object) -> AsyncIterator[tuple[Kept, Reader]]:
    """A keeper around Python source, attached from the first entry."""
    async with Kept.python(directory, source, **options) as keeper:
        yield keeper, await keeper.attach()


def no_cgroup_here() -> str | None:
    """Why keepers that are started by this process cannot have a cgroup; None if they can. Tried, not guessed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            group = create(folder, uuid.uuid4().hex)
        except Unusable as reason:
            return str(reason)
        try:
            child = subprocess.run(["/bin/sh", "-c", f"echo 0 > {group.path}/cgroup.procs"], check=False)
            return None if child.returncode == 0 else "it can be made, but not joined"
        finally:
            group.remove()


NO_CGROUP = no_cgroup_here()
with_cgroup = pytest.mark.skipif(NO_CGROUP is not None, reason=f"no cgroup v2 can be made here: {NO_CGROUP}")
WAYS = [pytest.param(True, id="cgroup", marks=with_cgroup), pytest.param(False, id="sub-reaper")]
"""Values of `Launch.cgroup`."""
