"""Registering, changing, removing and checking providers: for admins, and each attempt on record without secrets."""

from __future__ import annotations

from typing import Any

from mission_control_desktop.control.interventions import Attempt
from mission_control_desktop.control.keyed import KeyedCaller
from mission_control_desktop.control.policy import RULES, Operation
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.providers import CheckReport, ProviderChange, ProviderDraft, ProviderView


class ProviderAdmin(KeyedCaller):
    """The part of `domain.mission_control.MissionControl` that is about registered providers."""

    async def create_provider(
        self, draft: ProviderDraft, *, idempotency_key: str | None = None, seed: str | None = None
    ) -> ProviderView:
        """`seed` is an idempotency key's (`Idempotency.run`): with the same one it is the same provider."""
        if idempotency_key is not None:
            # Kept as a hash alone (`Idempotency.run`); the answer never has credentials.
            request = (
                "provider",
                *(draft.name, draft.provider, draft.gateway_url, draft.is_active, draft.allow_insecure),
                draft.credentials.reveal(),
            )
            return await self._keyed(
                idempotency_key,
                request,
                ProviderView,
                lambda seed: self.create_provider(draft, seed=seed),
                repeatable=True,
            )
        provider_id = seed or self._plane.ids.new()
        attempt = self._about(Operation.PROVIDER_ADD, provider_id)
        attempt.provider = draft.credentials.scrub(draft.name)
        attempt.metadata |= {
            "change": "registered",
            "kind": draft.credentials.scrub(draft.provider),
            "gatewayUrl": draft.credentials.scrub(draft.gateway_url),
            "isActive": draft.is_active,
            "allowInsecure": draft.allow_insecure,
            "credentials": "given" if draft.credentials else "none",
        }

        async def act() -> ProviderView:
            config = await self._plane.providers.create(self._workspace, provider_id, draft)
            return self._plane.provider_view(config)

        return await self._plane.interventions.run(
            attempt, check=lambda: self._decide(Operation.PROVIDER_ADD, None), act=act
        )

    async def update_provider(self, provider_id: str, change: ProviderChange) -> ProviderView:
        attempt = self._about(Operation.PROVIDER_UPDATE, provider_id)
        secret = change.credentials or Credentials()
        changed: dict[str, Any] = {
            "name": change.name,
            "kind": change.provider,
            "gatewayUrl": change.gateway_url,
            "isActive": change.is_active,
            "allowInsecure": change.allow_insecure,
            "credentials": None if change.credentials is None else "changed" if change.credentials else "removed",
        }
        attempt.metadata["change"] = {
            key: secret.scrub(value) if isinstance(value, str) else value
            for key, value in changed.items()
            if value is not None
        }

        async def check_() -> None:
            await self._decide(Operation.PROVIDER_UPDATE, None)
            await self._name_of(attempt, provider_id)

        async def act() -> ProviderView:
            config = await self._plane.providers.update(self._workspace, provider_id, change)
            return self._plane.provider_view(config)

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    async def delete_provider(self, provider_id: str) -> None:
        attempt = self._about(Operation.PROVIDER_REMOVE, provider_id)

        async def check_() -> None:
            await self._decide(Operation.PROVIDER_REMOVE, None)
            await self._name_of(attempt, provider_id)

        await self._plane.interventions.run(
            attempt, check=check_, act=lambda: self._plane.providers.remove(self._workspace, provider_id)
        )

    async def check_provider(self, provider_id: str) -> CheckReport:
        """Try the connection now, stage by stage; what fails is told in the report, not raised."""
        attempt = self._about(Operation.PROVIDER_CHECK, provider_id)

        async def check_() -> None:
            await self._decide(Operation.PROVIDER_CHECK, None)
            await self._name_of(attempt, provider_id)

        async def act() -> CheckReport:
            report = await self._plane.providers.check(self._workspace, provider_id)
            attempt.result["ok"] = report.ok
            attempt.result["stages"] = {one.stage.value: one.state.value for one in report.stages}
            return report

        return await self._plane.interventions.run(attempt, check=check_, act=act)

    def _about(self, operation: Operation, provider_id: str) -> Attempt:
        return Attempt(who=self._who, action=RULES[operation].action, metadata={"providerId": provider_id})

    async def _name_of(self, attempt: Attempt, provider_id: str) -> None:
        attempt.provider = (await self._plane.providers.get(self._workspace, provider_id)).name
