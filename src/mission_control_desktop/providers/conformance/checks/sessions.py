"""Sessions: listed, one by one, as a tree, with a status that is true and capabilities that are honest."""

from __future__ import annotations

from datetime import timedelta

from mission_control_desktop.domain.errors import Conflict, MissionControlError, Unsupported
from mission_control_desktop.domain.profiles import SpawnRequest
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus, global_id
from mission_control_desktop.providers.conformance.bench import UNKNOWN, Bench, ids_of, is_idle, reason_of
from mission_control_desktop.providers.conformance.peer import Cannot
from mission_control_desktop.providers.conformance.verdict import Broken, Part, demand
from mission_control_desktop.storage import SystemClock

PART = Part("sessions")


@PART
async def a_new_session_is_listed_and_on_record(bench: Bench) -> None:
    """A session that begins at the peer is listed, found by its id, and on record, with times that are aware."""
    native = await bench.new_session()
    on_record = await bench.until_session(native, "is on record")
    listed = await bench.call(bench.provider.list_sessions(), "list_sessions")
    ids = ids_of(listed)
    demand(
        ids.count(global_id(bench.name, native)) == 1,
        f"list_sessions has it {ids.count(global_id(bench.name, native))} times",
    )
    demand(len(ids) == len(set(ids)), "list_sessions has a session twice")
    foreign = [
        one.session_id
        for one in listed
        if one.provider != bench.name or not one.session_id.startswith(f"{bench.name}:")
    ]
    demand(not foreign, f"sessions without the provider's name: {foreign[:3]}")
    found = await bench.call(bench.provider.get_session(native), "get_session")
    if found is None:
        raise Broken("get_session does not find it")
    for one in (found, on_record):
        demand(one.session_id == global_id(bench.name, native), f"it is told as {one.session_id}, not by its own id")
        _check_times(one)
        demand(one.evidence.source.strip(), "its evidence has no source")
    demand(found.status is on_record.status, f"get_session says {found.status}, the record {on_record.status}")


def _check_times(session: AgentSession) -> None:
    for name in ("spawned_at", "started_at", "completed_at"):
        at = getattr(session, name)
        demand(at is None or at.utcoffset() == timedelta(0), f"{name} is no aware time in UTC: {at}")
    seen = session.evidence.last_event_at
    demand(seen.utcoffset() == timedelta(0), f"evidence.lastEventAt is no aware time in UTC: {seen}")
    ahead = seen - SystemClock().now()
    demand(ahead < timedelta(minutes=1), f"evidence.lastEventAt is {ahead} in the future")


@PART
async def an_unknown_session_is_none(bench: Bench) -> None:
    """`get_session` of a session that there is not answers None, and makes none."""
    found = await bench.call(bench.provider.get_session(UNKNOWN), "get_session")
    demand(found is None, f"get_session of an unknown session answered {found!r}")
    await _check_not_there(bench, UNKNOWN)


async def _check_not_there(bench: Bench, native: str) -> None:
    listed = await bench.call(bench.provider.list_sessions(), "list_sessions")
    demand(global_id(bench.name, native) not in ids_of(listed), f"the session {native} is listed now: it was made")
    demand(await bench.session(native) is None, f"the session {native} is on record now: it was made")


@PART
async def sub_sessions_name_their_parent(bench: Bench) -> None:
    """A sub-session is told with its parent's control-plane id, in the list and on record."""
    parent = await bench.new_session()
    child = await bench.made(parent=parent)
    wanted = global_id(bench.name, parent)
    on_record = await bench.until_session(child, "is on record")
    demand(on_record.parent_session_id == wanted, f"its parent on record is {on_record.parent_session_id}")
    for one in await bench.call(bench.provider.list_sessions(), "list_sessions"):
        if one.session_id == global_id(bench.name, child):
            demand(one.parent_session_id == wanted, f"its parent in the list is {one.parent_session_id}")
        if one.session_id == wanted:
            demand(one.parent_session_id is None, f"the parent has a parent: {one.parent_session_id}")


@PART
async def status_follows_the_peer(bench: Bench) -> None:
    """A session waits for an operator, is running while its agent works, and its status carries a new sign of life."""
    native = await bench.new_session()
    before = await bench.until_idle(native)
    await bench.peer.work(native)
    running = await bench.until_session(native, "is running", lambda one: one.status is SessionStatus.RUNNING)
    demand(running.evidence.last_event_at >= before.evidence.last_event_at, "its newest sign of life became older")
    demand(running.waiting_for is None, f"it is running and waits for {running.waiting_for}")
    told = await bench.call(bench.provider.get_session(native), "get_session")
    demand(told is not None and not is_idle(told), "it is running on record, and get_session says that it waits")


@PART
async def what_is_missing_has_a_reason(bench: Bench) -> None:
    """Each capability that a living session lacks has a reason, which is what the call raises Unsupported with; none
    that it has is refused as unsupported."""
    native = await bench.new_session()
    session = await bench.until_idle(native)
    has = session.capabilities
    lacks = {
        "inject": not has.inject,
        "pause": has.pause is None,
        "terminate": not has.terminate,
        "kill": not has.kill,
        "approvals": not has.approvals,
    }
    for name, missing in lacks.items():
        demand(not missing or reason_of(session, name), f"it lacks `{name}` and `reasons` does not say why")
    provider = bench.provider
    for name, call in (
        ("inject", lambda: bench.injecting(native, "a message that cannot be taken")),
        ("pause", lambda: provider.pause(native)),
        ("pause", lambda: provider.resume(native)),
        ("terminate", lambda: provider.terminate(native)),
        ("kill", lambda: provider.kill(native)),
    ):
        if lacks[name]:
            await bench.refused(call(), f"{name} (which the session lacks)", Unsupported)
    still = await bench.until_session(native, "is on record")
    demand(not still.status.final, f"after calls that were refused it is {still.status.value}")


@PART
async def starting_sessions_is_done_or_unsupported(bench: Bench) -> None:
    """`spawn` starts a session that is on record when it returns; where sessions are started elsewhere it raises
    Unsupported."""
    try:
        request = bench.peer.spawning()
    except Cannot:
        made = SpawnRequest(profile="conformance")
        await bench.refused(bench.provider.spawn(made, actor="conformance"), "spawn", Unsupported)
        return
    session = await bench.call(bench.provider.spawn(request, actor="conformance"), "spawn")
    native = session.session_id.removeprefix(f"{bench.name}:")
    demand(session.session_id == global_id(bench.name, native), f"spawn answered the id {session.session_id}")
    demand(await bench.session(native) is not None, "spawn returned before the session was on record")
    await bench.until_idle(native)
    await bench.peer.end(native)


@PART
async def looking_at_processes_is_done_or_unsupported(bench: Bench) -> None:
    """`processes` shows what a stop would hit, or raises Unsupported; of an unknown session it never shows any."""
    native = await bench.working()
    try:
        shown = await bench.call(bench.provider.processes(native), "processes")
        demand(shown, "a session at work has no process, and `processes` is not unsupported")
    except Unsupported:
        pass
    try:
        shown = await bench.call(bench.provider.processes(UNKNOWN), "processes")
        demand(not shown, f"an unknown session has processes: {shown}")
    except MissionControlError as error:
        demand(not isinstance(error, Conflict), "processes of an unknown session is a Conflict, not NotFound")
