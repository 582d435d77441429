"""A provider that is registered and cannot be used, being switched off or broken: it says so, whatever is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery, ProcessInfo
from mission_control_desktop.providers.contract import ProviderRecord


class AbsentProvider:
    """Implements `AgentProvider`. `error` makes what every question and act raises."""

    def __init__(self, health: ProviderHealth, error: Callable[[], MissionControlError]) -> None:
        self._health = health
        self._error = error

    @property
    def name(self) -> str:
        return self._health.provider

    async def start(self, record: ProviderRecord) -> None:
        pass

    async def close(self) -> None:
        pass

    def health(self) -> ProviderHealth:
        return self._health

    def _refuse(self) -> NoReturn:
        raise self._error()

    async def list_sessions(self) -> list[AgentSession]:
        self._refuse()

    async def get_session(self, session_id: str) -> AgentSession | None:
        self._refuse()

    async def spawn(self, request: SpawnRequest, *, actor: str) -> AgentSession:
        self._refuse()

    async def inject(
        self,
        session_id: str,
        *,
        injection_id: str,
        content: str,
        operator_id: str,
        delivery: Delivery | None = None,
        pause_before_send: bool = False,
        expected_run_id: str | None = None,
    ) -> Receipt:
        self._refuse()

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        self._refuse()

    async def pause(
        self, session_id: str, *, level: str | None = None, expected_run_id: str | None = None
    ) -> AgentSession:
        self._refuse()

    async def resume(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        self._refuse()

    async def terminate(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        self._refuse()

    async def kill(self, session_id: str, *, expected_run_id: str | None = None) -> AgentSession:
        self._refuse()

    async def answer(self, session_id: str, approval_id: str, option_id: str, *, user_id: str) -> Approval:
        self._refuse()

    async def processes(self, session_id: str) -> list[ProcessInfo]:
        self._refuse()
