"""What opens a provider's door, in a type that does not show it.

It has no repr, no string form, no JSON and no pickle that tells anything; who needs the values says `reveal()`, which
is easy to search for.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn
from urllib.parse import quote

from mission_control_desktop.domain.errors import BadInput

TOKEN = "token"  # noqa: S105 - a field's name
"""The name under which credentials that are given as one string are kept."""
MAX_FIELDS = 16
MAX_FIELD_NAME_CHARS = 64
MAX_VALUE_CHARS = 8_192
MAX_TOTAL_CHARS = 16_384
SCRUBBED = "[hidden]"
_SHORTEST_SECRET = 4
"""Shorter values are not looked for in texts: replacing every "a" hides nothing and garbles everything."""
_FIELD_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_-]*$")


class Credentials:
    """Named secret strings, or none of them (then it is false)."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values: dict[str, str] = dict(values or {})

    @classmethod
    def of(cls, given: str | Mapping[str, str]) -> Credentials:
        """From one string (a token) or named strings. BadInput for more, longer or other than there may be."""
        values = {TOKEN: given} if isinstance(given, str) else given
        if not isinstance(values, Mapping) or not values:
            raise BadInput("credentials", "Give a token, or an object of named strings; null removes them.")
        if len(values) > MAX_FIELDS:
            raise BadInput("credentials", f"There are at most {MAX_FIELDS} credentials.")
        for name, value in values.items():
            if not isinstance(name, str) or len(name) > MAX_FIELD_NAME_CHARS or not _FIELD_NAME.match(name):
                raise BadInput(
                    "credentials",
                    f"A credential's name has at most {MAX_FIELD_NAME_CHARS} letters, digits, `_` and `-`.",
                )
            if not isinstance(value, str) or not value or len(value) > MAX_VALUE_CHARS or "\0" in value:
                raise BadInput(
                    "credentials", f"The credential {name!r} must be text of 1 to {MAX_VALUE_CHARS} characters."
                )
            try:
                value.encode()
            except UnicodeEncodeError:
                raise BadInput("credentials", f"The credential {name!r} is no valid text.") from None
        if sum(map(len, values.values())) > MAX_TOTAL_CHARS:
            raise BadInput("credentials", f"Credentials have at most {MAX_TOTAL_CHARS} characters together.")
        return cls(values)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._values))

    @property
    def token(self) -> str | None:
        return self._values.get(TOKEN)

    def get(self, name: str) -> str | None:
        return self._values.get(name)

    def reveal(self) -> dict[str, str]:
        """The values themselves: for sealing, and for the adapter's own connection."""
        return dict(self._values)

    def scrub(self, text: str) -> str:
        """The text without any of the values, as they are or as URLs, JSON and basic authentication write them."""
        for form in self._forms():
            text = text.replace(form, SCRUBBED)
        return text

    def _forms(self) -> Iterator[str]:
        found: set[str] = set()
        for value in self._values.values():
            for text in {value, value.strip()}:
                if len(text) >= _SHORTEST_SECRET:
                    found |= {text, quote(text), quote(text, safe=""), json.dumps(text)[1:-1]}
                    found.add(base64.b64encode(text.encode()).decode())
        yield from sorted(found, key=len, reverse=True)

    def __bool__(self) -> bool:
        return bool(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credentials) and other._values == self._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Credentials({SCRUBBED})" if self._values else "Credentials()"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("credentials are not copied or stored as they are")
