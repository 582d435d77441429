"""Who may come in, as what: tokens and members of a workspace."""

from __future__ import annotations

from datetime import timedelta

from mission_control_desktop.control.interventions import Attempt
from mission_control_desktop.control.policy import Operation
from mission_control_desktop.control.reading import Reader
from mission_control_desktop.control.tokens import parse_duration, user_name, workspace_name
from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.errors import Forbidden
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE, Member, NewToken, Role, TokenInfo


class PeopleService(Reader):
    """Implements `domain.mission_control.People` for one principal."""

    async def tokens(self) -> tuple[TokenInfo, ...]:
        await self._permit(Operation.TOKENS)
        return await self._plane.tokens.list(self._workspace)

    async def create_token(
        self, *, user: str, role: Role, workspace: str | None = None, expires_in: str | int | None = None
    ) -> NewToken:
        """A new token: shown in this answer and never again. It makes the user a member, or raises them to its role.
        Admins of the default workspace make tokens for every workspace."""
        token_id = self._plane.ids.new()
        attempt = Attempt(
            who=self._who,
            action=AuditAction.TOKEN_CREATE,
            metadata={
                "tokenId": token_id,
                "user": user,
                "role": role.value,
                "workspace": self._workspace if workspace is None else workspace,
            },
        )
        life: list[timedelta] = []

        async def check_() -> None:
            await self._decide(Operation.TOKEN_CREATE, None)
            user_name(user)
            if workspace is not None:
                workspace_name(workspace)
            if workspace not in (None, self._workspace) and self._workspace != DEFAULT_WORKSPACE:
                raise Forbidden("You can make tokens for your own workspace only.")
            if expires_in is not None:
                life.append(parse_duration(expires_in))
            await self._plane.tokens.require_room(workspace or self._workspace)

        async def act() -> NewToken:
            made, before = await self._plane.tokens.issue(
                token_id,
                user_id=user,
                role=role,
                workspace_id=workspace or self._workspace,
                expires_in=life[0] if life else None,
                created_by=self._who.user_id,
            )
            if before is None or before.rank < role.rank:
                attempt.result["member"] = {"before": None if before is None else before.value, "now": role.value}
            return made

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    async def revoke_token(self, token_id: str) -> None:
        """End a token now; its open streams end with it."""
        attempt = Attempt(who=self._who, action=AuditAction.TOKEN_REVOKE, metadata={"tokenId": token_id})

        async def check_() -> None:
            await self._decide(Operation.TOKEN_REVOKE, None)
            info = await self._plane.tokens.get(self._workspace, token_id)
            attempt.metadata["user"] = info.user_id

        await self._plane.interventions.run(
            attempt, check=check_, act=lambda: self._plane.tokens.revoke(self._workspace, token_id)
        )

    async def members(self) -> tuple[Member, ...]:
        await self._permit(Operation.MEMBERS)
        return await self._plane.tokens.members(self._workspace)

    async def set_member(self, user: str, role: Role) -> Member:
        """Add a member, or change their role. A lower one lowers their tokens too, and ends those tokens' streams; a
        higher one leaves their tokens as they are. Conflict for the last admin."""
        attempt = Attempt(who=self._who, action=AuditAction.MEMBER_CHANGE, metadata={"user": user, "role": role.value})

        async def check_() -> None:
            await self._decide(Operation.MEMBER_PUT, None)
            user_name(user)

        async def act() -> Member:
            member, before, lowered = await self._plane.tokens.set_member(self._workspace, user, role)
            attempt.result["before"] = None if before is None else before.value
            attempt.result["loweredTokens"] = list(lowered)
            return member

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    async def remove_member(self, user: str) -> None:
        """Take a member out of the workspace; all their tokens there end. Conflict for the last admin."""
        attempt = Attempt(who=self._who, action=AuditAction.MEMBER_REMOVE, metadata={"user": user})

        async def act() -> None:
            revoked = await self._plane.tokens.remove_member(self._workspace, user)
            attempt.result["revokedTokens"] = list(revoked)

        await self._plane.interventions.run(attempt, check=lambda: self._decide(Operation.MEMBER_REMOVE, None), act=act)
