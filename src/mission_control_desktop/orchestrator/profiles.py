"""Launch profiles: the operator's own, the agents found on this computer, and the demo."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from mission_control_desktop.domain import limits
from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound
from mission_control_desktop.domain.profiles import DEMO_PROFILE, NAME_PATTERN, LaunchProfile, ProfileView, view
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.orchestrator.environment import OURS
from mission_control_desktop.orchestrator.files import write_private
from mission_control_desktop.orchestrator.known_agents import ask_version, detect

log = structlog.get_logger(__name__)

RUNTIMES = frozenset({"acp"})
DETECT_SECONDS = 5.0
"""How old a look at the computer may be before the next reader looks again."""
MAX_ARGUMENTS, MAX_ARGUMENT_CHARS, MAX_VARIABLES, MAX_VALUE_CHARS = 64, 4096, 128, 32_768


class ProfileRepository(Protocol):
    """Where the operators' own profiles are kept; names are unique."""

    async def all(self) -> Sequence[ProfileView]: ...
    async def get(self, name: str) -> LaunchProfile | None: ...
    async def put(self, profile: LaunchProfile) -> None: ...
    async def delete(self, name: str) -> bool:
        """False if there was none."""
        ...


def demo_profile() -> LaunchProfile:
    """The demo agent: a real child process that speaks ACP like any other; no key, no network."""
    # Isolated and by its file: with -m, a json.py in the working directory would be taken for the standard library's.
    command = (sys.executable, "-I", str(Path(__file__).parent / "demo" / "agent.py"))
    return LaunchProfile(name=DEMO_PROFILE, title="Demo agent", command=command, demo=True)


class ProfileStore:
    """All profiles by name. One that an operator stored hides a detected one of the same name.

    Versions of detected agents are asked for in the background, one agent after the other, and remembered in
    `cache` by the command's path, size and time of change; no reader ever waits for one.
    """

    def __init__(
        self,
        repository: ProfileRepository,
        *,
        environ: Mapping[str, str],
        cache: Path | None = None,
        demo: LaunchProfile | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._repository = repository
        self._environ = dict(environ)
        self._cache = cache
        self._demo = demo or demo_profile()
        self._monotonic = monotonic
        self._tasks = Tasks(lambda name, error: log.error("agent detection failed", task=name, exc_info=error))
        self._versions: dict[str, str] = {}
        self._asked: set[str] = set()
        self._detected: list[LaunchProfile] = []
        self._looked_at: float | None = None
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        """End the background look for versions."""
        await self._tasks.close()

    async def list(self) -> tuple[ProfileView, ...]:
        """The demo, then all others by title."""
        stored = {profile.name: profile for profile in await self._repository.all()}
        found = {profile.name: view(profile) for profile in await self.detected()} | stored
        found.pop(DEMO_PROFILE, None)
        ordered = sorted(found.values(), key=lambda profile: ((profile.title or profile.name).lower(), profile.name))
        return (view(self._demo), *ordered)

    async def get(self, name: str) -> LaunchProfile:
        """NotFound if there is no such profile."""
        if name == DEMO_PROFILE:
            return self._demo
        if (stored := await self._repository.get(name)) is not None:
            return stored
        for profile in await self.detected():
            if profile.name == name:
                return profile
        raise NotFound(f"There is no launch profile named {name!r}.")

    async def put(self, profile: LaunchProfile) -> ProfileView:
        """Store a profile or replace it. BadInput names the field; Conflict for the demo."""
        if profile.name == DEMO_PROFILE:
            raise Conflict("The demo profile is part of the program and cannot be changed. Choose another name.")
        check_profile(profile)
        stored = [one.name for one in await self._repository.all()]
        if profile.name not in stored and len(stored) >= limits.MAX_PROFILES:
            raise Conflict(f"At most {limits.MAX_PROFILES} launch profiles are stored; remove some first.")
        clean = msgspec.structs.replace(profile, detected=False, demo=False, version=None)
        await self._repository.put(clean)
        return view(clean)

    async def delete(self, name: str) -> None:
        """NotFound, or Conflict for the demo and for an agent that was found on this computer."""
        if name == DEMO_PROFILE:
            raise Conflict("The demo profile is part of the program and cannot be removed.")
        if await self._repository.delete(name):
            return
        if any(profile.name == name for profile in await self.detected()):
            raise Conflict(
                f"The profile {name!r} is shown because its command was found on this computer; it cannot be removed. "
                "Store a profile of the same name to change it."
            )
        raise NotFound(f"There is no launch profile named {name!r}.")

    async def detected(self) -> Sequence[LaunchProfile]:
        """Agents found on this computer, as of at most `DETECT_SECONDS` ago."""
        async with self._lock:
            if self._looked_at is None:
                self._versions = await asyncio.to_thread(self._read_cache)
            if self._looked_at is None or self._monotonic() - self._looked_at > DETECT_SECONDS:
                known = await asyncio.to_thread(self._known_versions)
                self._detected = await asyncio.to_thread(detect, self._environ, known)
                self._looked_at = self._monotonic()
                unknown = [
                    profile.command[0]
                    for profile in self._detected
                    if profile.version is None and profile.command[0] not in self._asked
                ]
                if unknown:
                    self._asked.update(unknown)
                    self._tasks.start(self._ask_versions(unknown), name="agent versions")
            return self._detected

    async def _ask_versions(self, commands: Sequence[str]) -> None:
        for command in commands:
            stamp = await asyncio.to_thread(_stamp, command)
            version = await ask_version(command, self._environ)
            if version is not None and stamp is not None:
                self._versions[stamp] = version
                await asyncio.to_thread(self._write_cache)
                self._looked_at = float("-inf")

    def _known_versions(self) -> dict[str, str]:
        return {stamp.rpartition("|")[2]: version for stamp, version in self._versions.items() if _current(stamp)}

    def _read_cache(self) -> dict[str, str]:
        if self._cache is None:
            return {}
        try:
            return msgspec.json.decode(self._cache.read_bytes(), type=dict[str, str])
        except (OSError, msgspec.MsgspecError):
            return {}  # absent or damaged: it is asked again

    def _write_cache(self) -> None:
        if self._cache is None:
            return
        current = {stamp: version for stamp, version in self._versions.items() if _current(stamp)}
        try:
            write_private(self._cache, msgspec.json.encode(current))
        except OSError as error:
            log.warning("versions of agents were not remembered", error=str(error))


def _stamp(command: str) -> str | None:
    """Size, time of change and path of a command: another program has another stamp."""
    try:
        found = Path(command).stat()
    except OSError:
        return None
    return f"{found.st_size}|{found.st_mtime_ns}|{command}"


def _current(stamp: str) -> bool:
    return _stamp(stamp.split("|", 2)[2]) == stamp


def check_profile(profile: LaunchProfile) -> None:
    """BadInput with the field that is wrong. Whether the command exists is asked when an agent is started with it."""
    if not re.fullmatch(NAME_PATTERN, profile.name):
        raise BadInput("name", "A profile's name has 1 to 63 lower-case letters, digits and dashes, no dash in front.")
    if profile.runtime not in RUNTIMES:
        raise BadInput("runtime", f"The runtime {profile.runtime!r} is not known; known are: {', '.join(RUNTIMES)}.")
    if not profile.command or not profile.command[0].strip():
        raise BadInput("command", "The command is empty. Give the program and its arguments, one item each.")
    if len(profile.command) > MAX_ARGUMENTS or any(len(part) > MAX_ARGUMENT_CHARS for part in profile.command):
        raise BadInput("command", f"A command has at most {MAX_ARGUMENTS} parts of {MAX_ARGUMENT_CHARS} characters.")
    if any("\0" in part for part in profile.command):
        raise BadInput("command", "A command cannot contain a null character.")
    if profile.cwd is not None and not (profile.cwd.startswith(("/", "~/")) or profile.cwd == "~"):
        raise BadInput("cwd", "The working directory must be an absolute path.")
    if len(profile.env) > MAX_VARIABLES:
        raise BadInput("env", f"A profile has at most {MAX_VARIABLES} environment variables.")
    for name, value in profile.env.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise BadInput("env", f"{name!r} is no name of an environment variable.")
        if name.startswith(OURS):
            raise BadInput("env", f"{name} is kept for Mission Control itself and is never given to an agent.")
        if "\0" in value or len(value) > MAX_VALUE_CHARS:
            raise BadInput("env", f"The value of {name} is longer than {MAX_VALUE_CHARS} or has a null character.")
    for field, text in (("mode", profile.mode), ("title", profile.title)):
        if text is not None and (not text.strip() or len(text) > 200):
            raise BadInput(field, f"The {field} is empty or longer than 200 characters.")
