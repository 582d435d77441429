"""What every record on the wire shares: camelCase names, no unknown defaults, immutability."""

from __future__ import annotations

from typing import Any

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """A value of the wire contract; fields are snake_case here and camelCase on the wire."""


def to_json(value: object) -> bytes:
    """Encode a record (or containers of records) as UTF-8 JSON."""
    return msgspec.json.encode(value)


def to_builtins(value: object) -> Any:
    """The same as plain dicts, lists and strings, with wire names."""
    return msgspec.to_builtins(value)
