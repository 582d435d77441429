"""The agents that Mission Control knows by their ACP commands, and how they are found on a computer.

The commands, modes and needs stand in one table; everything else that an agent can do is asked of the agent itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import msgspec
import structlog

from mission_control_desktop.domain.profiles import LaunchProfile
from mission_control_desktop.orchestrator.environment import agent_environment

log = structlog.get_logger(__name__)

VERSION_SECONDS = 8.0
VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?(?:[-+.][0-9A-Za-z.-]+)?")


class KnownAgent(msgspec.Struct, frozen=True, kw_only=True):
    """One agent. `commands` are alternatives, the preferred one first; `needs` is what else must be on the computer.

    `mode` is the session mode in which the agent asks before it acts (`session/set_mode`); None: its own default does.
    `until` are commands for releases before a version: they took another flag then.
    """

    name: str
    title: str
    commands: tuple[tuple[str, ...], ...]
    mode: str | None = None
    needs: tuple[str, ...] = ()
    until: tuple[tuple[tuple[int, ...], tuple[str, ...]], ...] = ()


KNOWN_AGENTS = (
    KnownAgent(
        name="claude",
        title="Claude Code",
        commands=(("claude-agent-acp",), ("claude-code-acp",)),
        mode="default",
    ),
    KnownAgent(name="codex", title="Codex", commands=(("codex-acp",),), mode="workspace-write"),
    KnownAgent(
        name="gemini",
        title="Gemini CLI",
        commands=(("gemini", "--acp"),),
        mode="default",
        until=(((0, 33), ("gemini", "--experimental-acp")),),
    ),
    KnownAgent(name="opencode", title="OpenCode", commands=(("opencode", "acp"),)),
    KnownAgent(
        name="qwen",
        title="Qwen Code",
        commands=(("qwen", "--acp"),),
        mode="default",
        until=(((0, 7), ("qwen", "--experimental-acp")),),
    ),
    KnownAgent(name="kimi", title="Kimi Code", commands=(("kimi", "acp"),)),
    KnownAgent(name="vibe", title="Mistral Vibe", commands=(("vibe-acp",),), mode="ask"),
    KnownAgent(name="goose", title="Goose", commands=(("goose", "acp"),)),
    KnownAgent(name="cursor", title="Cursor Agent", commands=(("cursor-agent", "acp"),)),
    KnownAgent(name="copilot", title="GitHub Copilot CLI", commands=(("copilot", "--acp"),)),
    KnownAgent(name="auggie", title="Auggie", commands=(("auggie", "--acp"),)),
    KnownAgent(name="amp", title="Amp", commands=(("amp-acp",),), needs=("amp",)),
    KnownAgent(name="cline", title="Cline", commands=(("cline", "--acp"),)),
    KnownAgent(name="kiro", title="Kiro CLI", commands=(("kiro-cli", "acp"),)),
    KnownAgent(name="droid", title="Factory Droid", commands=(("droid", "exec", "--output-format", "acp"),)),
    KnownAgent(name="openhands", title="OpenHands", commands=(("openhands", "acp"),)),
)


def detect(environ: Mapping[str, str], versions: Mapping[str, str]) -> list[LaunchProfile]:
    """The known agents found here, as launch profiles. Looks at files only, starts nothing.

    `versions` maps an absolute command to its version, as far as it is known already.
    """
    path = agent_environment(environ, {})["PATH"]
    found = []
    for agent in KNOWN_AGENTS:
        if any(shutil.which(need, path=path) is None for need in agent.needs):
            continue
        for command in agent.commands:
            where = shutil.which(command[0], path=path)
            if where is None:
                continue
            version = versions.get(where) or package_version(where)
            for bound, older in agent.until:
                if version is not None and _numbers(version) < bound:
                    command = older
            found.append(
                LaunchProfile(
                    name=agent.name,
                    title=agent.title,
                    command=(where, *command[1:]),
                    mode=agent.mode,
                    detected=True,
                    version=version,
                )
            )
            break
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def package_version(command: str) -> str | None:
    """The version of a command that npm installed, read from its package.json: no process, a few file reads."""
    real = Path(os.path.realpath(command))
    for folder in list(real.parents)[:6]:
        manifest = folder / "package.json"
        try:
            content = json.loads(manifest.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("name") and isinstance(content.get("version"), str):
            return str(content["version"])
    return None


async def ask_version(command: str, environ: Mapping[str, str]) -> str | None:
    """What `COMMAND --version` says, or None. Bounded in time and output; leaves no process behind."""
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=agent_environment(environ, {}),
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        log.info("agent version not known", command=command, error=str(error))
        return None
    try:
        async with asyncio.timeout(VERSION_SECONDS):
            output = await process.stdout.read(4096) if process.stdout is not None else b""
    except TimeoutError:
        log.info("agent did not tell its version in time", command=command, seconds=VERSION_SECONDS)
        return None
    finally:
        # Its whole group, also after a clean answer: some agents start helpers even to tell their version.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    match = VERSION.search(output.decode("utf-8", "replace"))
    return match.group() if match else None
