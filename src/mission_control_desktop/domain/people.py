"""Who acts: people with a role in a workspace, agents on their own subtree, and the policy itself."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from mission_control_desktop.domain.base import Record

DEFAULT_WORKSPACE = "default"


class Role(StrEnum):
    OBSERVER = "observer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        return (Role.OBSERVER, Role.OPERATOR, Role.ADMIN).index(self)


class ActorKind(StrEnum):
    PERSON = "person"
    AGENT = "agent"
    POLICY = "policy"


class Principal(Record, frozen=True, kw_only=True):
    """An authenticated caller. An agent's principal carries the session whose subtree it may touch."""

    user_id: str
    role: Role
    workspace_id: str = DEFAULT_WORKSPACE
    actor_kind: ActorKind = ActorKind.PERSON
    agent_session_id: str | None = None
    token_id: str | None = None


class Me(Record, frozen=True, kw_only=True):
    user_id: str
    role: Role
    workspace_id: str


class TokenInfo(Record, frozen=True, kw_only=True):
    """A token as it is listed: never the token itself."""

    id: str
    user_id: str
    role: Role
    workspace_id: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    created_by: str | None = None
    """Who made it; None for one that was made before this was kept."""


class Member(Record, frozen=True, kw_only=True):
    """Someone in a workspace. `role` is the highest that a token of theirs can have; `live_tokens` how many they can
    come in with now."""

    user_id: str
    role: Role
    workspace_id: str
    created_at: datetime
    updated_at: datetime
    live_tokens: int = 0


class NewToken(TokenInfo, frozen=True, kw_only=True):
    """The answer to its creation: the only time that the token is shown."""

    token: str

    def __repr__(self) -> str:
        return f"NewToken({self.id!r}, user_id={self.user_id!r}, role={self.role.value!r})"
