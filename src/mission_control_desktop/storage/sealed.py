"""Which columns hold sealed secrets, and what is done with all of them at once: count, find, seal anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy import Connection, Table, bindparam, func, select, update

from mission_control_desktop.domain.errors import Unavailable
from mission_control_desktop.storage import tables as t
from mission_control_desktop.storage.audit_end import authenticate_ends_again
from mission_control_desktop.storage.sealing import Sealer, key_id_of
from mission_control_desktop.storage.sql import upsert

log = structlog.get_logger(__name__)

SCRUB = "scrub"
"""Key in `meta`: the file may hold freed pages with text that was sealed since, and must be written anew."""


class SealedColumn(NamedTuple):
    table: Table
    key: str
    """The column whose value names the row."""
    column: str

    def place(self, row: str) -> str:
        """Where a value stands, as `Sealer` wants it."""
        return f"{self.table.name}/{row}/{self.column}"

    def values(self, connection: Connection) -> list[tuple[str, bytes]]:
        """Row and sealed value of every row that has one."""
        column = self.table.c[self.column]
        query = select(self.table.c[self.key], column).where(column.is_not(None)).order_by(self.table.c[self.key])
        return [(str(row), bytes(value)) for row, value in connection.execute(query)]


CREDENTIALS = SealedColumn(t.provider_configs, "id", "credentials")
ADAPTER_SECRETS = SealedColumn(t.provider_configs, "id", "adapter_secrets")
PROFILE_ENV = SealedColumn(t.launch_profiles, "name", "sealed_env")
SEALED = (CREDENTIALS, ADAPTER_SECRETS, PROFILE_ENV)
"""Every column that holds sealed bytes. One that is missing here would be lost by a rotation; a test looks for it."""

REFRESHERS: tuple[Callable[[Connection, Sealer], int], ...] = (authenticate_ends_again,)
"""What else depends on the current key and is renewed in a rotation's transaction; each says how many rows it wrote."""


class Resealed(NamedTuple):
    """`values` were sealed anew, `others` renewed by `REFRESHERS`; `left` are the places that could not be opened."""

    values: int
    others: int
    left: tuple[str, ...]


def reseal_all(connection: Connection, sealer: Sealer) -> Resealed:
    """Seal everything that is not sealed with the current key anew, within this transaction. What cannot be opened
    stays as it is. Raises Unavailable if there is no key."""
    done = 0
    left: list[str] = []
    for column in SEALED:
        for row, sealed in column.values(connection):
            place = column.place(row)
            if key_id_of(sealed) == sealer.key_id:
                continue
            try:
                renewed = sealer.renew(sealed, place=place)
            except Unavailable as error:
                if sealer.key_id is None:
                    raise
                log.warning("a secret could not be sealed anew", place=place, problem=error.message)
                left.append(place)
                continue
            statement = update(column.table).where(column.table.c[column.key] == bindparam("row"))
            connection.execute(statement.values({column.column: renewed}), {"row": row})
            done += 1
    return Resealed(done, sum(refresh(connection, sealer) for refresh in REFRESHERS), tuple(left))


def keys_in_use(connection: Connection) -> dict[str, Counter[str]]:
    """By `TABLE.COLUMN`: how many values there are of each key id; "" for what is no sealed value."""
    found = {
        f"{column.table.name}.{column.column}": Counter(
            key_id_of(sealed) or "" for _, sealed in column.values(connection)
        )
        for column in SEALED
    }
    ends = t.audit_heads.c.key_id
    counted = connection.execute(select(ends, func.count()).where(ends.is_not(None)).group_by(ends))
    found[f"{t.audit_heads.name}.mac"] = Counter({str(key_id): number for key_id, number in counted})
    return found


def unopenable(connection: Connection, sealer: Sealer) -> Iterator[tuple[str, str]]:
    """Place and reason of everything that cannot be opened."""
    for column in SEALED:
        for row, sealed in column.values(connection):
            try:
                sealer.open(sealed, place=column.place(row))
            except Unavailable as error:
                yield column.place(row), error.message


def seal_clear_environments(connection: Connection, sealer: Sealer) -> int:
    """Seal what an older version stored in clear; how many profiles. Without a key nothing is changed."""
    if sealer.key_id is None:
        return 0
    done = 0
    for name, body in connection.execute(select(t.launch_profiles.c.name, t.launch_profiles.c.body)).all():
        if not body.get("env"):
            continue
        values = {"body": without_env(body), "sealed_env": seal_env(sealer, name, body["env"])}
        connection.execute(update(t.launch_profiles).where(t.launch_profiles.c.name == name).values(values))
        done += 1
    if done:
        want_scrub(connection)
        log.info("environments of launch profiles that stood in clear are sealed", profiles=done)
    return done


def want_scrub(connection: Connection) -> None:
    """Have the file written anew once this transaction is committed (`Access.scrub_now`), however often it takes."""
    connection.execute(upsert(connection, t.meta, "key"), {"key": SCRUB, "value": "pending"})


def without_env(body: dict[str, object]) -> dict[str, object]:
    """A stored profile without the values of its environment; their names stay, for lists."""
    env = body.get("env")
    names = sorted(env) if isinstance(env, dict) else []
    return {**{key: value for key, value in body.items() if key != "env"}, "envNames": names}


def seal_env(sealer: Sealer, name: str, env: dict[str, str]) -> bytes | None:
    return sealer.seal(msgspec.json.encode(env), place=PROFILE_ENV.place(name)) if env else None


def open_env(sealer: Sealer, name: str, sealed: bytes) -> dict[str, str]:
    """Raises Unavailable."""
    return msgspec.json.decode(sealer.open(sealed, place=PROFILE_ENV.place(name)), type=dict[str, str])
