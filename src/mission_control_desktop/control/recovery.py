"""Intents that an earlier process left open: closed by asking what became of them.

The journal of a session may still carry out what it was told, so each intent is looked at for a while before it is
called interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditEntry, AuditOutcome
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.kill import KillAll, KillState
from mission_control_desktop.domain.limits import PAGE_MAX
from mission_control_desktop.domain.people import Member
from mission_control_desktop.domain.receipts import ReceiptState
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.storage.configs import StoredProviderConfig

if TYPE_CHECKING:
    from mission_control_desktop.control.plane import ControlPlane

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 15.0
STEP_SECONDS = 0.5
LOOK_TIMEOUT = 5.0

Finding = str | None
"""How it is known to be done, or None: not (yet)."""


class Recovery:
    """Closes the open intents of all that this process finds on record at its start."""

    def __init__(self, plane: ControlPlane, *, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._plane = plane
        self._settle = settle_seconds

    async def run(self, intents: Sequence[tuple[str, AuditEntry]], *, left_alone: frozenset[str]) -> None:
        """`intents` of all workspaces, each with its own. `left_alone`: kill ids whose runner goes on and closes its
        own intent."""
        mine = [(place, intent) for place, intent in intents if intent.metadata.get("killId") not in left_alone]
        async with asyncio.TaskGroup() as group:
            for workspace_id, intent in mine:
                group.create_task(self._close(workspace_id, intent))
        if mine:
            log.info("open intents closed", count=len(mine))

    async def _close(self, workspace_id: str, intent: AuditEntry) -> None:
        deadline = asyncio.get_running_loop().time() + self._settle
        done: Finding = None
        detail = "interrupted by a restart"
        while True:
            try:
                done = await self._look(workspace_id, intent)
            except MissionControlError as error:
                detail = f"interrupted by a restart; {error.message}"
            except Exception as error:
                log.exception("open intent cannot be looked into", intent=intent.id)
                detail = f"interrupted by a restart; {type(error).__name__}"
                break
            if done is not None or asyncio.get_running_loop().time() >= deadline:
                break
            await asyncio.sleep(STEP_SECONDS)
        outcome = AuditOutcome.FAILED if done is None else AuditOutcome.DONE
        await self._plane.interventions.close_intent(workspace_id, intent, outcome, done or detail)

    async def _look(self, workspace_id: str, intent: AuditEntry) -> Finding:
        kill_look = _KILL_LOOKS.get(intent.action)
        if kill_look is not None:
            return kill_look(await self._plane.database.kills.get(workspace_id, str(intent.metadata.get("killId"))))
        if intent.action is AuditAction.WORKSPACE_CHANGE:
            return await self._period_set(workspace_id, intent)
        member_look = _MEMBER_LOOKS.get(intent.action)
        if member_look is not None:
            user = str(intent.metadata.get("user"))
            now = self._plane.clock.now()
            return member_look(intent, await self._plane.database.members.get(workspace_id, user, now=now))
        look = _LOOKS.get(intent.action)
        return None if look is None else await look(self, intent)

    async def _session(self, intent: AuditEntry) -> AgentSession | None:
        if intent.session_id is None:
            return None
        provider, native = self._plane.registry.of(intent.session_id)
        return await self._plane.registry.call(provider.name, provider.get_session(native), timeout=LOOK_TIMEOUT)

    async def _started(self, intent: AuditEntry) -> Finding:
        provider = self._plane.registry.get(str(intent.provider))
        wanted = str(intent.metadata.get("wantedId"))
        session = await self._plane.registry.call(provider.name, provider.get_session(wanted), timeout=LOOK_TIMEOUT)
        return None if session is None else f"the session {wanted} is {session.status.value}"

    async def _ended(self, intent: AuditEntry) -> Finding:
        session = await self._session(intent)
        return f"the session is {session.status.value}" if session is not None and session.status.final else None

    async def _cancelled(self, intent: AuditEntry) -> Finding:
        session = await self._session(intent)
        if session is None or session.status in (SessionStatus.RUNNING, SessionStatus.SPAWNING):
            return None
        return f"no turn runs: the session is {session.status.value}"

    async def _held(self, intent: AuditEntry) -> Finding:
        session = await self._session(intent)
        return "the session's commands are held" if session is not None and _commands_held(session) else None

    async def _released(self, intent: AuditEntry) -> Finding:
        session = await self._session(intent)
        return "the session's commands are not held" if session is not None and not _commands_held(session) else None

    async def _paused(self, intent: AuditEntry) -> Finding:
        session = await self._session(intent)
        return "the session is paused" if session is not None and session.status is SessionStatus.PAUSED else None

    async def _resumed(self, intent: AuditEntry) -> Finding:
        session = await self._session(intent)
        if session is None or session.status.final or session.status is SessionStatus.PAUSED:
            return None
        return f"the session is {session.status.value}"

    async def _injected(self, intent: AuditEntry) -> Finding:
        receipt = await self._plane.database.receipts.get(str(intent.metadata.get("injectionId")))
        return None if receipt is None else f"the message is {receipt.state.value}"

    async def _withdrawn(self, intent: AuditEntry) -> Finding:
        receipt = await self._plane.database.receipts.get(str(intent.metadata.get("injectionId")))
        withdrawn = receipt is not None and receipt.state is ReceiptState.WITHDRAWN
        return "the message is withdrawn" if withdrawn else None

    async def _edited(self, intent: AuditEntry) -> Finding:
        page = await self._plane.database.messages.page(str(intent.session_id), limit=PAGE_MAX)
        wanted = intent.metadata.get("injectionId")
        found = next((one for one in page.items if one.metadata.get("injectionId") == wanted), None)
        same = found is not None and "editedBy" in found.metadata and found.content == intent.content
        return "the message has these words" if same else None

    async def _moved(self, intent: AuditEntry) -> Finding:
        receipt = await self._plane.database.receipts.get(str(intent.metadata.get("injectionId")))
        there = receipt is not None and receipt.position == intent.metadata.get("position")
        return "the message waits at this place" if there else None

    async def _answered(self, intent: AuditEntry) -> Finding:
        approval = await self._plane.database.approvals.get(str(intent.metadata.get("approvalId")))
        given = approval is not None and approval.state is ApprovalState.ANSWERED
        same = given and approval is not None and approval.answer == intent.metadata.get("optionId")
        return "the question has this answer" if same else None

    async def _profile_there(self, intent: AuditEntry) -> Finding:
        name, command = intent.metadata.get("name"), intent.metadata.get("command")
        there = any(
            profile.name == name and (command is None or list(profile.command) == command)
            for profile in await self._plane.profiles.list()
        )
        return "the profile is there" if there else None

    async def _profile_gone(self, intent: AuditEntry) -> Finding:
        return "the profile is gone" if await self._profile_there(intent) is None else None

    async def _period_set(self, workspace_id: str, intent: AuditEntry) -> Finding:
        days = await self._plane.database.retention.days(workspace_id)
        return "the workspace has this period" if days == intent.metadata.get("messageRetentionDays") else None

    async def _made(self, intent: AuditEntry) -> Finding:
        info = await self._plane.database.tokens.get(str(intent.metadata.get("tokenId")))
        return None if info is None else "the token was made; if nobody was shown it, revoke it"

    async def _provider_there(self, intent: AuditEntry) -> Finding:
        """A change is one write; it is done if the row was written after the intent was."""
        config = await self._config(intent)
        done = config is not None and config.updated_at >= intent.created_at
        return "the provider is as it was to be" if done else None

    async def _provider_gone(self, intent: AuditEntry) -> Finding:
        return "the provider is gone" if await self._config(intent) is None else None

    async def _config(self, intent: AuditEntry) -> StoredProviderConfig | None:
        wanted = intent.metadata.get("providerId")
        everywhere = await self._plane.database.provider_configs.everywhere()
        return next((one for one in everywhere if one.id == wanted), None)

    async def _revoked(self, intent: AuditEntry) -> Finding:
        info = await self._plane.database.tokens.get(str(intent.metadata.get("tokenId")))
        return "the token is revoked" if info is not None and info.revoked_at is not None else None


def _commands_held(session: AgentSession) -> bool:
    return "commandsHeld" in session.metadata


def _over(kill: KillAll | None) -> Finding:
    over = kill is not None and kill.state in (KillState.DONE, KillState.UNDONE)
    return f"the kill-all is {kill.state.value}" if over and kill is not None else None


def _undone(kill: KillAll | None) -> Finding:
    return "it is undone" if kill is not None and kill.state is KillState.UNDONE else None


_KILL_LOOKS: dict[AuditAction, Callable[[KillAll | None], Finding]] = {
    AuditAction.KILL_ALL: _over,
    AuditAction.KILL_ALL_UNDO: _undone,
}


def _member_is(intent: AuditEntry, member: Member | None) -> Finding:
    same = member is not None and member.role.value == intent.metadata.get("role")
    return f"the member is {member.role.value}" if same and member is not None else None


def _member_gone(intent: AuditEntry, member: Member | None) -> Finding:
    return "the member is gone" if member is None else None


_MEMBER_LOOKS: dict[AuditAction, Callable[[AuditEntry, Member | None], Finding]] = {
    AuditAction.MEMBER_CHANGE: _member_is,
    AuditAction.MEMBER_REMOVE: _member_gone,
}
_LOOKS: dict[AuditAction, Callable[[Recovery, AuditEntry], Awaitable[Any]]] = {
    AuditAction.SPAWN: Recovery._started,
    AuditAction.KILL: Recovery._ended,
    AuditAction.TERMINATE: Recovery._ended,
    AuditAction.CANCEL: Recovery._cancelled,
    AuditAction.HOLD_COMMANDS: Recovery._held,
    AuditAction.RELEASE_COMMANDS: Recovery._released,
    AuditAction.PAUSE: Recovery._paused,
    AuditAction.RESUME: Recovery._resumed,
    AuditAction.INJECT: Recovery._injected,
    AuditAction.WITHDRAW: Recovery._withdrawn,
    AuditAction.EDIT_MESSAGE: Recovery._edited,
    AuditAction.MOVE_MESSAGE: Recovery._moved,
    AuditAction.APPROVE: Recovery._answered,
    AuditAction.DENY: Recovery._answered,
    AuditAction.PROFILE_CHANGE: Recovery._profile_there,
    AuditAction.PROFILE_REMOVE: Recovery._profile_gone,
    AuditAction.TOKEN_CREATE: Recovery._made,
    AuditAction.PROVIDER_CHANGE: Recovery._provider_there,
    AuditAction.PROVIDER_REMOVE: Recovery._provider_gone,
    AuditAction.TOKEN_REVOKE: Recovery._revoked,
}
