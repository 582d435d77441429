"""Secrets: nowhere but where they open the door."""

from __future__ import annotations

import asyncio
from pathlib import Path

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import MissionControlError, Unreachable
from mission_control_desktop.providers.conformance.bench import Bench
from mission_control_desktop.providers.conformance.peer import MemoryKeep
from mission_control_desktop.providers.conformance.verdict import Part, demand

PART = Part("secrets")
SHORTEST = 4
"""Shorter values stand in texts by chance."""


@PART
async def secrets_are_told_nowhere(bench: Bench) -> None:
    """No credential, and nothing that the adapter keeps sealed, stands in a log line, an error, a repr, the health or
    the record, neither while all is well nor when the credentials are wrong; all that earlier checks saw counts."""
    access = bench.reach
    secrets = {*access.credentials.reveal().values(), *bench.keep.values.values()}
    told = [repr(bench.provider), str(bench.provider), repr(bench.adapter), repr(bench.provider.health())]
    if access.wrong is not None:
        secrets |= set(access.wrong.reveal().values())
        told += await _with_wrong_credentials(bench, access.wrong)
    told += bench.everything_said()
    secrets = {one for one in secrets if len(one) >= SHORTEST}
    for text in told:
        hidden = text
        for one in secrets:
            hidden = hidden.replace(one, "[SECRET]")
        demand(hidden == text, f"a secret is told: {hidden[:300]}")
    found = await asyncio.to_thread(_in_files, bench.folder, secrets)
    demand(not found, f"a secret stands in the record: {', '.join(found)}")


def _in_files(folder: Path, secrets: set[str]) -> list[str]:
    raw = {path.name: path.read_bytes() for path in folder.glob("record-*/*")}
    return [name for name, content in raw.items() if any(one.encode() in content for one in secrets)]


async def _with_wrong_credentials(bench: Bench, wrong: Credentials) -> list[str]:
    """What a provider says that is not let in."""
    await bench.go_down()
    provider = bench.adapter.open(bench.config(), wrong, MemoryKeep())
    told: list[str] = []
    try:
        try:
            await bench.call(provider.start(bench.watch), "start with wrong credentials")
        except MissionControlError as error:
            told.append(error.message)

        async def refused() -> bool:
            health = provider.health()
            return health.state != "ok" and bool((health.detail or "").strip())

        await bench.until(f"the health of {bench.name} tells that it is not let in", refused)
        told += [repr(provider), repr(provider.health())]
        refusal = await bench.refused(provider.list_sessions(), "list_sessions with wrong credentials", Unreachable)
        told += [refusal.message, repr(refusal.details)]
    finally:
        await bench.call(provider.close(), "close")
        await bench.again()
    return told
