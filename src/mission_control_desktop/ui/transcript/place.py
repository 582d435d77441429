"""Where a reader was in a transcript, for when it is shown again."""

from __future__ import annotations

from typing import Annotated

import msgspec

Seq = Annotated[int, msgspec.Meta(ge=0)]


class ReadingPlace(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A reader who follows the end has no such place."""

    seq: Seq
    """The entry at the top of the view."""
    share: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    """How much of that entry is above the view, as a share of its height: the view may have another width."""
    read_seq: Seq
    """The last entry that counts as read; what came after it is new."""
