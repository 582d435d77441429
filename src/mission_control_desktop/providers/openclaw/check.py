"""The staged check of a gateway: what a person sees after pressing Check."""

from __future__ import annotations

import asyncio

from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.providers.kinds import CheckLog
from mission_control_desktop.providers.openclaw.frames import Event
from mission_control_desktop.providers.openclaw.identity import SCOPES
from mission_control_desktop.providers.openclaw.link import Doorway
from mission_control_desktop.providers.openclaw.scopes import missing_words
from mission_control_desktop.providers.openclaw.trouble import GatewayError, Lost, Refused

_ORDER = tuple(StageName)
_PASSED = {
    StageName.REACHABLE: "Something answers there.",
    StageName.PROTOCOL: "It is an OpenClaw gateway.",
    StageName.AUTHENTICATED: "The credentials are accepted.",
    StageName.SCOPES: "All scopes are granted.",
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
    missing = missing_words(hello.auth.scopes)
    if missing is not None:
        log.failed(StageName.SCOPES, missing)
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
