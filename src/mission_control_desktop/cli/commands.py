"""What each verb does, on a connected control plane. Each returns an exit code and raises `domain.errors`."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Iterable, Mapping

from mission_control_desktop.cli import audit_log, ids, keys, people
from mission_control_desktop.cli.output import Output, elapsed, one_line, when
from mission_control_desktop.cli.providers import providers
from mission_control_desktop.cli.tail import tail
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.approvals import Approval, ApprovalState
from mission_control_desktop.domain.errors import NotFound
from mission_control_desktop.domain.kill import KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.domain.limits import PAGE_MAX
from mission_control_desktop.domain.mission_control import MissionControl, TreeNode
from mission_control_desktop.domain.profiles import LaunchProfile, SpawnRequest
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery, SessionStatus, split_id

POLL_SECONDS = 0.25

Command = Callable[[HttpMissionControl, Namespace, Output], Awaitable[int]]
RecordCommand = Callable[[MissionControl, Namespace, Output], Awaitable[int]]


async def sessions(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    found: list[AgentSession] = []
    cursor: str | None = None
    while len(found) < args.limit:
        page = await mc.sessions(
            provider=args.provider,
            status=None if args.status is None else SessionStatus(args.status),
            q=args.query,
            limit=min(500, args.limit - len(found)),
            cursor=cursor,
        )
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    if output.json:
        output.document({"items": found, "nextCursor": cursor})
        return 0
    short = ids.short_ids(session.session_id for session in found)
    rows = [
        (
            short[session.session_id],
            session.provider,
            status_words(session),
            elapsed(session.spawned_at, session.completed_at),
            session.agent_type or "-",
            title(session),
        )
        for session in found
    ]
    output.table(("ID", "PROVIDER", "STATUS", "TIME", "TYPE", "TITLE"), rows, empty="There are no sessions.")
    if cursor is not None:
        output.note(f"The newest {len(found)}; more with --limit.")
    return 0


def status_words(session: AgentSession) -> str:
    words = session.status.value
    if session.waiting_for is not None and session.status is SessionStatus.WAITING:
        words += f" for {session.waiting_for.value}"
    level = session.metadata.get("pauseLevel")
    if session.status is SessionStatus.PAUSED and isinstance(level, str):
        words += f" ({level})"
    if session.evidence.freshness.value != "live" and not session.status.final:
        words += f", {session.evidence.freshness.value}"
    return words


def title(session: AgentSession) -> str:
    words = session.title or session.task_id or ""
    if session.error:
        words = f"{words} [{session.error}]" if words else f"[{session.error}]"
    return words or "-"


async def tree(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    nodes = await mc.tree()
    if output.json:
        output.document({"items": nodes})
        return 0
    short = ids.short_ids(node.session.session_id for node in walk(nodes))
    lines = list(draw(nodes, short))
    for line in lines:
        output.line(line)
    if not lines:
        output.note("There are no sessions.")
    return 0


def walk(nodes: Iterable[TreeNode]) -> Iterable[TreeNode]:
    for node in nodes:
        yield node
        yield from walk(node.children)


def draw(nodes: tuple[TreeNode, ...], short: Mapping[str, str], indent: str = "", root: bool = True) -> Iterable[str]:
    for number, node in enumerate(nodes):
        last = number == len(nodes) - 1
        branch = "" if root else ("└─ " if last else "├─ ")
        session = node.session
        name = one_line(title(session))
        yield f"{indent}{branch}{short[session.session_id]}  {status_words(session)}  {name}"
        yield from draw(node.children, short, indent if root else indent + ("   " if last else "│  "), False)


async def tail_(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    session_id = await ids.session_id(mc, args.id)
    await tail(mc, session_id, output, count=args.lines, follow=not args.no_follow)
    return 0


async def spawn(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    parent = None if args.parent is None else split_id(await ids.session_id(mc, args.parent))[1]
    request = SpawnRequest(
        profile=args.profile,
        prompt=None if args.prompt is None else await text_of(args.prompt),
        cwd=None if args.cwd is None else str(args.cwd.absolute()),
        parent_agent_id=parent,
        mission_id=args.mission,
        task_id=args.task,
        task_source=args.task_source,
        agent_type=args.agent_type,
        title=args.title,
        end_when_idle=args.end_when_idle,
    )
    session = await mc.spawn(request)
    if output.json:
        output.document(session)
    else:
        output.line(session.session_id)
    return 0


async def text_of(argument: str) -> str:
    """The text itself, or standard input for '-'."""
    return (await asyncio.to_thread(sys.stdin.read)).rstrip("\n") if argument == "-" else argument


async def inject(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    session_id = await ids.session_id(mc, args.id)
    receipt = await mc.inject(
        session_id,
        await text_of(args.text),
        delivery=None if args.delivery is None else Delivery(args.delivery),
        pause_before_send=args.pause_before_send,
    )
    return _told(receipt, output)


def _told(receipt: Receipt, output: Output) -> int:
    """Where a message is now."""
    if output.json:
        output.document(receipt)
    else:
        position = "" if receipt.position is None else f" at position {receipt.position}"
        detail = f": {one_line(receipt.detail)}" if receipt.detail else ""
        output.line(f"{receipt.state.value}{position}{detail}  (message {receipt.injection_id})")
    return 0


async def receipts(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    found = await mc.receipts(await ids.session_id(mc, args.id))
    if output.json:
        output.document({"items": found})
        return 0
    rows = [
        (r.injection_id, r.state.value, "-" if r.position is None else str(r.position), when(r.at), r.detail or "")
        for r in found
    ]
    output.table(("MESSAGE", "STATE", "POSITION", "TIME", "DETAIL"), rows, empty="No message was sent into it.")
    return 0


async def _message_of(mc: HttpMissionControl, args: Namespace) -> tuple[str, str]:
    """The ids of the session and of the message that were named."""
    session_id = await ids.session_id(mc, args.id)
    known = [receipt.injection_id for receipt in await mc.receipts(session_id)]
    return session_id, ids.match(args.injection, known, what="message")


async def _words_of(mc: HttpMissionControl, session_id: str, injection_id: str) -> str:
    """What a message says on record. Raises NotFound."""
    before: int | None = None
    while True:
        page = await mc.messages(session_id, limit=PAGE_MAX, before=before)
        for message in reversed(page.items):
            if message.metadata.get("injectionId") == injection_id:
                return message.content
        if page.next_cursor is None:
            raise NotFound("The message is not in the session's transcript any more.")
        before = int(page.next_cursor)


async def withdraw(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    receipt = await mc.withdraw(*await _message_of(mc, args))
    if output.json:
        output.document(receipt)
    else:
        output.line(receipt.state.value)
    return 0


async def edit_message(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    session_id, injection_id = await _message_of(mc, args)
    was = await _words_of(mc, session_id, injection_id)
    content = await text_of(args.text)
    return _told(await mc.edit_message(session_id, injection_id, content=content, was=was), output)


async def move_message(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    session_id, injection_id = await _message_of(mc, args)
    return _told(await mc.move_message(session_id, injection_id, position=args.position), output)


async def pause(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    session_id = await ids.session_id(mc, args.id)
    return acted(await mc.pause(session_id, level=args.level, reason=args.reason), output)


async def resume(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    return acted(await mc.resume(await ids.session_id(mc, args.id), reason=args.reason), output)


async def cancel(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    return acted(await mc.cancel(await ids.session_id(mc, args.id), reason=args.reason), output)


async def hold_commands(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    held = await mc.hold_commands(await ids.session_id(mc, args.id), reason=args.reason)
    if not output.json and held.capabilities.hold_commands:
        output.note(held.capabilities.hold_commands)
    return acted(held, output)


async def release_commands(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    return acted(await mc.release_commands(await ids.session_id(mc, args.id), reason=args.reason), output)


async def terminate(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    return acted(await mc.terminate(await ids.session_id(mc, args.id), reason=args.reason), output)


async def kill(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    return acted(await mc.kill(await ids.session_id(mc, args.id), reason=args.reason), output)


def acted(session: AgentSession, output: Output) -> int:
    if output.json:
        output.document(session)
    else:
        output.line(f"{session.session_id}  {status_words(session)}")
    return 0


async def follow_kill_all(mc: HttpMissionControl, state: KillAll, output: Output) -> int:
    """0 only if every target is verified dead."""
    told: dict[str, KillTarget] = {}
    while True:
        if not output.json:
            for target in state.targets:
                before = told.get(target.session_id)
                if before is None or before.state is not target.state:
                    told[target.session_id] = target
                    detail = f"  {one_line(target.detail)}" if target.detail else ""
                    output.line(f"{target.session_id}  {target.state.value}{detail}")
                    output.flush()
        if state.state in (KillState.DONE, KillState.UNDONE):
            break
        await asyncio.sleep(POLL_SECONDS)
        state = await mc.kill_state(state.kill_id)
    return killed(state, output)


def killed(state: KillAll, output: Output) -> int:
    alive = [target for target in state.targets if target.state is not TargetState.DEAD]
    if output.json:
        output.document(state)
    else:
        dead = len(state.targets) - len(alive)
        output.line(f"{dead} of {len(state.targets)} dead" + (f"; {one_line(state.detail)}" if state.detail else ""))
    return 1 if alive or state.state is KillState.UNDONE else 0


async def approvals(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    if args.answer is not None:
        return await answer(mc, args, output)
    page = await mc.approvals(state=None if args.state == "all" else ApprovalState(args.state))
    if output.json:
        output.document(page)
        return 0
    short = ids.short_ids(approval.approval_id for approval in page.items)
    sessions = ids.short_ids(approval.session_id for approval in page.items)
    rows = [
        (
            short[approval.approval_id],
            sessions[approval.session_id],
            approval.state.value,
            elapsed(approval.created_at),
            ", ".join(option.option_id for option in approval.options),
            approval.title,
        )
        for approval in page.items
    ]
    output.table(("ID", "SESSION", "STATE", "AGE", "OPTIONS", "TITLE"), rows, empty="No question is open.")
    return 0


async def answer(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    page = await mc.approvals()
    known = {approval.approval_id: approval for approval in page.items}
    approval = known[ids.match(args.id, known, what="question")]
    answered = await mc.answer(approval.approval_id, args.option or option_for(approval, args.answer, args.always))
    if output.json:
        output.document(answered)
    else:
        output.line(f"{answered.state.value}: {one_line(answered.answer or '')}  ({one_line(answered.title)})")
    return 0


def option_for(approval: Approval, verb: str, always: bool) -> str:
    """The option of that kind; NotFound, with those there are, if the agent offers none."""
    stem = "allow" if verb == "allow" else "reject"
    wanted = f"{stem}_always" if always else f"{stem}_once"
    for option in approval.options:
        if option.kind == wanted:
            return option.option_id
    offered = ", ".join(f"{option.option_id} ({one_line(option.label)})" for option in approval.options)
    raise NotFound(f"the agent offers no answer of the kind {wanted}; choose one with --option: {offered}")


async def audit(mc: MissionControl, args: Namespace, output: Output) -> int:
    if args.session is not None:
        args.session = await ids.session_id(mc, args.session)
    if args.what == "verify":
        return audit_log.tell(
            await mc.audit_verify(head=args.head),
            output,
            where=mc.url if isinstance(mc, HttpMissionControl) else "the record",
        )
    if args.what == "export":
        return await audit_log.export(mc, args, output)
    return await audit_log.show(mc, args, output)


async def profiles(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    if args.what in (None, "list"):
        found = await mc.profiles()
        if output.json:
            output.document({"items": found})
            return 0
        rows = [
            (
                profile.name,
                "demo" if profile.demo else "detected" if profile.detected else "stored",
                profile.version or "-",
                profile.mode or "-",
                " ".join(profile.command),
            )
            for profile in found
        ]
        output.table(("NAME", "ORIGIN", "VERSION", "MODE", "COMMAND"), rows, empty="There are no launch profiles.")
        return 0
    if args.what == "remove":
        await mc.delete_profile(args.name)
        output.note(f"removed {args.name}")
        return 0
    view = await mc.put_profile(
        LaunchProfile(
            name=args.name,
            command=tuple(args.command),
            runtime=args.runtime,
            cwd=None if args.cwd is None else str(args.cwd.absolute()),
            env=args.environment,
            mode=args.mode,
            title=args.title,
        )
    )
    if output.json:
        output.document(view)
    else:
        output.line(f"{view.name}: {one_line(' '.join(view.command))}")
    return 0


async def workspace(mc: MissionControl, args: Namespace, output: Output) -> int:
    found = await mc.set_message_retention(args.message_days) if args.what == "set" else await mc.workspace()
    if output.json:
        output.document(found)
        return 0
    days = found.message_retention_days or found.default_retention_days
    default = " (the default)" if found.message_retention_days is None else ""
    output.line(f"{found.workspace_id}: messages are kept {days} days{default}")
    last = found.last_retention
    if last is not None:
        output.line(
            f"last removed: {last.messages} messages, {last.receipts} receipts, {last.approvals} questions and the "
            f"files of {last.journals} sessions from before {when(last.cutoff)}, at {when(last.at)}"
        )
    return 0


async def processes(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    found = await mc.processes(await ids.session_id(mc, args.id))
    if output.json:
        output.document({"items": found})
        return 0
    rows = [(str(p.pid), str(p.ppid), p.state, "escaped" if p.escaped else "-", p.command) for p in found]
    output.table(("PID", "PARENT", "STATE", "", "COMMAND"), rows, empty="It has no processes.")
    return 0


AT_REST: Mapping[str, RecordCommand] = {"audit": audit, "keys": keys.run, "workspace": workspace, **people.VERBS}
"""What needs the record alone, and so works where no control plane runs."""

COMMANDS: Mapping[str, Command] = {
    "sessions": sessions,
    "tree": tree,
    "tail": tail_,
    "spawn": spawn,
    "inject": inject,
    "receipts": receipts,
    "withdraw": withdraw,
    "edit-message": edit_message,
    "move-message": move_message,
    "pause": pause,
    "resume": resume,
    "cancel": cancel,
    "hold-commands": hold_commands,
    "release-commands": release_commands,
    "terminate": terminate,
    "kill": kill,
    "approvals": approvals,
    "profiles": profiles,
    "providers": providers,
    "processes": processes,
    **AT_REST,
}
