"""`HttpMissionControl`: the control plane over HTTP + SSE."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import quote

import structlog

from mission_control_desktop.client.transport import STOP_SECONDS, Transport
from mission_control_desktop.client.wire import compact, decode_items
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.audit import AuditEntry, ChainReport
from mission_control_desktop.domain.base import Record, to_builtins
from mission_control_desktop.domain.events import StreamEvent
from mission_control_desktop.domain.keys import KeyRotation, KeyStatus
from mission_control_desktop.domain.kill import WATCH_SECONDS, KillAll
from mission_control_desktop.domain.limits import PAGE_MAX
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import AuditFilter, Health, Page, TreeNode
from mission_control_desktop.domain.people import Me, Member, NewToken, Role, TokenInfo
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView, SpawnRequest
from mission_control_desktop.domain.providers import (
    CheckReport,
    KindView,
    ProviderChange,
    ProviderDraft,
    ProviderPage,
    ProviderView,
)
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import (
    INTERNAL_PROVIDER,
    AgentSession,
    Delivery,
    ProcessInfo,
    SessionStatus,
)

log = structlog.get_logger(__name__)

T = TypeVar("T")

VERIFY_SECONDS = 600.0
"""A verification reads the whole audit log: some ten seconds for a million rows."""

_SESSIONS = "/api/mission-control/sessions"


class _KillStarted(Record, frozen=True, kw_only=True):
    kill_id: str


class HttpMissionControl(Transport):
    """Implements `domain.mission_control.MissionControl`. Create, use and `close()` it on one event loop."""

    # --- reading -------------------------------------------------------------------------------------------------

    async def health(self) -> Health:
        return self._decode(await self._get("/api/health"), Health)

    async def me(self) -> Me:
        return self._decode(await self._get("/api/me"), Me)

    async def sessions(
        self,
        *,
        provider: str | None = None,
        status: SessionStatus | None = None,
        q: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[AgentSession]:
        raw = await self._get(
            _SESSIONS, {"provider": provider, "status": status, "q": q, "limit": limit, "cursor": cursor}
        )
        return self._decode(raw, Page[AgentSession])

    async def session(self, session_id: str) -> AgentSession:
        return self._decode(await self._get(_session(session_id)), AgentSession)

    async def tree(self) -> tuple[TreeNode, ...]:
        return decode_items(await self._get("/api/mission-control/tree"), TreeNode, what=self._what)

    async def messages(
        self, session_id: str, *, limit: int = 100, before: int | None = None, after: int | None = None
    ) -> Page[AgentMessage]:
        raw = await self._get(_session(session_id, "messages"), {"limit": limit, "before": before, "after": after})
        return self._decode(raw, Page[AgentMessage])

    async def processes(self, session_id: str) -> tuple[ProcessInfo, ...]:
        return decode_items(await self._get(_session(session_id, "processes")), ProcessInfo, what=self._what)

    async def profiles(self) -> tuple[ProfileView, ...]:
        return decode_items(await self._get("/agents/profiles"), ProfileView, what=self._what)

    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        return decode_items(await self._get(_session(session_id, "receipts")), Receipt, what=self._what)

    async def providers(self) -> tuple[ProviderView, ...]:
        return decode_items(await self._get("/api/agent-providers"), ProviderView, what=self._what)

    async def provider_kinds(self) -> tuple[KindView, ...]:
        return self._decode(await self._get("/api/agent-providers"), ProviderPage).kinds

    async def approvals(
        self,
        *,
        state: ApprovalState | None = None,
        limit: int = PAGE_MAX,
        cursor: str | None = None,
        newest_first: bool = False,
    ) -> Page[Approval]:
        order = "newest" if newest_first else None
        most = None if limit == PAGE_MAX else limit  # what a control plane takes of itself
        params = {"state": state, "limit": most, "cursor": cursor, "order": order}
        return self._decode(await self._get("/api/mission-control/approvals", params), Page[Approval])

    async def kill_state(self, kill_id: str) -> KillAll:
        return self._decode(await self._get(_kill(kill_id)), KillAll)

    async def audit(
        self,
        filters: AuditFilter | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
        oldest_first: bool = False,
    ) -> Page[AuditEntry]:
        order = "oldest" if oldest_first else None
        params = {**to_builtins(filters or AuditFilter()), "limit": limit, "cursor": cursor, "order": order}
        return self._decode(await self._get("/api/mission-control/audit", params), Page[AuditEntry])

    async def audit_verify(self, *, head: str | None = None) -> ChainReport:
        raw = await self._get("/api/mission-control/audit/verify", {"head": head}, read_seconds=VERIFY_SECONDS)
        return self._decode(raw, ChainReport)

    async def workspace(self) -> Workspace:
        return self._decode(await self._get("/api/workspace"), Workspace)

    async def key_status(self) -> KeyStatus:
        return self._decode(await self._get("/api/keys"), KeyStatus)

    async def rotate_keys(self) -> KeyRotation:
        return self._decode(await self._post("/api/keys/rotate", {}), KeyRotation)

    async def tokens(self) -> tuple[TokenInfo, ...]:
        """Access tokens of the workspace, without the tokens themselves (admin)."""
        return decode_items(await self._get("/api/tokens"), TokenInfo, what=self._what)

    async def members(self) -> tuple[Member, ...]:
        """Who is in the workspace (admin)."""
        return decode_items(await self._get("/api/members"), Member, what=self._what)

    # --- acting --------------------------------------------------------------------------------------------------

    async def put_profile(self, profile: LaunchProfile) -> ProfileView:
        body = compact({k: getattr(profile, k) for k in ("runtime", "command", "cwd", "env", "mode", "title")})
        raw = await self._send("PUT", f"/agents/profiles/{quote(profile.name, safe='')}", body)
        return self._decode(raw, ProfileView)

    async def delete_profile(self, name: str) -> None:
        await self._send("DELETE", f"/agents/profiles/{quote(name, safe='')}")

    async def set_message_retention(self, days: int | None) -> Workspace:
        raw = await self._send("PATCH", "/api/workspace", {"messageRetentionDays": days})
        return self._decode(raw, Workspace)

    async def spawn(
        self, request: SpawnRequest, *, provider: str = INTERNAL_PROVIDER, idempotency_key: str | None = None
    ) -> AgentSession:
        body = {"provider": provider, **compact(to_builtins(request))}
        return self._decode(await self._post(_SESSIONS, body, key=idempotency_key), AgentSession)

    async def inject(
        self,
        session_id: str,
        content: str,
        *,
        delivery: Delivery | None = None,
        pause_before_send: bool = False,
        expected_run_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        body = {
            "content": content,
            "delivery": delivery,
            "pauseBeforeSend": pause_before_send,
            "expectedRunId": expected_run_id,
        }
        return self._decode(await self._post(_session(session_id, "inject"), body, key=idempotency_key), Receipt)

    async def withdraw(self, session_id: str, injection_id: str, *, expected_run_id: str | None = None) -> Receipt:
        return await self._change(session_id, injection_id, "withdraw", {"expectedRunId": expected_run_id})

    async def edit_message(
        self, session_id: str, injection_id: str, *, content: str, was: str, expected_run_id: str | None = None
    ) -> Receipt:
        body = {"content": content, "was": was, "expectedRunId": expected_run_id}
        return await self._change(session_id, injection_id, "edit", body)

    async def move_message(
        self, session_id: str, injection_id: str, *, position: int, expected_run_id: str | None = None
    ) -> Receipt:
        body = {"position": position, "expectedRunId": expected_run_id}
        return await self._change(session_id, injection_id, "move", body)

    async def _change(self, session_id: str, injection_id: str, verb: str, body: Mapping[str, object]) -> Receipt:
        path = _session(session_id, f"receipts/{quote(injection_id, safe='')}/{verb}")
        return self._decode(await self._post(path, body), Receipt)

    async def pause(
        self,
        session_id: str,
        *,
        level: str | None = None,
        reason: str | None = None,
        expected_run_id: str | None = None,
    ) -> AgentSession:
        return await self._act(session_id, "pause", reason, expected_run_id, level=level)

    async def resume(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "resume", reason, expected_run_id)

    async def cancel(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "cancel", reason, expected_run_id)

    async def hold_commands(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "hold-commands", reason, expected_run_id)

    async def release_commands(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "release-commands", reason, expected_run_id)

    async def terminate(
        self, session_id: str, *, reason: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        return await self._act(session_id, "terminate", reason, expected_run_id)

    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None = None) -> AgentSession:
        return await self._act(session_id, "kill", reason, expected_run_id)

    async def kill_all(
        self,
        *,
        scope: str,
        confirm: str,
        reason: str,
        undo_seconds: float = 0,
        watch_seconds: float = WATCH_SECONDS,
        idempotency_key: str | None = None,
    ) -> KillAll:
        body = {
            "scope": scope,
            "confirm": confirm,
            "reason": reason,
            "undoSeconds": undo_seconds,
            "watchSeconds": watch_seconds,
        }
        raw = await self._post("/api/mission-control/kill-all", body, key=idempotency_key, read_seconds=STOP_SECONDS)
        return await self.kill_state(self._decode(raw, _KillStarted).kill_id)

    async def kill_undo(self, kill_id: str) -> KillAll:
        return self._decode(await self._post(f"{_kill(kill_id)}/undo", {}), KillAll)

    async def kill_close(self, kill_id: str) -> KillAll:
        return self._decode(await self._post(f"{_kill(kill_id)}/close", {}), KillAll)

    async def answer(self, approval_id: str, option_id: str, *, expected_run_id: str | None = None) -> Approval:
        path = f"/api/mission-control/approvals/{quote(approval_id, safe='')}"
        body = {"optionId": option_id, "expectedRunId": expected_run_id}
        return self._decode(await self._post(path, body), Approval)

    async def create_provider(self, draft: ProviderDraft, *, idempotency_key: str | None = None) -> ProviderView:
        body = {
            "name": draft.name,
            "provider": draft.provider,
            "gatewayUrl": draft.gateway_url,
            "credentials": draft.credentials.reveal() or None,
            "isActive": draft.is_active,
            "allowInsecure": draft.allow_insecure,
        }
        return self._decode(await self._post("/api/agent-providers", body, key=idempotency_key), ProviderView)

    async def update_provider(self, provider_id: str, change: ProviderChange) -> ProviderView:
        body = compact(
            {
                "name": change.name,
                "provider": change.provider,
                "gatewayUrl": change.gateway_url,
                "isActive": change.is_active,
                "allowInsecure": change.allow_insecure,
            }
        )
        if change.credentials is not None:
            body["credentials"] = change.credentials.reveal() or None
        return self._decode(await self._send("PATCH", _provider(provider_id), body), ProviderView)

    async def delete_provider(self, provider_id: str) -> None:
        await self._send("DELETE", _provider(provider_id))

    async def check_provider(self, provider_id: str) -> CheckReport:
        return self._decode(await self._post(_provider(provider_id) + "/check", {}), CheckReport)

    async def create_token(
        self, *, user: str, role: Role, workspace: str | None = None, expires_in: str | int | None = None
    ) -> NewToken:
        """A new access token (admin); its `token` is shown this once. `expires_in` like "30d" or "12h"."""
        body = {"user": user, "role": role, "workspace": workspace, "expiresIn": expires_in}
        return self._decode(await self._post("/api/tokens", body), NewToken)

    async def revoke_token(self, token_id: str) -> None:
        await self._send("DELETE", f"/api/tokens/{quote(token_id, safe='')}")

    async def set_member(self, user: str, role: Role) -> Member:
        return self._decode(await self._send("PUT", f"/api/members/{quote(user, safe='')}", {"role": role}), Member)

    async def remove_member(self, user: str) -> None:
        await self._send("DELETE", f"/api/members/{quote(user, safe='')}")

    async def _act(
        self, session_id: str, verb: str, reason: str | None, run_id: str | None, **more: str | None
    ) -> AgentSession:
        body = {"reason": reason, "expectedRunId": run_id, **more}
        raw = await self._post(_session(session_id, verb), body, read_seconds=STOP_SECONDS)
        return self._decode(raw, AgentSession)

    # --- streams -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def events(self, *, last_event_id: str | None = None) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with self._open("/api/mission-control/events", {}, last_event_id) as events:
            yield events

    @asynccontextmanager
    async def stream(
        self, session_id: str, *, last_event_id: str | None = None, replay: int | None = None
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with self._open(_session(session_id, "stream"), {"replay": replay}, last_event_id) as events:
            yield events


def _session(session_id: str, verb: str | None = None) -> str:
    path = f"{_SESSIONS}/{quote(session_id, safe='')}"
    return path if verb is None else f"{path}/{verb}"


def _provider(provider_id: str) -> str:
    return f"/api/agent-providers/{quote(provider_id, safe='')}"


def _kill(kill_id: str) -> str:
    return f"/api/mission-control/kill-all/{quote(kill_id, safe='')}"
