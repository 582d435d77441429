"""Text as every store of ours can hold it."""

from __future__ import annotations

import re

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def clean_text(text: str) -> str:
    """The text as every database can hold it: NUL and lone surrogates become U+FFFD, one for one, so that offsets in
    characters stay right. PostgreSQL refuses NUL in text; nothing can encode half a surrogate pair."""
    return _UNSTORABLE.sub("\ufffd", text)
