"""The kind: found, configured and checked."""

from __future__ import annotations

import msgspec

from mission_control_desktop.domain.credentials import Credentials
from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.providers import CheckStage, StageName, StageState
from mission_control_desktop.providers.conformance.bench import Bench
from mission_control_desktop.providers.conformance.peer import MemoryKeep
from mission_control_desktop.providers.conformance.verdict import Broken, Part, Skipped, demand
from mission_control_desktop.providers.kinds import CheckLog, Keep, view_of

PART = Part("kind")


@PART
async def is_found_by_its_entry_point(bench: Bench) -> None:
    """An installed package brings the kind in the entry point group, and what a form needs to know of it is told."""
    view = view_of(bench.adapter)
    demand(msgspec.json.encode(view), "its view is no JSON")
    names = {one.name for one in view.credentials}
    given = set(bench.reach.credentials.names)
    demand(given <= names, f"the peer's credentials {sorted(given - names)} are none that the kind takes")
    scheme = bench.reach.gateway_url.partition("://")[0]
    demand(scheme in view.schemes, f"the peer's address begins with {scheme}://, which the kind does not speak")


@PART
async def opens_without_the_peer(bench: Bench) -> None:
    """`open` does no I/O: it succeeds while the peer is away, and what was never started can be closed."""
    async with bench.outage():
        provider = bench.make()
        demand(provider.name == bench.name, f"the provider is named {provider.name!r}, not as it was configured")
        demand(provider.health().state != "ok", "it says that it is well before it was started")
        await bench.call(provider.close(), "close of what was not started")


@PART
async def check_passes_where_all_is_well(bench: Bench) -> None:
    """`check` tells of each stage, none of which fails at a peer that is well, and changes nothing there."""
    before = sorted(one.session_id for one in await bench.call(bench.provider.list_sessions(), "list_sessions"))
    stages = await _checked(bench, bench.reach.credentials, bench.keep)
    failed = [f"{one.stage.value}: {one.detail}" for one in stages.values() if one.state is StageState.FAILED]
    demand(not failed, f"stages failed at a peer that is well: {'; '.join(failed)}")
    demand(stages[StageName.REACHABLE].state is StageState.OK, "it does not tell that the peer is reachable")
    silent = [one.stage.value for one in stages.values() if not one.detail.strip()]
    demand(not silent, f"stages without a word about what was found: {', '.join(silent)}")
    after = sorted(one.session_id for one in await bench.call(bench.provider.list_sessions(), "list_sessions"))
    demand(after == before, "the check changed which sessions there are")


@PART
async def check_tells_wrong_credentials(bench: Bench) -> None:
    """With wrong credentials `check` fails at the stage `authenticated`, in words, and does not repeat them."""
    wrong = bench.reach.wrong
    if wrong is None:
        raise Skipped("the peer takes any credentials")
    stages = await _checked(bench, wrong, MemoryKeep())
    states = {one.stage.value: one.state.value for one in stages.values()}
    demand(stages[StageName.REACHABLE].state is StageState.OK, f"the peer is reachable, but the stages are {states}")
    demand(
        stages[StageName.AUTHENTICATED].state is StageState.FAILED,
        f"wrong credentials do not fail at `authenticated`: {states}",
    )
    told = " ".join(one.detail for one in stages.values())
    demand(not any(value in told for value in wrong.reveal().values()), "the credentials stand in what it tells")


@PART
async def check_tells_a_peer_that_is_away(bench: Bench) -> None:
    """With the peer away `check` fails at the stage `reachable`, and names the address."""
    async with bench.outage():
        stages = await _checked(bench, bench.reach.credentials, bench.keep)
    one = stages[StageName.REACHABLE]
    demand(one.state is StageState.FAILED, f"the peer is away, but `reachable` is {one.state.value}: {one.detail}")
    host = bench.reach.gateway_url.partition("://")[2].partition("/")[0]
    demand(host in one.detail, f"what it tells does not name the address {host}: {one.detail}")


async def _checked(bench: Bench, credentials: Credentials, keep: Keep) -> dict[StageName, CheckStage]:
    """The stages; told as the control plane tells them if `check` raises."""
    log = CheckLog(credentials)
    try:
        await bench.call(bench.adapter.check(bench.config(), credentials, keep, log), "check")
    except MissionControlError as error:
        stage = log.under_way
        if stage is None:
            raise Broken(f"check raised {error.message!r} after its last stage") from error
        log.failed(stage, error.message)
    stages = {one.stage: one for one in log.stages()}
    bench.said.extend(one.detail for one in stages.values())
    return stages
