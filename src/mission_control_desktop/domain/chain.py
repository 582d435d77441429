"""Checking an audit chain: fast while all is well, and exact about what is wrong where it is not.

Rows come as `ChainRow` in the order of the log. The first one that does not fit is looked at together with its
neighbours, so that it can be named: changed, removed, inserted or moved, and which.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from datetime import UTC
from typing import Any, NamedTuple

import msgspec

from mission_control_desktop.domain.audit import GENESIS_HASH, AuditAction, AuditEntry, BadRow, ChainHead, Fault

RowFinder = Callable[[str], "Iterable[ChainRow]"]
"""The rows, anywhere in the log, that name this hash as the one before them."""


class ChainRow(NamedTuple):
    """One row as it is stored, not as it is understood: `created_at` is RFC 3339 text in UTC with microseconds,
    `metadata` JSON text. Anything may stand in any field, for someone may have written around us."""

    seq: Any
    id: Any
    created_at: Any
    user_id: Any
    actor_kind: Any
    session_id: Any
    provider: Any
    action: Any
    outcome: Any
    content: Any
    metadata: Any
    prev_hash: Any
    hash: Any
    intent_id: Any = None
    """Repeats `metadata.intentId`; checked where it is stored (`stored`)."""
    wseq: Any = None
    """The place in the workspace's stream, which is no part of the log; it must grow with it."""


class _Body(msgspec.Struct):
    """What a hash covers; the fields are in the order of their names, as canonical JSON wants them."""

    action: str
    actorKind: str
    content: str | None
    createdAt: str
    id: str
    metadata: Any
    outcome: str
    prevHash: str
    provider: str | None
    seq: int
    sessionId: str | None
    userId: str


_sorted = msgspec.json.Encoder(order="sorted")
_plain = msgspec.json.Encoder()
_loads = msgspec.json.Decoder()
_CHAIN_SEAL = AuditAction.CHAIN_SEAL.value
_TEXT_OR_NONE = (str, type(None))
_LOOK_AROUND = 2_000
"""How far a row that stands in the wrong place is looked for by its number."""


def _of_right_types(row: ChainRow) -> bool:
    seq, id_, created, user, kind, session, provider, action, outcome, content, metadata, prev, hash_, intent, _ = row
    return (
        type(seq) is int
        and type(id_) is str
        and type(created) is str
        and type(user) is str
        and type(kind) is str
        and type(action) is str
        and type(outcome) is str
        and type(metadata) is str
        and type(prev) is str
        and type(hash_) is str
        and type(session) in _TEXT_OR_NONE
        and type(provider) in _TEXT_OR_NONE
        and type(content) in _TEXT_OR_NONE
        and type(intent) in _TEXT_OR_NONE
    )


def _fits(row: ChainRow, seq: int, previous: str) -> bool:
    """Whether the row's hash is that of its content in this place. False for content that cannot be read."""
    if not _of_right_types(row):
        return False
    try:
        metadata = _loads.decode(row.metadata)
        # Duplicate keys, white space and the like: whoever reads the text must read what the hash covers.
        if _plain.encode(metadata).decode() != row.metadata:
            return False
        body = _Body(
            row.action,
            row.actor_kind,
            row.content,
            row.created_at,
            row.id,
            metadata,
            row.outcome,
            previous,
            row.provider,
            seq,
            row.session_id,
            row.user_id,
        )
        if hashlib.sha256(_sorted.encode(body)).hexdigest() == row.hash:
            return True
        # The two encoders write some floats differently; the definition is the slow one's.
        return bool(hashlib.sha256(_canonical(msgspec.structs.asdict(body))).hexdigest() == row.hash)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return False


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def row_of(entry: AuditEntry) -> ChainRow:
    """An entry as it would be stored."""
    intent = entry.metadata.get("intentId")
    return ChainRow(
        seq=entry.seq,
        id=entry.id,
        created_at=entry.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        user_id=entry.user_id,
        actor_kind=entry.actor_kind.value,
        session_id=entry.session_id,
        provider=entry.provider,
        action=entry.action.value,
        outcome=entry.outcome.value,
        content=entry.content,
        metadata=_plain.encode(entry.metadata).decode(),
        prev_hash=entry.prev_hash,
        hash=entry.hash,
        intent_id=intent if isinstance(intent, str) else None,
    )


class ChainCheck:
    """`feed` it rows in the order of the log until it returns a row: that one does not follow. Then `name` the fault.

    `rows` is how many followed, `head` the last of them. `seals` are rows in which the log itself says that its end
    was not as it had been left (`AuditAction.CHAIN_SEAL`): seq, id and what was found.
    """

    MAX_SEALS = 1000

    def __init__(self) -> None:
        self.rows = 0
        self.seals: list[tuple[int, str, str]] = []
        self._last: ChainRow | None = None
        self._before = GENESIS_HASH
        """The hash before the last good row's."""
        self._hash = GENESIS_HASH
        self._wseq = -1

    @property
    def head(self) -> ChainHead:
        return ChainHead(seq=self.rows, hash=self._hash)

    def feed(self, rows: Iterable[ChainRow], *, stored: bool = False) -> ChainRow | None:
        """The first row that does not follow, or None. `stored`: check the columns that repeat something, too."""
        for row in rows:
            if row.prev_hash != self._hash or row.seq != self.rows + 1 or not _fits(row, self.rows + 1, self._hash):
                return row
            if stored and not self._derived(row):
                return row
            self._before, self._hash = self._hash, row.hash
            self._last = row
            self.rows += 1
            if row.action == _CHAIN_SEAL and len(self.seals) < self.MAX_SEALS:
                self.seals.append((row.seq, row.id, str(_loads.decode(row.metadata).get("found"))))
        return None

    def _derived(self, row: ChainRow) -> bool:
        if type(row.wseq) is not int or row.wseq <= self._wseq:
            return False
        metadata = _loads.decode(row.metadata)
        intent = metadata.get("intentId")
        if row.intent_id != (intent if isinstance(intent, str) else None):
            return False
        self._wseq = row.wseq
        return True

    def name(self, bad: ChainRow, after: ChainRow | None, find: RowFinder, end: ChainHead | None = None) -> BadRow:
        """What is wrong at the row that `feed` returned. `after` is the one that follows it, `end` the authenticated
        end of the chain, if there is one."""
        place = self.rows + 1
        if type(bad.seq) is not int:
            return _named(Fault.INSERTED, place, bad, f"a row whose number is {_short(bad.seq)} stands before it")
        last = self._last
        if last is not None and _fits(bad, place - 1, self._before):
            return _named(
                Fault.INSERTED, last.seq, last, f"it was inserted: the row after it is the real row {last.seq}"
            )
        if end is not None and bad.seq > end.seq and place > end.seq:
            return _named(Fault.INSERTED, place, bad, f"it stands behind the log's end, which is row {end.seq}")
        if bad.seq < place:
            return _named(Fault.INSERTED, bad.seq, bad, f"there is a second row {bad.seq}")
        moved = self._moved(find)
        if bad.seq > place:
            if moved is not None:
                return _named(Fault.REORDERED, place, moved, f"row {place} stands in place {_short(moved.seq)}")
            many = f"row {place} is" if bad.seq == place + 1 else f"rows {place} to {bad.seq - 1} are"
            return BadRow(seq=place, id=None, fault=Fault.REMOVED, problem=f"{many} missing")
        return self._in_place(bad, after, moved, end)

    def _in_place(self, bad: ChainRow, after: ChainRow | None, moved: ChainRow | None, end: ChainHead | None) -> BadRow:
        """The number is right, the row is not."""
        place, last = self.rows + 1, self._last
        if _fits(bad, place, self._hash):
            if bad.prev_hash != self._hash:
                return _named(Fault.CHANGED, place, bad, "the hash that it names as the one before it was changed")
            return _named(Fault.CHANGED, place, bad, "its intent or its place in the stream was changed")
        if moved is not None and moved is not bad and moved.seq != bad.seq:
            if self._real_elsewhere(bad):
                return _named(
                    Fault.REORDERED, place, bad, f"it was moved here: the real row {place} is {moved.seq} now"
                )
            return _named(Fault.INSERTED, place, bad, f"it was inserted: the real row {place} is {moved.seq} now")
        if _fits(bad, place + 1, bad.prev_hash):
            return BadRow(
                seq=place, id=None, fault=Fault.REMOVED, problem=f"row {place} is missing, and those after it moved up"
            )
        if _fits(bad, place, bad.prev_hash) and last is not None:
            follows = after.prev_hash if after is not None else None if end is None else end.hash
            if follows == bad.hash:
                return _named(Fault.CHANGED, last.seq, last, "it was changed, and its hash computed anew")
        if not _readable(bad):
            return _named(Fault.UNREADABLE, place, bad, "it holds what no version of this program writes")
        return _named(Fault.CHANGED, place, bad, "its content was changed")

    def _moved(self, find: RowFinder) -> ChainRow | None:
        """The real row of this place, if it stands in another one."""
        return next((row for row in find(self._hash) if _fits(row, self.rows + 1, self._hash)), None)

    def _real_elsewhere(self, bad: ChainRow) -> bool:
        place = self.rows + 1
        return any(_fits(bad, seq, bad.prev_hash) for seq in range(max(1, place - 2), place + _LOOK_AROUND))


def _named(fault: Fault, seq: int, row: ChainRow, problem: str) -> BadRow:
    return BadRow(seq=seq, id=row.id if isinstance(row.id, str) else None, fault=fault, problem=problem)


def _readable(row: ChainRow) -> bool:
    if not _of_right_types(row):
        return False
    try:
        return isinstance(_loads.decode(row.metadata), dict)
    except (msgspec.MsgspecError, RecursionError):
        return False


def _short(value: object) -> str:
    return repr(value)[:40]
