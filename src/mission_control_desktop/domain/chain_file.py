"""Checking an exported audit log: JSON Lines, in bounded memory, without a control plane."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import msgspec

from mission_control_desktop.domain.audit import AuditEntry, BadRow, ChainHead, ChainReport, Fault
from mission_control_desktop.domain.base import to_builtins, to_json
from mission_control_desktop.domain.chain import ChainCheck, ChainRow, row_of
from mission_control_desktop.domain.chain_end import against_head, judged

_decoder = msgspec.json.Decoder(AuditEntry)


def check_lines(lines: Iterable[bytes], *, head: ChainHead | None = None) -> ChainReport:
    """Check rows in the order of the log, one per line (empty lines do not count). With `head`, the log must reach
    that row, and it must be that one: only so a cut-off end can be told in a file.

    What is wrong is reported with the number of its line."""
    check = ChainCheck()
    noted: str | None = None
    bad: BadRow | None = None
    rows = _rows(lines)
    for number, row in rows:
        if isinstance(row, str):
            bad = BadRow(seq=check.rows + 1, id=None, fault=Fault.UNREADABLE, problem=row, line=number)
        elif check.feed((row,)) is not None:
            bad = _name(check, number, row, rows)
        elif head is not None and row.seq == head.seq:
            noted = row.hash
        if bad is not None:
            break
    report = judged(check, None, bad)
    return report if head is None else against_head(report, head, noted)


def _name(check: ChainCheck, number: int, odd: ChainRow, rest: Iterator[tuple[int, ChainRow | str]]) -> BadRow:
    readable = (row for _, row in rest if isinstance(row, ChainRow))
    after = next(readable, None)
    around = [odd] if after is None else [odd, after]

    def find(digest: str) -> Iterator[ChainRow]:
        return (row for row in chain(around, readable) if row.prev_hash == digest)

    return msgspec.structs.replace(check.name(odd, after, find), line=number)


def _rows(lines: Iterable[bytes]) -> Iterator[tuple[int, ChainRow | str]]:
    """Each row with the number of its line; of a line that is none, what is wrong with it."""
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        try:
            entry = _decoder.decode(text)
            # Our own bytes are exactly these; others are read with care.
            problem = None if to_json(entry) == text else _unlike(entry, text)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            problem = f"the line is no row of an audit log: {error}"
        yield number, row_of(entry) if problem is None else problem


def _unlike(entry: AuditEntry, text: bytes) -> str | None:
    """What a line says besides the entry; None if it is only written in another form."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a field stands twice in it")
        return found

    said = json.loads(text, object_pairs_hook=once)
    more = said.keys() - to_builtins(entry).keys()
    return f"the line has fields that no row has: {', '.join(sorted(more))[:100]}" if more else None
