"""The kind of adapter `orchestrator`: how it is configured, opened and checked."""

from __future__ import annotations

import time

from mission_control_desktop.client.transport import check_token
from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import BadInput, MissionControlError, Unreachable
from mission_control_desktop.domain.people import DEFAULT_WORKSPACE, Role
from mission_control_desktop.domain.providers import CredentialField, StageName
from mission_control_desktop.providers.contract import AgentProvider
from mission_control_desktop.providers.kinds import AdapterConfig, CheckLog, Keep
from mission_control_desktop.providers.remote.api import MAX_EVENT_BYTES, AgentsApi
from mission_control_desktop.providers.remote.provider import RemoteOrchestrator
from mission_control_desktop.storage.system import SystemClock


class OrchestratorKind:
    """Another Mission Control's own agents."""

    kind = "orchestrator"
    title = "Another Mission Control"
    schemes = ("https", "http")
    credentials = (CredentialField(name="token", title="Access token", required=True),)

    def open(self, config: AdapterConfig, credentials: Credentials, keep: Keep) -> AgentProvider:
        token = _token(credentials)
        return RemoteOrchestrator(config.name, lambda: _connect(config, token), SystemClock())

    async def check(self, config: AdapterConfig, credentials: Credentials, keep: Keep, log: CheckLog) -> None:
        api = _connect(config, _token(credentials))
        try:
            await _check(config, api, log)
        finally:
            await api.close()


KIND = OrchestratorKind()


def _token(credentials: Credentials) -> str:
    token = credentials.token
    if token is None:
        raise BadInput("credentials", "Another Mission Control needs an access token.")
    try:
        check_token(token)
    except BadInput as error:
        raise BadInput("credentials", error.message) from None
    return token


def _connect(config: AdapterConfig, token: str) -> AgentsApi:
    return AgentsApi(
        config.gateway_url,
        token,
        what=f"The other Mission Control at {config.gateway_url}",
        allow_insecure=config.allow_insecure,
        max_event_bytes=MAX_EVENT_BYTES,
    )


async def _check(config: AdapterConfig, api: AgentsApi, log: CheckLog) -> None:
    began = time.monotonic()
    try:
        raw = await api.hello()
    except Unreachable as error:
        return log.failed(
            StageName.REACHABLE,
            f"{error.message}. Is it running, and does the address {config.gateway_url} lead to it from the control "
            "plane's computer?",
        )
    except MissionControlError as error:
        log.ok(StageName.REACHABLE, "Something answers there.")
        return log.failed(StageName.PROTOCOL, f"{error.message}. The address must be a Mission Control's, and no more.")
    log.ok(StageName.REACHABLE, f"It answers in {(time.monotonic() - began) * 1000:.0f} ms.")
    try:
        health = api.read_health(raw)
    except Unreachable as error:
        return log.failed(StageName.PROTOCOL, f"{error.message} The address may be another program's.")
    log.ok(StageName.PROTOCOL, f"It is a Mission Control of version {health.version}; it is {health.status}.")
    try:
        me = await api.me()
    except MissionControlError as error:
        return log.failed(
            StageName.AUTHENTICATED,
            f"{error.message} Make a token there (`mission-control token create --user NAME --role operator`) and give "
            "it to this provider as its credentials.",
        )
    log.ok(StageName.AUTHENTICATED, f"The token is {me.user_id}'s.")
    if me.workspace_id != DEFAULT_WORKSPACE:
        return log.failed(
            StageName.SCOPES,
            f"The token belongs to the workspace {me.workspace_id}; agents belong to {DEFAULT_WORKSPACE}. Make one for "
            "that.",
        )
    if me.role is Role.OBSERVER:
        log.ok(
            StageName.SCOPES,
            "The token's role is observer: agents can be watched, and nothing can be done to them. To steer and stop "
            "them, use a token of the role operator.",
        )
    else:
        log.ok(
            StageName.SCOPES, f"The token's role is {me.role.value}: its agents can be watched, steered and stopped."
        )
    try:
        sessions = await api.living()
        async with api.events(None):
            pass
    except MissionControlError as error:
        return log.failed(
            StageName.SESSIONS,
            f"{error.message} A proxy on the way must let `/agents` and event streams through.",
        )
    living = sum(not one.status.final for one in sessions)
    return log.ok(StageName.SESSIONS, f"{living} agents live there; what happens to them is told as it happens.")
