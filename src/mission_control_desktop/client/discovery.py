"""Find this computer's control plane, or start one.

A running control plane names itself in DATA_DIR/control-plane.json. The file alone proves nothing (it may be left over
from a crash, its pid may be another program's by now, its port too): a control plane is taken for running when that
very process listens on that very port and answers `/api/health`; only then is a token sent there. Starting is under a
lock, so that two windows that open at once start one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import IO

import msgspec
import structlog

from mission_control_desktop import __version__
from mission_control_desktop.client import paths, processes
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.client.locks import try_lock
from mission_control_desktop.client.starting import Begun, serve_command, spawn
from mission_control_desktop.client.tokens import Keyring, TokenStore, in_thread
from mission_control_desktop.client.transport import checked_url
from mission_control_desktop.client.versions import is_older
from mission_control_desktop.domain.errors import MissionControlError, NotAuthenticated, Unavailable, Unreachable
from mission_control_desktop.domain.mission_control import Health

log = structlog.get_logger(__name__)

START_SECONDS = 45.0
STOP_SECONDS = 20.0
HANG_SECONDS = 10.0
LOCK_SECONDS = 60.0
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 12


class How(StrEnum):
    NAMED = "named"
    """Somebody named its URL."""
    FOUND = "found"
    STARTED = "started"
    REPLACED = "replaced"
    """An older version ran; it was ended (its agents were not) and ours started."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A control plane to talk to. `note` is something a person should be told, if anything."""

    url: str
    token: str
    version: str
    pid: int | None
    how: How
    note: str | None = None

    def __repr__(self) -> str:
        return f"Endpoint(url={self.url!r}, version={self.version!r}, how={self.how.value!r})"

    def open(self) -> HttpMissionControl:
        """A client for it; call on the loop that will use it."""
        return HttpMissionControl(self.url, self.token)


class _PlaneFile(msgspec.Struct, frozen=True):
    url: str
    pid: int
    version: str = ""


class Discovery:
    """How one person's programs on this computer reach a control plane."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        keyring: Keyring | None = None,
        version: str = __version__,
        command: Sequence[str] | None = None,
        begun: Begun | None = None,
    ) -> None:
        """`version` and `command` (all before `--data-dir`) are what is started here; tests give others. `begun`: what
        the program began to start when it was started itself; it is waited for."""
        self._environ = dict(os.environ if environ is None else environ)
        self.data_dir = data_dir or paths.data_dir(self._environ)
        self.tokens = TokenStore(self.data_dir, keyring)
        self._version = version
        self._command = list(command or serve_command())
        self._begun = begun

    @property
    def log_file(self) -> Path:
        return self.data_dir / paths.CONTROL_PLANE_LOG

    async def find(self, url: str | None = None) -> Endpoint:
        """The control plane that is named (argument, environment) or runs here; never starts one.

        Unreachable if there is none, NotAuthenticated if there is no token for it."""
        named = url or self._environ.get(paths.ENV_URL)
        if named:
            return await self._named(named)
        found = await self._running()
        if found is None:
            raise Unreachable(
                f"no control plane runs here (data directory {self.data_dir}): start one with "
                "'mission-control serve', or open the window, which starts one"
            )
        return await self._endpoint(*found, how=How.FOUND)

    async def find_or_start(self, url: str | None = None) -> Endpoint:
        """The named or running control plane; else one that is started here. An older one is replaced.

        Unreachable or Unavailable with the end of its log if it does not come up."""
        named = url or self._environ.get(paths.ENV_URL)
        if named:
            return await self._named(named)
        if self._begun is not None:
            begun, self._begun = self._begun, None
            with contextlib.closing(begun):
                return await self._endpoint(*(await self._ready(begun.process)), how=How.STARTED)
        found = await self._running()
        if found is not None and not is_older(found[1].version, self._version):
            return await self._endpoint(*found, how=How.FOUND)
        await in_thread(lambda: paths.make_private_dir(self.data_dir))
        async with self._start_lock():
            found = await self._running()
            if found is not None and not is_older(found[1].version, self._version):
                return await self._endpoint(*found, how=How.FOUND)
            how, note = How.STARTED, None
            if found is not None:
                plane, health = found
                note = f"replaced the running control plane {health.version} by {self._version}; its agents live on"
                how = How.REPLACED
                await self._end(plane.pid, health.version)
            return await self._endpoint(*(await self._start()), how=how, note=note)

    # --- one that is named ---------------------------------------------------------------------------------------

    async def _named(self, url: str) -> Endpoint:
        address = str(checked_url(url, with_token=True))
        token = self._environ.get(paths.ENV_TOKEN) or await self.tokens.load(address)
        plane = await in_thread(self._read_plane)
        if token is None and plane is not None and str(checked_url(plane.url, with_token=True)) == address:
            token = await in_thread(self._local_token)
        if token is None:
            raise NotAuthenticated(
                f"there is no token for {address}: set {paths.ENV_TOKEN}, or enter one in the settings of the window"
            )
        health = await _health(address)
        return self._made(address, token, None, health, How.NAMED, None)

    # --- one that runs here --------------------------------------------------------------------------------------

    async def _running(self) -> tuple[_PlaneFile, Health] | None:
        """The control plane of this data directory, or None. A process that is ours but does not answer gets some time
        (it may be starting); then Unavailable: starting a second one would not help."""
        deadline = asyncio.get_running_loop().time() + HANG_SECONDS
        while True:
            plane = await in_thread(self._living)
            if plane is None:
                return None
            problem = "it does not listen at its URL."
            port = checked_url(plane.url, with_token=True).port or 0
            if await in_thread(lambda: processes.listens(plane.pid, port)) is not False:  # noqa: B023 - awaited here
                try:
                    return plane, await _health(plane.url)
                except MissionControlError as error:
                    problem = error.message
            if not await in_thread(lambda: processes.looks_like_control_plane(plane.pid)):  # noqa: B023
                return None
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(
                    f"a control plane runs here (process {plane.pid}) but does not answer: {problem} "
                    f"Its log is {self.log_file}. To end it: kill {plane.pid}; its agents live on."
                )
            await asyncio.sleep(POLL_SECONDS * 4)

    def _living(self) -> _PlaneFile | None:
        plane = self._read_plane()
        return plane if plane is not None and processes.alive(plane.pid) else None

    def _read_plane(self) -> _PlaneFile | None:
        path = self.data_dir / paths.CONTROL_PLANE_FILE
        try:
            plane = msgspec.json.decode(path.read_bytes(), type=_PlaneFile)
            checked_url(plane.url, with_token=True)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, MissionControlError) as error:
            log.warning("unreadable control plane file ignored", path=str(path), reason=str(error))
            return None
        return plane

    async def _endpoint(self, plane: _PlaneFile, health: Health, *, how: How, note: str | None = None) -> Endpoint:
        token = self._environ.get(paths.ENV_TOKEN) or await in_thread(self._local_token)
        if token is None:
            token = await self.tokens.load(str(checked_url(plane.url, with_token=True)))
        if token is None:
            raise NotAuthenticated(
                f"the control plane runs, but {self.data_dir / paths.LOCAL_TOKEN_FILE} is missing or empty: set "
                f"{paths.ENV_TOKEN}, or make a token with 'mission-control token create'"
            )
        return self._made(plane.url, token, plane.pid, health, how, note)

    def _made(self, url: str, token: str, pid: int | None, health: Health, how: How, note: str | None) -> Endpoint:
        if note is None and is_older(self._version, health.version):
            note = f"the control plane is newer ({health.version}) than this program ({self._version}): please update"
        elif note is None and is_older(health.version, self._version):
            note = f"the control plane is older ({health.version}) than this program ({self._version})"
        return Endpoint(url=url, token=token, version=health.version, pid=pid, how=how, note=note)

    def _local_token(self) -> str | None:
        path = self.data_dir / paths.LOCAL_TOKEN_FILE
        try:
            return path.read_text().strip() or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError) as error:
            raise Unavailable(f"{path} cannot be read: {error}") from error

    # --- starting and ending -------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _start_lock(self) -> AsyncIterator[None]:
        path = self.data_dir / paths.START_LOCK_FILE
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = asyncio.get_running_loop().time() + LOCK_SECONDS
            while not try_lock(descriptor):
                if asyncio.get_running_loop().time() > deadline:
                    raise Unavailable(
                        f"another program has been starting a control plane for {LOCK_SECONDS:g} s: {path}"
                    )
                await asyncio.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    async def _end(self, pid: int, version: str) -> None:
        log.info("ending an older control plane", pid=pid, version=version)
        with contextlib.suppress(ProcessLookupError):
            processes.ask_to_end(pid)
        deadline = asyncio.get_running_loop().time() + STOP_SECONDS
        while processes.alive(pid):
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(
                    f"the running control plane {version} (process {pid}) is older and does not end; "
                    f"its log is {self.log_file}"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _start(self) -> tuple[_PlaneFile, Health]:
        process = await in_thread(lambda: spawn(self.data_dir, self._environ, self._command))
        return await self._ready(process)

    async def _ready(self, process: subprocess.Popen[bytes]) -> tuple[_PlaneFile, Health]:
        log.info("control plane starting", pid=process.pid, log=str(self.log_file))
        stdout = process.stdout
        if stdout is None:
            raise AssertionError("started with a pipe")
        try:
            line = await in_thread(stdout.readline, timeout=START_SECONDS)
        except TimeoutError:
            process.terminate()
            raise Unavailable(
                f"the control plane did not get ready within {START_SECONDS:g} s. {self._tail()}"
            ) from None
        finally:
            threading.Thread(target=_reap, args=(process, stdout), name="control-plane-reaper", daemon=True).start()
        words = line.decode(errors="replace").split()
        if len(words) != 2 or words[0] != "ready":
            code = await in_thread(lambda: _exit_code(process)) if not line else None
            # Another starter (a service manager, a shell) may have been faster: then its control plane serves us too.
            found = await self._running()
            if found is not None:
                return found
            how = f"ended at once (exit code {code})" if code is not None else f"said {line[:200]!r} instead of 'ready'"
            raise Unavailable(f"the control plane {how}. {self._tail()}")
        return _PlaneFile(url=words[1], pid=process.pid), await _health(words[1])

    def _tail(self) -> str:
        try:
            with self.log_file.open("rb") as stream:
                stream.seek(max(0, self.log_file.stat().st_size - 8192))
                lines = stream.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        except OSError:
            lines = []
        text = "\n".join(f"  {line}" for line in lines) or "  (empty)"
        return f"The end of its log ({self.log_file}):\n{text}"


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(5)
    except subprocess.TimeoutExpired:
        return None


def _reap(process: subprocess.Popen[bytes], stdout: IO[bytes]) -> None:
    """Wait for the process, so that one that ends before us leaves no zombie. It writes one line and never more, so
    its pipe can go."""
    stdout.close()
    process.wait()


async def _health(url: str) -> Health:
    """Health needs no token, so none is sent to who is not known yet."""
    client = HttpMissionControl(url, None, read_seconds=5.0)
    try:
        return await client.health()
    finally:
        await client.close()
