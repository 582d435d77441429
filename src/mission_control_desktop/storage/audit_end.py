"""The authenticated end of an audit chain: kept with every row, so that missing rows at the end are noticed.

The end is authenticated with a key that is not in the database. Who can write to the database alone can neither cut
rows off nor compute the chain anew without its showing. What cannot be told so is the whole database set back to an
older copy of itself; for that, a process remembers the ends that it has seen, and an export prints the end.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from sqlalchemy import Connection, select

from mission_control_desktop.domain.audit import ChainHead
from mission_control_desktop.domain.chain_end import End, Found
from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.sql import upsert

PURPOSE = "audit-head"


class Authenticator(Protocol):
    """What of the sealer (`storage.sealing`) is needed here."""

    def mac(self, purpose: str, data: bytes) -> tuple[str, bytes]: ...

    def check_mac(self, purpose: str, data: bytes, key_id: str, mac: bytes) -> bool:
        """Raises Unavailable if the key is not here."""
        ...


def _said(workspace_id: str, head: ChainHead) -> bytes:
    return msgspec.json.encode((workspace_id, head.seq, head.hash))


def read_end(
    connection: Connection, keys: Authenticator, workspace_id: str, *, remembered: ChainHead | None = None
) -> End:
    """The end on record, compared with the last row and with what is `remembered` of it."""
    column = t.audit_log.c
    row = connection.execute(select(t.audit_heads).where(t.audit_heads.c.workspace_id == workspace_id)).first()
    newest = connection.execute(
        select(column.seq, column.hash).where(column.workspace_id == workspace_id).order_by(column.seq.desc()).limit(1)
    ).first()
    last = None
    if newest is not None:
        # What is no number stands behind all numbers on SQLite; the check of the rows names it.
        last = ChainHead(seq=newest.seq if isinstance(newest.seq, int) else 0, hash=str(newest.hash))
    if row is None:
        found = Found.EMPTY if last is None and remembered is None else Found.REMOVED
        return End(None, last, found)
    try:
        stored = msgspec.convert({"seq": row.seq, "hash": row.hash}, ChainHead)
        found = _judge(keys, workspace_id, stored, row.key_id, row.mac, last, remembered)
    except msgspec.ValidationError:
        return End(None, last, Found.FORGED, None)
    return End(stored, last, found, row.key_id)


def _judge(
    keys: Authenticator,
    workspace_id: str,
    stored: ChainHead,
    key_id: object,
    mac: object,
    last: ChainHead | None,
    remembered: ChainHead | None,
) -> Found:
    if not isinstance(key_id, str) or not isinstance(mac, bytes):
        return Found.FORGED
    try:
        if not keys.check_mac(PURPOSE, _said(workspace_id, stored), key_id, mac):
            return Found.FORGED
    except Unavailable:
        return Found.KEY_LOST
    if remembered is not None and (
        stored.seq < remembered.seq or (stored.seq == remembered.seq and stored.hash != remembered.hash)
    ):
        return Found.SET_BACK
    reached = last or ChainHead()
    if reached.seq < stored.seq:
        return Found.SHORT
    if reached.seq > stored.seq:
        return Found.BEHIND
    return Found.GOOD if reached.hash == stored.hash else Found.REWRITTEN


def write_end(connection: Connection, keys: Authenticator, workspace_id: str, head: ChainHead) -> None:
    key_id, mac = keys.mac(PURPOSE, _said(workspace_id, head))
    row = {"workspace_id": workspace_id, "seq": head.seq, "hash": head.hash, "key_id": key_id, "mac": mac}
    connection.execute(upsert(connection, t.audit_heads, "workspace_id"), row)


def authenticate_ends_again(connection: Connection, keys: Authenticator) -> int:
    """Authenticate every sound end with the key that is the current one now, within a rotation's transaction; how
    many. An end that is not sound stays as it is: a new key must not make it look authentic."""
    done = 0
    for workspace_id in connection.execute(select(t.audit_heads.c.workspace_id)).scalars().all():
        end = read_end(connection, keys, workspace_id)
        if end.found is Found.GOOD and end.stored is not None:
            write_end(connection, keys, workspace_id, end.stored)
            done += 1
    return done
