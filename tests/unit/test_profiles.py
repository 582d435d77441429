"""Launch profiles, detection of installed agents and the environment that agents get."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from mission_control_desktop.domain.errors import BadInput, Conflict, NotFound
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, view
from mission_control_desktop.orchestrator import known_agents
from mission_control_desktop.orchestrator.agent_tokens import AgentTokens
from mission_control_desktop.orchestrator.environment import agent_environment, find_command
from mission_control_desktop.orchestrator.profiles import ProfileStore


class Repository:
    def __init__(self) -> None:
        self.kept: dict[str, LaunchProfile] = {}

    async def all(self) -> Sequence[ProfileView]:
        return [view(profile) for profile in self.kept.values()]

    async def get(self, name: str) -> LaunchProfile | None:
        return self.kept.get(name)

    async def put(self, profile: LaunchProfile) -> None:
        self.kept[profile.name] = profile

    async def delete(self, name: str) -> bool:
        return self.kept.pop(name, None) is not None


def program(path: Path, text: str = "exit 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def store(home: Path, *, path: str | None = None, cache: Path | None = None) -> ProfileStore:
    environ = {"HOME": str(home), "PATH": path or str(home / "bin")}
    return ProfileStore(Repository(), environ=environ, cache=cache)


async def test_the_demo_is_always_there_and_stays_as_it_is(home: Path) -> None:
    profiles = store(home)
    first = (await profiles.list())[0]
    assert (first.name, first.demo) == ("demo", True)
    assert (await profiles.get("demo")).command[0].startswith("/")
    with pytest.raises(Conflict):
        await profiles.put(LaunchProfile(name="demo", command=("x",)))
    with pytest.raises(Conflict):
        await profiles.delete("demo")
    await profiles.close()


async def test_stored_profiles_never_show_values_of_their_environment(home: Path) -> None:
    profiles = store(home)
    shown = await profiles.put(
        LaunchProfile(name="mine", command=("agent", "acp"), env={"KEY": "s3cret", "A": "b"}, detected=True)
    )
    assert shown.env_names == ("A", "KEY")
    assert not shown.detected
    assert b"s3cret" not in json.dumps([str(one) for one in await profiles.list()]).encode()
    assert (await profiles.get("mine")).env["KEY"] == "s3cret"
    await profiles.delete("mine")
    with pytest.raises(NotFound):
        await profiles.get("mine")
    with pytest.raises(NotFound):
        await profiles.delete("mine")
    await profiles.close()


@pytest.mark.parametrize(
    ("profile", "field"),
    [
        (LaunchProfile(name="Upper", command=("x",)), "name"),
        (LaunchProfile(name="a" * 64, command=("x",)), "name"),
        (LaunchProfile(name="x", command=()), "command"),
        (LaunchProfile(name="x", command=(" ",)), "command"),
        (LaunchProfile(name="x", command=("a\0b",)), "command"),
        (LaunchProfile(name="x", command=("a",), runtime="telepathy"), "runtime"),
        (LaunchProfile(name="x", command=("a",), cwd="relative"), "cwd"),
        (LaunchProfile(name="x", command=("a",), env={"A B": "x"}), "env"),
        (LaunchProfile(name="x", command=("a",), env={"MISSION_CONTROL_TOKEN": "x"}), "env"),
        (LaunchProfile(name="x", command=("a",), mode=" "), "mode"),
    ],
)
async def test_bad_profiles_name_their_field(home: Path, profile: LaunchProfile, field: str) -> None:
    profiles = store(home)
    with pytest.raises(BadInput) as caught:
        await profiles.put(profile)
    assert caught.value.field == field
    await profiles.close()


async def test_finds_agents_by_their_commands_and_prefers_the_newer(home: Path) -> None:
    program(home / "bin/claude-code-acp")
    program(home / ".local/bin/opencode")
    program(home / ".nvm/versions/node/v20.1.0/bin/qwen")
    program(home / ".nvm/versions/node/v24.2.0/bin/qwen")
    program(home / "bin/codex")  # the CLI alone is not the ACP command
    profiles = store(home)
    found = {view.name: view for view in await profiles.list() if view.detected}
    assert set(found) >= {"claude", "opencode", "qwen"}
    assert found["claude"].command == (str(home / "bin/claude-code-acp"),)
    assert found["claude"].mode == "default"
    assert found["opencode"].command == (str(home / ".local/bin/opencode"), "acp")
    assert "v24.2.0" in found["qwen"].command[0]
    with pytest.raises(Conflict):
        await profiles.delete("claude")
    # One that an operator stores hides the one that was found, until it is removed again.
    await profiles.put(LaunchProfile(name="claude", command=("/opt/my-claude",)))
    assert (await profiles.get("claude")).command == ("/opt/my-claude",)
    await profiles.delete("claude")
    assert (await profiles.get("claude")).detected
    await profiles.close()


async def test_versions_come_from_the_package_or_are_asked_in_the_background(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_agents, "VERSION_SECONDS", 15)
    package = home / "lib/node_modules/@google/gemini-cli"
    program(package / "dist/index.js")
    (package / "package.json").write_text(json.dumps({"name": "@google/gemini-cli", "version": "0.12.3"}))
    (home / "bin").mkdir()
    (home / "bin/gemini").symlink_to(package / "dist/index.js")
    asked = home / "asked"
    program(home / "bin/goose", f'echo x >> {asked}; echo "goose 1.9.2 (abc)"')
    program(home / "bin/kimi", "exec sleep 60")  # never says
    cache = tmp_path / "versions.json"
    profiles = store(home, path=f"{home / 'bin'}:/usr/bin:/bin", cache=cache)

    def versions(views: Sequence[object]) -> dict[str, object]:
        return {view.name: view.version for view in views}  # type: ignore[attr-defined]

    first = await profiles.list()
    assert versions(first)["gemini"] == "0.12.3"
    assert next(view for view in first if view.name == "gemini").command[1] == "--experimental-acp"
    assert versions(first)["goose"] is None  # nobody waited for it
    async with asyncio.timeout(20):
        while versions(await profiles.list())["goose"] is None:
            await asyncio.sleep(0.02)
    assert versions(await profiles.list())["goose"] == "1.9.2"
    await profiles.close()
    assert cache.stat().st_mode & 0o777 == 0o600

    again = store(home, path=f"{home / 'bin'}:/usr/bin:/bin", cache=cache)
    assert versions(await again.list())["goose"] == "1.9.2"
    assert asked.read_text() == "x\n"
    await again.close()


def test_agents_get_the_users_environment_without_what_is_ours(home: Path) -> None:
    (home / ".local/bin").mkdir(parents=True)
    environ = {
        "HOME": str(home),
        "PATH": "/usr/bin",
        "HTTPS_PROXY": "http://proxy",
        "ANTHROPIC_API_KEY": "theirs",
        "MISSION_CONTROL_TOKEN": "ours",
        "MISSION_CONTROL_DATA_DIR": "ours",
        "VIRTUAL_ENV": "ours",
        "CLAUDECODE": "1",
    }
    env = agent_environment(environ, {"EXTRA": "1", "HTTPS_PROXY": "other", "MISSION_CONTROL_URL": "x"})
    assert env["ANTHROPIC_API_KEY"] == "theirs"
    assert env["HTTPS_PROXY"] == "other"
    assert env["EXTRA"] == "1"
    assert env["PATH"].split(":")[:2] == ["/usr/bin", str(home / ".local/bin")]
    assert env["LANG"] == "C.UTF-8"
    assert not [name for name in env if name.startswith("MISSION_CONTROL")]
    assert "VIRTUAL_ENV" not in env
    assert "CLAUDECODE" not in env


def test_finds_a_command_as_it_would_be_started(home: Path) -> None:
    here = program(home / "work/tool")
    environ = {"HOME": str(home), "PATH": str(home / "work")}
    assert find_command("tool", environ=environ, cwd="/") == str(here)
    assert find_command("./tool", environ=environ, cwd=str(home / "work")) == str(here)
    assert find_command("~/work/tool", environ=environ, cwd="/") == str(here)
    assert find_command("./tool", environ=environ, cwd="/") is None
    here.chmod(0o644)
    assert find_command(str(here), environ=environ, cwd="/") is None


def test_agent_tokens_live_as_long_as_their_session(tmp_path: Path) -> None:
    tokens, native = AgentTokens(), "0" * 32
    path = tokens.create(native, tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    token = path.read_text().strip()
    assert tokens.verify(token) == native
    assert tokens.verify(token + "x") is None
    assert tokens.verify("") is None
    assert tokens.verify(f"mca_{'1' * 32}_x") is None
    later = AgentTokens()
    assert later.verify(token) is None
    assert later.load(native, tmp_path)
    assert later.verify(token) == native
    later.forget(native, tmp_path)
    assert later.verify(token) is None
    assert not path.exists()
    assert not later.load(native, tmp_path)
