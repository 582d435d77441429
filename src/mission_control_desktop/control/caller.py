"""A caller: what it may do, and what it can see at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mission_control_desktop.control.interventions import Attempt
from mission_control_desktop.control.policy import RULES, Operation, Reach, check, check_role
from mission_control_desktop.domain.errors import Conflict, Forbidden, MissionControlError, NotFound
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE, ActorKind, Principal
from mission_control_desktop.domain.sessions import (
    INTERNAL_PROVIDER,
    AgentSession,
    Freshness,
    global_id,
    split_id,
)
from mission_control_desktop.providers.contract import AgentProvider

if TYPE_CHECKING:
    from mission_control_desktop.control.plane import ControlPlane


class Caller:
    """One principal before the control plane; what reads and acts for it stands on this."""

    def __init__(self, plane: ControlPlane, who: Principal) -> None:
        self._plane = plane
        self._who = who

    async def refuse(
        self,
        operation: Operation,
        *,
        session_id: str | None = None,
        content: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Raise Forbidden, with an audit row, if the caller's role does not allow the operation whatever its input."""
        try:
            check_role(self._who, operation)
        except Forbidden as error:
            await self._note_refusal(operation, error, session_id, content, reason)
            raise

    async def turned_down(
        self,
        operation: Operation,
        error: MissionControlError,
        *,
        session_id: str | None = None,
        content: str | None = None,
        reason: str | None = None,
    ) -> None:
        """Note an attempt to intervene whose input was so wrong that it came no further. Reading leaves no row."""
        if RULES[operation].intervention:
            await self._note_refusal(operation, error, session_id, content, reason)

    @property
    def _agent(self) -> str | None:
        """The caller's own native session id, if it is an agent."""
        return self._who.agent_session_id if self._who.actor_kind is ActorKind.AGENT else None

    @property
    def _user(self) -> str:
        return f"{self._who.actor_kind.value}:{self._who.user_id}"

    @property
    def _workspace(self) -> str:
        return self._who.workspace_id

    def _has(self, provider: str) -> bool:
        """Whether the caller's workspace has this provider now. What is on record knows its workspace by itself, also
        once its provider is gone."""
        return provider in self._plane.registry.names(self._workspace)

    def _require_internal(self) -> None:
        """Agents of this computer and their launch profiles belong to the default workspace. Raises NotFound."""
        if self._workspace != DEFAULT_WORKSPACE:
            raise NotFound(f"The workspace {self._workspace!r} has no agents of this computer, so no launch profiles.")

    async def _on_record(self, session_id: str) -> AgentSession:
        session = await self._plane.database.sessions.get(session_id, workspace_id=self._workspace)
        if session is None:
            raise no_session()
        return self._as_known_now(session)

    def _as_known_now(self, session: AgentSession) -> AgentSession:
        """A session of a provider that does not answer is not claimed to be as it was: its evidence says so."""
        if session.status.final or self._plane.reachable(session.provider):
            return session
        evidence = msgspec.structs.replace(session.evidence, freshness=Freshness.UNREACHABLE)
        return msgspec.structs.replace(session, evidence=evidence)

    def _provider(self, session_id: str) -> tuple[AgentProvider, str]:
        if not self._has(split_id(session_id)[0]):
            raise no_session()
        return self._plane.registry.of(session_id)

    def _running(self, session_id: str) -> tuple[AgentProvider, str]:
        """The same for a session that is on record, whose provider may have been removed. Conflict then."""
        try:
            return self._provider(session_id)
        except NotFound:
            name = split_id(session_id)[0]
            if name in self._plane.registry.names():
                raise
            raise Conflict(
                f"The provider {name} was removed; its sessions stay on record and can only be read.", provider=name
            ) from None

    def may(self, operation: Operation) -> bool:
        """Whether the caller's role allows it at all."""
        try:
            check_role(self._who, operation)
        except Forbidden:
            return False
        return True

    async def _permit(self, operation: Operation, session_id: str | None = None) -> None:
        """Decide about a read. A refusal leaves a row; a permitted read does not."""
        try:
            await self._decide(operation, session_id)
        except Forbidden as error:
            await self._note_refusal(operation, error, session_id)
            raise

    async def _decide(self, operation: Operation, session_id: str | None) -> None:
        check(self._who, operation, self._reach(session_id))

    def _reach(self, session_id: str | None) -> Reach:
        if self._agent is None or session_id is None:
            return Reach.NO_TARGET
        provider, native = split_id(session_id)
        if provider != INTERNAL_PROVIDER:
            return Reach.OUTSIDE
        if native == self._agent:
            return Reach.SELF
        return Reach.BELOW if self._plane.in_subtree(self._agent, native) else Reach.OUTSIDE

    async def _note_refusal(
        self,
        operation: Operation,
        error: MissionControlError,
        session_id: str | None,
        content: str | None = None,
        reason: str | None = None,
    ) -> None:
        metadata: dict[str, Any] = {"operation": operation.value}
        if reason:
            metadata["reason"] = reason
        attempt = Attempt(
            who=self._who,
            action=RULES[operation].action,
            session_id=None if session_id is None else whole_id(session_id),
            provider=None if session_id is None else split_id(session_id)[0],
            content=content,
            metadata=metadata,
        )
        await self._plane.interventions.note(attempt, error)


def whole_id(session_id: str) -> str:
    """The control-plane id: one without a provider's name is the built-in provider's."""
    return global_id(*split_id(session_id))


def no_session() -> NotFound:
    return NotFound("There is no such session.")
