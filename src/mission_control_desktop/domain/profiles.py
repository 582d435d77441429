"""Launch profiles: how one kind of agent is started."""

from __future__ import annotations

import msgspec

from mission_control_desktop.domain.base import Record

DEMO_PROFILE = "demo"
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$(?!\n)"
"""Python's `$` matches before a last line break as well, hence the end."""


class LaunchProfile(Record, frozen=True, kw_only=True):
    """`env` values may be secret: they are stored and used, but never returned (only the names are, as `envNames`)."""

    name: str
    command: tuple[str, ...]
    runtime: str = "acp"
    cwd: str | None = None
    env: dict[str, str] = msgspec.field(default_factory=dict)
    mode: str | None = None
    title: str | None = None
    detected: bool = False
    demo: bool = False
    version: str | None = None

    def __repr__(self) -> str:
        return f"LaunchProfile({self.name!r}, command={self.command!r}, env={sorted(self.env)!r})"


class ProfileView(Record, frozen=True, kw_only=True):
    """A launch profile as it is shown: without the values of its environment."""

    name: str
    command: tuple[str, ...]
    runtime: str
    cwd: str | None
    env_names: tuple[str, ...]
    mode: str | None
    title: str | None
    detected: bool
    demo: bool
    version: str | None


def view(profile: LaunchProfile) -> ProfileView:
    """The profile without the values of its environment."""
    return ProfileView(
        name=profile.name,
        command=profile.command,
        runtime=profile.runtime,
        cwd=profile.cwd,
        env_names=tuple(sorted(profile.env)),
        mode=profile.mode,
        title=profile.title,
        detected=profile.detected,
        demo=profile.demo,
        version=profile.version,
    )


class SpawnRequest(Record, frozen=True, kw_only=True):
    """What is needed to start a session. `prompt` is the first user message; without it the agent waits for one."""

    profile: str
    prompt: str | None = None
    cwd: str | None = None
    parent_agent_id: str | None = None
    mission_id: str | None = None
    task_id: str | None = None
    task_source: str | None = None
    agent_type: str | None = None
    title: str | None = None
    end_when_idle: bool = False
    session_id: str | None = None
    """Native id (32 hex digits) that the session shall have, so that the same request again is the same session. The
    control plane chooses it; a provider that cannot ignores it."""
