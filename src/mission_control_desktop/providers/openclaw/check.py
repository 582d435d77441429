"""The staged check of a gateway: what a person sees after pressing Check."""

from __future__ import annotations

import asyncio

from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.providers.kinds import CheckLog
from mission_control_desktop.providers.openclaw.frames import Event
from mission_control_desktop.providers.openclaw.identity import ADMIN, APPROVALS, QUESTIONS, SCOPES, WRITE
from mission_control_desktop.providers.openclaw.link import Doorway
from mission_control_desktop.providers.openclaw.trouble import GatewayError, Lost, Refused

_ORDER = tuple(StageName)
_PASSED = {
    StageName.REACHABLE: "Something answers there.",
    StageName.PROTOCOL: "It is an OpenClaw gateway.",
    StageName.AUTHENTICATED: "The credentials are accepted.",
    StageName.SCOPES: "All scopes are granted.",
}
_WITHOUT = {
    WRITE: "send messages or stop sessions",
    APPROVALS: "see or answer approvals",
    QUESTIONS: "see or answer questions",
    ADMIN: "stop runs that others began, or answer their approvals",
}


async def check_gateway(doorway: Doorway, log: CheckLog) -> None:
    """Tells the stages to `log` up to the first that failed."""
    try:
        connection = await doorway.open(_ignore, lambda stage: log.ok(stage, _PASSED[stage]))
    except Refused as refused:
        for stage in _ORDER[: _ORDER.index(refused.stage)]:
            log.ok(stage, _PASSED[stage])
        log.failed(refused.stage, refused.words)
        return
    hello = connection.hello
    log.ok(StageName.REACHABLE, "The gateway answers.")
    log.ok(StageName.PROTOCOL, f"OpenClaw {hello.server.version or 'of unknown version'}, protocol {hello.protocol}.")
    log.ok(StageName.AUTHENTICATED, "The gateway knows this device and accepts the credentials.")
    missing = [scope for scope in SCOPES if not connection.can(scope)]
    if missing:
        cannot = "; ".join(f"without {scope} it cannot {_WITHOUT.get(scope, 'work')}" for scope in missing)
        log.failed(
            StageName.SCOPES,
            f"The gateway did not grant everything: {cannot}. Approve the device with these scopes on the gateway "
            "(`openclaw devices list`), then check again.",
        )
        await connection.close()
        return
    log.ok(StageName.SCOPES, "Granted: " + ", ".join(SCOPES) + ".")
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(connection.run())
        try:
            listed = await connection.call("sessions.list", {"limit": 1})
            count = listed.get("totalCount") if isinstance(listed, dict) else None
            if isinstance(count, int):
                log.ok(StageName.SESSIONS, f"The gateway has {count} session{'' if count == 1 else 's'}.")
            else:
                log.failed(StageName.SESSIONS, "The gateway's list of sessions cannot be read. Update one of the two.")
        except GatewayError as error:
            log.failed(StageName.SESSIONS, error.in_the_tree().message)
        except Lost as error:
            log.failed(StageName.SESSIONS, error.message)
        finally:
            await connection.close()
            await reading


def _ignore(event: Event) -> None:
    """A check waits for no events."""
