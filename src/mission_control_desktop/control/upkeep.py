"""What admins of a control plane see to: launch profiles, how long messages are kept, the master key."""

from __future__ import annotations

from mission_control_desktop.control.caller import Caller
from mission_control_desktop.control.interventions import Attempt
from mission_control_desktop.control.policy import Operation
from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.errors import BadInput, Forbidden
from mission_control_desktop.domain.keys import KeyRotation, KeyStatus
from mission_control_desktop.domain.limits import RETENTION_DAYS_MAX
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE
from mission_control_desktop.domain.profiles import LaunchProfile, ProfileView
from mission_control_desktop.domain.retention import Workspace
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER


class Upkeep(Caller):
    """Changes leave their audit rows; the profiles themselves are read by `control.reading`."""

    async def put_profile(self, profile: LaunchProfile) -> ProfileView:
        attempt = Attempt(
            who=self._who,
            action=AuditAction.PROFILE_CHANGE,
            provider=INTERNAL_PROVIDER,
            metadata={
                "name": profile.name,
                "command": list(profile.command),
                "cwd": profile.cwd,
                "envNames": sorted(profile.env),
            },
        )

        async def check_() -> None:
            await self._decide(Operation.PROFILE_PUT, None)
            self._require_internal()

        return await self._plane.interventions.run(attempt, check=check_, act=lambda: self._plane.profiles.put(profile))

    async def delete_profile(self, name: str) -> None:
        attempt = Attempt(
            who=self._who,
            action=AuditAction.PROFILE_REMOVE,
            provider=INTERNAL_PROVIDER,
            metadata={"name": name},
        )

        async def check_() -> None:
            await self._decide(Operation.PROFILE_DELETE, None)
            self._require_internal()

        await self._plane.interventions.run(attempt, check=check_, act=lambda: self._plane.profiles.delete(name))

    async def set_message_retention(self, days: int | None) -> Workspace:
        """How many days the workspace keeps its messages; None is the default. It takes effect with the next run."""
        workspace_id = self._who.workspace_id
        attempt = Attempt(who=self._who, action=AuditAction.WORKSPACE_CHANGE, metadata={"messageRetentionDays": days})

        async def check_() -> None:
            await self._decide(Operation.WORKSPACE_CHANGE, None)
            if days is not None and not 1 <= days <= RETENTION_DAYS_MAX:
                raise BadInput("messageRetentionDays", f"Messages are kept 1 to {RETENTION_DAYS_MAX} days.")
            attempt.metadata["before"] = await self._plane.database.retention.days(workspace_id)

        async def act() -> Workspace:
            await self._plane.database.retention.set_days(workspace_id, days, at=self._plane.clock.now())
            return await self._plane.workspace(workspace_id)

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    async def key_status(self) -> KeyStatus:
        await self._decide(Operation.KEYS, None)
        self._require_installation()
        return await self._plane.keys.status()

    async def rotate_keys(self) -> KeyRotation:
        attempt = Attempt(who=self._who, action=AuditAction.KEYS_ROTATE)

        async def check_() -> None:
            await self._decide(Operation.KEYS_ROTATE, None)
            self._require_installation()

        async def act() -> KeyRotation:
            done = await self._plane.keys.rotate()
            attempt.result |= {"keyId": done.key_id, "resealed": done.resealed, "left": len(done.left)}
            return done

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    def _require_installation(self) -> None:
        if self._workspace != DEFAULT_WORKSPACE:
            raise Forbidden("Master keys are the whole installation's: this needs an admin of the default workspace.")
