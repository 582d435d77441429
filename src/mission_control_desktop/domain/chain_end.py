"""How an audit chain ends, and what the log says when its end is not as it had been left."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from mission_control_desktop.domain.audit import BadRow, ChainHead, ChainReport, Fault
from mission_control_desktop.domain.chain import ChainCheck


class Found(StrEnum):
    """How the authenticated end on record was found. Everything but `GOOD` and `EMPTY` goes into the log with the
    next row (`AuditAction.CHAIN_SEAL`), and can never be taken back: the next end covers it."""

    GOOD = "good"
    EMPTY = "empty"
    """No rows and no end."""
    OLD = "old"
    """Rows of a version that did not authenticate their end, met when the database is brought to this one."""
    REMOVED = "removed"
    """Rows, and no end."""
    FORGED = "forged"
    SHORT = "short"
    """The end is authentic, and the rows do not reach it."""
    BEHIND = "behind"
    """The end is authentic, and there are rows behind it."""
    REWRITTEN = "rewritten"
    """The end is authentic, and its row is another one."""
    SET_BACK = "setBack"
    """It is authentic, and older than one that this process wrote."""
    KEY_LOST = "keyLost"


class End(NamedTuple):
    """`stored` is the authenticated end on record, `last` the last row; both may be missing."""

    stored: ChainHead | None
    last: ChainHead | None
    found: Found
    key_id: str | None = None

    @property
    def sound(self) -> bool:
        return self.found in (Found.GOOD, Found.EMPTY)

    @property
    def authentic(self) -> bool:
        """Whether it is known that the log ended there."""
        return self.found in (Found.GOOD, Found.SHORT, Found.BEHIND, Found.REWRITTEN, Found.SET_BACK)

    def next_after(self) -> ChainHead:
        """What the next row follows: the authentic end, or the last row there is, whichever is further."""
        last = self.last or ChainHead()
        if self.stored is None or not self.authentic:
            return last
        return self.stored if self.stored.seq >= last.seq else last


_NOW = {
    Found.REMOVED: "what authenticates the end of the log was removed",
    Found.FORGED: "the end of the log is not authentic: no control plane with this key wrote it",
    Found.SHORT: "rows at the end of the log are missing",
    Found.BEHIND: "there are rows behind the authenticated end of the log",
    Found.SET_BACK: "the log is older than this control plane left it: rows were cut off, or the database was set back "
    "to an older copy",
    Found.REWRITTEN: "the row at the authenticated end of the log is another one: it, or all before it, was made anew",
    Found.KEY_LOST: "the end of the log was authenticated with a key that is not here, so nobody can tell whether rows "
    "at the end are missing. That is no sign of tampering by itself: bring the master key back and verify again",
}


def judged(check: ChainCheck, end: End | None, bad: BadRow | None) -> ChainReport:
    """The report on rows that were fed, and on how they end; without `end` (a file) that is not known."""
    if bad is None and end is not None and not end.sound:
        bad = _at_the_end(check.rows, end)
    since = None if end is None else 1
    lost: BadRow | None = None
    for seq, row_id, found in check.seals:
        if found in (Found.OLD, Found.KEY_LOST):
            since = None if end is None else seq
        if found == Found.OLD:
            continue
        fault = Fault.KEY_LOST if found == Found.KEY_LOST else Fault.END_FORGED
        said = BadRow(seq=seq, id=row_id, fault=fault, problem=f"this row says how the log was found: {_words(found)}")
        if fault is Fault.KEY_LOST:
            lost = lost or said
        elif bad is None or bad.fault is Fault.KEY_LOST or (bad.seq is not None and bad.seq > seq):
            bad = said
    bad = bad or lost
    return ChainReport(valid=bad is None, rows=check.rows, first_bad=bad, head=check.head, authenticated_from=since)


def _words(found: str) -> str:
    try:
        return _NOW[Found(found)]
    except (ValueError, KeyError):
        return "its end was not as it had been left"


def _at_the_end(reached: int, end: End) -> BadRow:
    found, stored = end.found, end.stored
    if found is Found.SHORT and stored is not None:
        many = f"row {stored.seq} is" if stored.seq == reached + 1 else f"rows {reached + 1} to {stored.seq} are"
        return BadRow(seq=reached + 1, id=None, fault=Fault.END_MISSING, problem=f"{many} missing at the end")
    if found is Found.BEHIND and stored is not None:
        problem = f"it stands behind the log's end, which is row {stored.seq}"
        return BadRow(seq=stored.seq + 1, id=None, fault=Fault.INSERTED, problem=problem)
    fault = {
        Found.KEY_LOST: Fault.KEY_LOST,
        Found.REMOVED: Fault.END_MISSING,
        Found.SET_BACK: Fault.END_MISSING,
    }.get(found, Fault.END_FORGED)
    return BadRow(seq=reached or None, id=None, fault=fault, problem=_NOW[found])


def against_head(report: ChainReport, head: ChainHead, digest: str | None) -> ChainReport:
    """The report, held against an end that someone noted earlier; `digest` is the hash of its row now."""
    if not report.valid:
        return report
    if head.seq > report.rows:
        many = f"row {head.seq} is" if head.seq == report.rows + 1 else f"rows {report.rows + 1} to {head.seq} are"
        problem = f"{many} missing at the end: the log went on to row {head.seq} once"
        bad = BadRow(seq=report.rows + 1, id=None, fault=Fault.END_MISSING, problem=problem)
    elif head.seq and digest != head.hash:
        problem = "it is another row than the one that was noted: it, or rows before it, were made anew"
        bad = BadRow(seq=head.seq, id=None, fault=Fault.END_FORGED, problem=problem)
    else:
        return report
    return ChainReport(
        valid=False,
        rows=report.rows,
        first_bad=bad,
        head=report.head,
        authenticated_from=report.authenticated_from,
    )
