"""Tokens and members: through a control plane, or in its data directory when none runs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from mission_control_desktop.cli import ids
from mission_control_desktop.cli.output import Output, one_line, when
from mission_control_desktop.domain.mission_control import People
from mission_control_desktop.domain.people import Role, TokenInfo

Verb = Callable[[People, Namespace, Output], Awaitable[int]]


async def token(mc: People, args: Namespace, output: Output) -> int:
    if args.what == "create":
        made = await mc.create_token(
            user=args.user, role=Role(args.role), workspace=args.workspace, expires_in=args.expires
        )
        if output.json:
            output.document(made)
        else:
            output.line(made.token)
            until = when(made.expires_at) if made.expires_at else "it is revoked"
            output.note(f"{made.role.value} {made.user_id}, good until {until}; shown this once (id {made.id})")
        return 0
    if args.what == "revoke":
        known = [info.id for info in await mc.tokens()]
        token_id = ids.match(args.id, known, what="token")
        await mc.revoke_token(token_id)
        if output.json:
            output.document({"revoked": token_id})
        else:
            output.note("revoked; its streams end")
        return 0
    found = await mc.tokens()
    if output.json:
        output.document({"items": found})
        return 0
    rows = [
        (
            info.id,
            info.user_id,
            info.role.value,
            info.workspace_id,
            when(info.created_at),
            when(info.expires_at),
            when(info.last_used_at),
            info.created_by or "-",
            _state(info),
        )
        for info in found
    ]
    headers = ("ID", "USER", "ROLE", "WORKSPACE", "MADE", "EXPIRES", "LAST USED", "BY", "STATE")
    output.table(headers, rows, empty="There are no tokens.")
    return 0


def _state(info: TokenInfo) -> str:
    if info.revoked_at is not None:
        return "revoked"
    return "expired" if info.expires_at is not None and info.expires_at <= datetime.now(UTC) else "good"


async def members(mc: People, args: Namespace, output: Output) -> int:
    if args.what == "set":
        member = await mc.set_member(args.user, Role(args.role))
        if output.json:
            output.document(member)
        else:
            output.line(f"{one_line(member.user_id)}: {member.role.value}")
        return 0
    if args.what == "remove":
        await mc.remove_member(args.user)
        if output.json:
            output.document({"removed": args.user})
        else:
            output.note("removed; all their tokens are revoked, and their streams end")
        return 0
    found = await mc.members()
    if output.json:
        output.document({"items": found})
        return 0
    rows = [
        (one.user_id, one.role.value, one.workspace_id, str(one.live_tokens), when(one.created_at)) for one in found
    ]
    output.table(("USER", "ROLE", "WORKSPACE", "TOKENS", "SINCE"), rows, empty="There are no members.")
    return 0


VERBS: Mapping[str, Verb] = {"token": token, "members": members}
