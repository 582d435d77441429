"""What a session was started with; written once beside its journal, so that the fold can start again from nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class SessionSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`session_id` and `parent_session_id` are native ids; `mcp_servers` go into `session/new` as they are."""

    session_id: str
    provider: str
    run_id: str
    profile: str
    runtime: str
    command: tuple[str, ...]
    cwd: str
    spawned_at: datetime
    mode: str | None = None
    prompt: str | None = None
    parent_session_id: str | None = None
    mission_id: str | None = None
    task_id: str | None = None
    task_source: str | None = None
    agent_type: str | None = None
    title: str | None = None
    demo: bool = False
    end_when_idle: bool = False
    """End the session by itself when its turn is over and nothing is queued (a sub-agent with one task)."""
    mcp_servers: tuple[dict[str, Any], ...] = ()
    client_version: str = "0"
