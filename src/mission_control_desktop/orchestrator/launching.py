"""From a spawn request to what the keeper is told and what the session is folded from."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mission_control_desktop import __version__
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.kill import STOP_FILE
from mission_control_desktop.domain.limits import MAX_INJECT_CHARS
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, TaskSource, split_id
from mission_control_desktop.orchestrator.agent_tokens import AgentTokens
from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.orchestrator.environment import agent_environment, find_command
from mission_control_desktop.orchestrator.keeper.client import Launch
from mission_control_desktop.orchestrator.mcp import server as mcp_server


class Launcher:
    """`environ` is what agents inherit (cleaned, see `environment`); `cgroups` as for `Orchestrator`."""

    def __init__(
        self,
        data_dir: Path,
        provider: str,
        *,
        clock: Clock,
        ids: IdSource,
        environ: Mapping[str, str],
        cgroups: bool = True,
    ) -> None:
        self._data_dir = data_dir
        self._provider = provider
        self._clock = clock
        self._ids = ids
        self._environ = dict(environ)
        self._cgroups = cgroups

    def launch(self, request: SpawnRequest, profile: LaunchProfile, *, parent_cwd: str | None) -> Launch:
        """What the keeper is told. BadInput names the field of the request, and says what to do."""
        if request.task_source is not None and request.task_source not in {source.value for source in TaskSource}:
            known = ", ".join(source.value for source in TaskSource)
            raise BadInput("taskSource", f"The task source {request.task_source!r} is not known; known are: {known}.")
        if request.prompt is not None and len(request.prompt) > MAX_INJECT_CHARS:
            raise BadInput(
                "prompt", f"The prompt has {len(request.prompt)} characters; {MAX_INJECT_CHARS} are allowed."
            )
        environment = agent_environment(self._environ, profile.env)
        cwd = _cwd(request, profile, parent_cwd, environment.get("HOME", "/"))
        program = find_command(profile.command[0], environ=environment, cwd=cwd)
        if program is None:
            raise BadInput(
                "profile",
                f"The agent's command {profile.command[0]!r} (launch profile {profile.name!r}) was not found. Install "
                "it, or put its absolute path into the launch profile.",
                command=profile.command[0],
            )
        return Launch(
            command=(program, *profile.command[1:]),
            cwd=cwd,
            env=environment,
            stop_file=str(self._data_dir / STOP_FILE),
            provider=self._provider,
            cgroup=self._cgroups,
        )

    def spec(
        self,
        native: str,
        request: SpawnRequest,
        profile: LaunchProfile,
        launch: Launch,
        *,
        parent: AgentSession | None,
    ) -> SessionSpec:
        """A sub-agent belongs to its parent's mission unless the request names another."""
        mission = request.mission_id
        if mission is None and parent is not None:
            mission = parent.mission_id
        return SessionSpec(
            session_id=native,
            provider=self._provider,
            run_id=self._ids.new(),
            profile=profile.name,
            runtime=profile.runtime,
            command=launch.command,
            cwd=launch.cwd,
            spawned_at=self._clock.now(),
            mode=profile.mode,
            prompt=request.prompt,
            parent_session_id=split_id(parent.session_id)[1] if parent is not None else None,
            mission_id=mission,
            task_id=request.task_id,
            task_source=request.task_source,
            agent_type=request.agent_type,
            title=request.title or (None if request.prompt else profile.title),
            demo=profile.demo,
            end_when_idle=request.end_when_idle,
            mcp_servers=(self._mcp_server(native, profile.name),),
            client_version=__version__,
        )

    def _mcp_server(self, native: str, profile: str) -> dict[str, Any]:
        """The tool server for `session/new`. It is told where to look; the secret stays in its file."""
        env = {
            "MISSION_CONTROL_DATA_DIR": str(self._data_dir),
            "MISSION_CONTROL_AGENT_ID": native,
            "MISSION_CONTROL_AGENT_TOKEN_FILE": str(AgentTokens.path(self._data_dir / "agents" / native)),
            "MISSION_CONTROL_AGENT_PROFILE": profile,
        }
        return {
            "name": "mission-control",
            "command": sys.executable,
            "args": ["-I", "-S", str(Path(mcp_server.__file__).resolve())],
            "env": [{"name": name, "value": value} for name, value in env.items()],
        }


def _cwd(request: SpawnRequest, profile: LaunchProfile, parent_cwd: str | None, home: str) -> str:
    """The working directory: the request's, the parent's, the profile's, the home. BadInput if it cannot be used."""
    field = "cwd"
    chosen = request.cwd if request.cwd is not None else parent_cwd
    if chosen is None and profile.cwd is not None:
        chosen, field = profile.cwd, "profile"
    if chosen is None:
        chosen = home
    if chosen == "~" or chosen.startswith("~/"):
        chosen = home + chosen[1:]
    if "\0" in chosen or not os.path.isabs(chosen):
        raise BadInput(field, "The working directory must be an absolute path.")
    cwd = os.path.normpath(chosen)
    if not os.path.isdir(cwd):
        raise BadInput(field, f"The working directory {cwd} does not exist. Create it or name another one.")
    if not os.access(cwd, os.R_OK | os.X_OK):
        raise BadInput(field, f"The working directory {cwd} cannot be entered by this user.")
    return cwd
