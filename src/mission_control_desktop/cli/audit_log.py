"""`audit`: read the log, check its chain (here or there), write it out."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from mission_control_desktop.cli.ids import short_ids
from mission_control_desktop.cli.output import Output, one_line, when
from mission_control_desktop.client.audit_export import export_log, write_log
from mission_control_desktop.domain.audit import AuditEntry, ChainHead, ChainReport
from mission_control_desktop.domain.chain_file import check_lines
from mission_control_desktop.domain.errors import BadInput, MissionControlError
from mission_control_desktop.domain.mission_control import AuditFilter, MissionControl


def filters(args: Namespace) -> AuditFilter:
    return AuditFilter(
        user=args.user,
        session=args.session,
        provider=args.provider,
        action=args.action,
        outcome=args.outcome,
        from_=parse_time(args.since, "--from"),
        to=parse_time(args.until, "--to"),
    )


def parse_time(text: str | None, field: str) -> datetime | None:
    """RFC 3339, or a date; without a zone it is this computer's."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError as error:
        raise BadInput(field, f"{field}: {text!r} is not a time like 2026-01-31 or 2026-01-31T12:00:00Z") from error


async def read(mission_control: MissionControl, wanted: AuditFilter, limit: int | None) -> list[AuditEntry]:
    """Newest first; all of it without a limit."""
    found: list[AuditEntry] = []
    cursor: str | None = None
    while limit is None or len(found) < limit:
        size = 500 if limit is None else min(500, limit - len(found))
        page = await mission_control.audit(wanted, limit=size, cursor=cursor)
        found.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    return found


async def show(mission_control: MissionControl, args: Namespace, output: Output) -> int:
    entries = await read(mission_control, filters(args), args.limit)
    if output.json:
        output.document({"items": entries})
        return 0
    short = short_ids(entry.session_id for entry in entries if entry.session_id is not None)
    rows = [
        (
            str(entry.seq),
            when(entry.created_at),
            entry.user_id,
            entry.action.value,
            entry.outcome.value,
            short.get(entry.session_id or "", "-"),
            entry.content or str(entry.metadata.get("reason") or ""),
        )
        for entry in entries
    ]
    headers = ("ROW", "TIME", "WHO", "ACTION", "OUTCOME", "SESSION", "CONTENT")
    output.table(headers, rows, empty="The audit log has no such row.")
    return 0


async def export(mission_control: MissionControl, args: Namespace, output: Output) -> int:
    """JSON Lines, as `audit verify --file` takes them. The head goes to standard error, to be noted somewhere else."""
    wanted = filters(args)
    if args.output is None:
        done = await write_log(mission_control, wanted, lambda data: output.text(data.decode()))
    else:
        done = await export_log(mission_control, wanted, Path(args.output))
    if output.json and args.output is not None:
        output.document({"rows": done.rows, "file": str(args.output), "head": None if done.part else done.head})
    elif args.output is not None:
        output.note(f"{done.rows} rows written to {args.output}")
    if done.part:
        output.note("A part of the log: its rows do not form a chain that can be verified.")
    else:
        output.note(f"head {done.head}")
    return 0


def verify_file(path: Path, head: ChainHead | None, output: Output) -> int:
    """Check an exported log (`-`: standard input) without any control plane."""
    where = "standard input" if str(path) == "-" else str(path)
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as lines:
            report = check_lines(lines, head=head)
    except OSError as error:
        raise MissionControlError(f"{where} cannot be read: {error.strerror}") from error
    return tell(report, output, where=where)


def tell(report: ChainReport, output: Output, *, where: str) -> int:
    bad = report.first_bad
    if output.json:
        output.document(report)
    elif bad is None:
        since = report.authenticated_from
        proved = "" if since in (None, 1) else f"; authenticated from row {since} on"
        output.line(f"valid: {report.rows} rows, each following from the one before it{proved} ({where})")
        if report.rows:
            output.line(f"head {report.head}")
    else:
        place = f"line {bad.line}" if bad.line is not None else ""
        row = "" if bad.seq is None else f"row {bad.seq}" + ("" if bad.id is None else f" ({one_line(bad.id)})")
        at = ", ".join(part for part in (place, row) if part) or "the log"
        output.line(f"NOT VALID ({where}): {at}: {bad.fault.value}: {one_line(bad.problem)}")
    return 0 if report.valid else 1
