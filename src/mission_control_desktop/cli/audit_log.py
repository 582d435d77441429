"""`audit`: read the log, check its chain (here or there), write it out."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from mission_control_desktop.cli.ids import short_ids
from mission_control_desktop.cli.output import Output, when
from mission_control_desktop.client.tokens import in_thread, write_private
from mission_control_desktop.domain.audit import AuditEntry, ChainReport, verify_chain
from mission_control_desktop.domain.base import to_json
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
    """JSON Lines in the order of the log, as `audit verify --file` takes them."""
    wanted = filters(args)
    entries = await read(mission_control, wanted, None)
    lines = b"".join(to_json(entry) + b"\n" for entry in reversed(entries))
    if args.output is None:
        output.text(lines.decode())
    else:
        target = Path(args.output)
        try:
            await in_thread(lambda: write_private(target, lines))
        except OSError as error:
            raise MissionControlError(f"{target} cannot be written: {error.strerror}") from error
        output.note(f"{len(entries)} rows written to {target}")
    if wanted != AuditFilter():
        output.note("A part of the log: its rows do not form a chain that can be verified.")
    return 0


def verify_file(path: Path, output: Output) -> int:
    """Check an exported log without any control plane."""
    try:
        report = verify_chain(_entries(path))
    except OSError as error:
        raise MissionControlError(f"{path} cannot be read: {error.strerror}") from error
    return tell(report, output, where=str(path))


def _entries(path: Path) -> Iterator[AuditEntry]:
    decoder = msgspec.json.Decoder(AuditEntry)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise MissionControlError(f"{path}, line {number} is no row of an audit log: {error}") from error


def tell(report: ChainReport, output: Output, *, where: str) -> int:
    if output.json:
        output.document(report)
    elif report.valid:
        output.line(f"valid: {report.rows} rows, each following from the one before it ({where})")
    else:
        bad = report.first_bad or {}
        output.line(f"NOT VALID ({where}): row {bad.get('seq')} ({bad.get('id')}): {bad.get('problem')}")
    return 0 if report.valid else 1
