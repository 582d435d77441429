"""What the control plane needs from storage and from the orchestrator, named by need.

The implementations are in `storage` and `orchestrator`; tests bring their own where a fault must be provoked.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mission_control_desktop.domain.audit import AuditEntry
from mission_control_desktop.domain.kill import KillAll
from mission_control_desktop.domain.people import Member, Role, TokenInfo
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView


class AuditLog(Protocol):
    async def append(self, workspace_id: str, draft: AuditEntry) -> AuditEntry:
        """Give the draft its place in the workspace's chain, commit it durably and show it. Raises Unavailable if it
        cannot be written now."""
        ...

    async def get(self, entry_id: str) -> AuditEntry | None: ...


class KeyedResult(Protocol):
    """What is stored for an idempotency key. `status` is None while the first request runs."""

    @property
    def fingerprint(self) -> str: ...
    @property
    def status(self) -> int | None: ...
    @property
    def body(self) -> bytes: ...
    @property
    def created_at(self) -> datetime | None: ...


class IdempotencyStore(Protocol):
    async def reserve(
        self, owner: str, key: str, fingerprint: str, *, at: datetime, forget: datetime
    ) -> KeyedResult | None:
        """Store the key as running and answer None, or answer what is stored for it already, unless that is from
        before `forget`."""
        ...

    async def complete(self, owner: str, key: str, *, status: int, body: bytes) -> None: ...

    async def release(self, owner: str, key: str) -> None:
        """Forget a key whose request did nothing."""
        ...

    async def purge(self, *, before: datetime) -> None: ...


class TokenStore(Protocol):
    async def add(self, token: TokenInfo, *, token_hash: str) -> Role | None:
        """Store it and make its user a member with at least its role, in one transaction; the role before, None for
        who was no member."""
        ...

    async def by_hash(self, token_hash: str) -> TokenInfo | None: ...
    async def get(self, token_id: str) -> TokenInfo | None: ...
    async def page(self, workspace_id: str) -> Sequence[TokenInfo]: ...
    async def revoke(self, token_id: str, *, at: datetime) -> None: ...
    async def used(self, token_id: str, *, at: datetime) -> None: ...


class MemberStore(Protocol):
    async def page(self, workspace_id: str, *, now: datetime) -> Sequence[Member]: ...

    async def put(
        self, workspace_id: str, user_id: str, role: Role, *, at: datetime
    ) -> tuple[Member, Role | None, tuple[str, ...]]:
        """The member, the role before, and the ids of the tokens that were lowered with it. Raises Conflict."""
        ...

    async def remove(self, workspace_id: str, user_id: str, *, at: datetime) -> tuple[str, ...]:
        """The ids of the tokens that were revoked with it. Raises NotFound and Conflict."""
        ...


class KillStore(Protocol):
    async def put(self, workspace_id: str, kill: KillAll, *, state: bytes = b"") -> None:
        """Store durably and put on the workspace's stream; `state` is what the runner needs to go on."""
        ...

    async def get(self, workspace_id: str, kill_id: str) -> KillAll | None: ...
    async def unfinished(self) -> Sequence[tuple[str, KillAll, bytes]]:
        """Workspace, kill-all, and what the runner stored."""
        ...


class AgentAccess(Protocol):
    """What the internal provider knows of agents as callers. Session ids are native."""

    def authenticate_agent(self, token: str) -> str | None: ...
    def in_subtree(self, root: str, session_id: str) -> bool:
        """Whether the session is the root or below it, at any depth."""
        ...


class AgentFiles(Protocol):
    """The files of the built-in provider's sessions, by native id."""

    async def ended_files(self) -> Sequence[tuple[str, datetime]]:
        """Sessions that are over and done with and still have files, and when that was."""
        ...

    async def remove_files(self, native_id: str) -> bool:
        """Remove the files of a session that is over and done with. Whether it did."""
        ...


class Profiles(Protocol):
    """Launch profiles: the demo, those found on the computer, and the operators' own."""

    async def list(self) -> Sequence[ProfileView]: ...
    async def put(self, profile: LaunchProfile) -> ProfileView: ...
    async def delete(self, name: str) -> None: ...
