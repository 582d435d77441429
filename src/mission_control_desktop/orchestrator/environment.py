"""The environment that agents are started with.

Agents get the user's environment, because their logins, proxies, certificates and tool versions stand in it (no list of
known names would be complete), less what belongs to Mission Control or to the program that started it:

- `MISSION_CONTROL_*`: our address, data directory and tokens are no agent's business;
- what describes our own Python (`VIRTUAL_ENV`, `PYTHONPATH`, ...): an agent's `python` must be the user's;
- what a service manager gave us alone (`NOTIFY_SOCKET`, `LISTEN_FDS`, ...);
- marks by which an agent would believe that it runs inside another one (`CLAUDECODE`, ...): it refuses to start then.

The profile's own variables come on top. `PATH` is widened by the usual places of agents that exist here, since a
program started from a desktop often has a shorter one than the user's shell.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path

OURS = "MISSION_CONTROL_"
STRIPPED = frozenset(
    {
        *("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONSAFEPATH"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONASYNCIODEBUG", "PYTHONWARNINGS", "__PYVENV_LAUNCHER__"),
        *("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID", "JOURNAL_STREAM"),
        *("WATCHDOG_USEC", "WATCHDOG_PID", "MANAGERPID"),
        *("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT"),
    }
)
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def usual_places(environ: Mapping[str, str]) -> list[str]:
    """Existing directories in which agents' commands are commonly installed, beyond `PATH`."""
    home = Path(environ.get("HOME") or Path.home())
    named = [
        home / ".local/bin",
        home / "bin",
        home / ".npm-global/bin",
        home / ".local/share/npm/bin",
        home / ".local/share/pnpm",
        home / ".bun/bin",
        home / ".deno/bin",
        home / ".cargo/bin",
        home / ".volta/bin",
        home / ".asdf/shims",
        home / ".local/share/mise/shims",
        home / ".opencode/bin",
        home / ".claude/local",
        Path("/usr/local/bin"),
        Path("/opt/homebrew/bin"),
        Path("/home/linuxbrew/.linuxbrew/bin"),
        Path("/snap/bin"),
    ]
    if (prefix := _npm_prefix(home, environ)) is not None:
        named.insert(2, prefix / "bin")
    named += _node_versions(home)
    return [str(place) for place in named if place.is_dir()]


def _npm_prefix(home: Path, environ: Mapping[str, str]) -> Path | None:
    if configured := environ.get("NPM_CONFIG_PREFIX") or environ.get("npm_config_prefix"):
        return Path(configured)
    try:
        lines = (home / ".npmrc").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and name.strip() == "prefix":
            return Path(value.strip().strip("\"'").replace("${HOME}", str(home))).expanduser()
    return None


def _node_versions(home: Path) -> list[Path]:
    """The `bin` directories of nvm's and fnm's Node versions, newest first."""

    def version(path: Path) -> tuple[int, ...]:
        return tuple(int(part) for part in path.name.lstrip("v").split(".") if part.isdigit())

    nvm = sorted((home / ".nvm/versions/node").glob("v*"), key=version, reverse=True)
    fnm = sorted((home / ".local/share/fnm/node-versions").glob("v*"), key=version, reverse=True)
    return [place / "bin" for place in nvm] + [place / "installation/bin" for place in fnm]


def agent_environment(environ: Mapping[str, str], profile_env: Mapping[str, str]) -> dict[str, str]:
    """What an agent's process gets; see the module's text for the rules."""
    kept = {name: value for name, value in environ.items() if name not in STRIPPED and not name.startswith(OURS)}
    try:
        account = pwd.getpwuid(os.getuid())
    except KeyError:  # a container's user without an entry
        account = None
    if account is not None:
        for name, value in (
            ("HOME", account.pw_dir),
            ("USER", account.pw_name),
            ("LOGNAME", account.pw_name),
            ("SHELL", account.pw_shell or "/bin/sh"),
        ):
            kept.setdefault(name, value)
    if not any(kept.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")):
        kept["LANG"] = "C.UTF-8"
    kept.setdefault("TERM", "dumb")
    kept["PATH"] = _widened(kept.get("PATH") or DEFAULT_PATH, usual_places(kept))
    return kept | {name: value for name, value in profile_env.items() if not name.startswith(OURS)}


def _widened(path: str, places: list[str]) -> str:
    return os.pathsep.join(dict.fromkeys([part for part in path.split(os.pathsep) if part] + places))


def find_command(command: str, *, environ: Mapping[str, str], cwd: str) -> str | None:
    """The absolute path of a command as it would be started in `cwd` with this environment; None if there is none."""
    expanded = command
    if command == "~" or command.startswith("~/"):
        expanded = environ.get("HOME", "~") + command[1:]
    if os.sep in expanded:
        path = os.path.normpath(os.path.join(cwd, expanded))
        return path if os.path.isfile(path) and os.access(path, os.X_OK) else None
    return shutil.which(expanded, path=environ.get("PATH", DEFAULT_PATH))
