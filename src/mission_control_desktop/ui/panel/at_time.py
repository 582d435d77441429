"""Where in a session's record a moment lies."""

from __future__ import annotations

from datetime import datetime

from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.ui.panel.port import PanelPort


async def page_at(
    port: PanelPort, session_id: str, moment: datetime, *, before: int, around: int
) -> tuple[Page[AgentMessage], int, AgentMessage] | None:
    """Up to `around` messages, `before` of them in front of the one nearest to a moment: the page, the number after
    which it begins, and that message. None if there are no messages. Raises the tree of `domain.errors`.

    The record is asked by number alone, and its times grow with its numbers: some twenty short reads find a moment
    among a million messages."""
    newest = (await port.messages(session_id, limit=1)).items
    if not newest:
        return None
    low, high = 0, newest[-1].seq
    # The first message whose time is not before the moment comes after `low`, and not after `high`.
    while low < high - 1:
        middle = (low + high) // 2
        found = (await port.messages(session_id, limit=1, after=middle)).items
        if found and found[0].timestamp < moment:
            low = found[0].seq
        else:
            high = middle
    begin = max(0, low - before)
    page = await port.messages(session_id, limit=around, after=begin)
    if not page.items:
        return None
    return page, begin, min(page.items, key=lambda m: abs(m.timestamp - moment))
