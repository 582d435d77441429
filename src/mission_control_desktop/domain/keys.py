"""What is told of the master keys that secrets are sealed with: their ids, never a key."""

from __future__ import annotations

from mission_control_desktop.domain.base import Record


class Unopenable(Record, frozen=True, kw_only=True):
    """`place` is `TABLE/ROW/COLUMN`."""

    place: str
    problem: str


class KeyStatus(Record, frozen=True, kw_only=True):
    """`source` is where the current key is kept: `environment`, `keyring`, `file`; None if there is none. `rows`: by
    key id and `TABLE.COLUMN`, how many values it sealed (of `operator_audit_heads.mac`: how many it authenticated)."""

    source: str | None
    key_id: str | None
    known: tuple[str, ...]
    rows: dict[str, dict[str, int]]
    unopenable: tuple[Unopenable, ...] = ()


class KeyRotation(Record, frozen=True, kw_only=True):
    """`resealed` values are under `key_id` now, `refreshed` others renewed. `left`: places that could not be opened and
    stay as they were, as do the keys of them. `forgotten`: keys that are kept nowhere any more."""

    source: str | None
    key_id: str
    previous_key_id: str | None
    resealed: int
    refreshed: int
    left: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
